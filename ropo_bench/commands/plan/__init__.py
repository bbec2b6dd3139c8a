"""`ropo-bench plan`: what a run would do, cost and be able to see, before anything is spent."""
