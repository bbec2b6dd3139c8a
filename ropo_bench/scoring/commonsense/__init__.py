"""Commonsense by multiple choice: eight public tasks through lm-eval, their generative form, and pocket's quiz."""
