"""`ropo-bench` and `python -m ropo_bench`: signals are heard before the seconds of imports begin."""

from __future__ import annotations

from ropo_bench.errors import doors


def main() -> None:
    """Load the commands and run the one that is asked for."""
    try:
        doors.watch_signals()
        from ropo_bench.commands.app import main as run
    except doors.Interrupted as stop:
        doors.leave(stop.exit_code, stop.line())
    run()


if __name__ == "__main__":
    main()
