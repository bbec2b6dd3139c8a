"""Rows side by side: the graph of stages, its schedule, and the worker processes that make it."""
