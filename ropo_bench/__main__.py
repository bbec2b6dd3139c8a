"""`ropo-bench` and `python -m ropo_bench`: signals are heard before the seconds of imports begin."""

from __future__ import annotations

from ropo_bench.errors.signals import Interrupted, watch_signals
from ropo_bench.errors.streams import leave


def main() -> None:
    """Load the commands and run the one that is asked for."""
    try:
        watch_signals()
        from ropo_bench.commands.app import main as run
    except Interrupted as stop:
        leave(stop.exit_code, stop.line())
    run()


if __name__ == "__main__":
    main()
