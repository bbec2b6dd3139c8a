"""`ropo-bench score`: what exists already is scored, nothing is trained."""
