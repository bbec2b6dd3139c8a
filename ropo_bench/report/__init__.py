"""Everything that a report shows, gathered from the store alone."""

from ropo_bench.report.gather import gather

__all__ = ["gather"]
