"""Asking judges: one runtime for every endpoint, local models, reward models, canaries and calibration."""
