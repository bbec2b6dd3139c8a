"""The nightly gate: is tonight worse than the baseline, by more than noise and by more than the margin?"""
