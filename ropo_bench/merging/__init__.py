"""The trained policy as a plain folder of whole weights, and its certificate."""
