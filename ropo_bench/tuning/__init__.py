"""Every method's learning rate by one search: the same grid, the same refinement, the same number of trials.

grid: which rates are tried. choice: which is chosen, and what choosing is worth (maths alone). trials: one rate, one
seed, one score. workers: several trials at a time. search: all of it, written down as it goes.
"""
