"""`python -m ropo_bench` is the command `ropo-bench`."""

from ropo_bench.cli import main

main()
