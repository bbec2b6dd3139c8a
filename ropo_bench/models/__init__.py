"""Models: how big they are, whether a folder holds one, loading them."""
