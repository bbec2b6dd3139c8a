"""MT-Bench (arXiv 2306.05685): single-answer grading, pairwise judging, and FastChat's files of both."""
