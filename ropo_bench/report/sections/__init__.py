"""The sections of a report, one file each: what a run has for it, its figure, its numbers as text."""
