"""Whether ropo-bench works at both ends of the versions that it allows: `python packaging/bounds/try_bounds.py`.

Installs the lowest (then the highest) allowed version of every direct dependency into a fresh virtual environment and
runs the whole way there, on four training steps of the embedded testbed. It downloads several gigabytes: before a
release and weekly, not with every test. Needs `uv` (pip install uv). Exit 1 where an end does not work.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[2]
RESOLUTIONS = {"lowest": "lowest-direct", "highest": "highest"}
SMOKE = "run --methods ropo,dpo --seeds 1 --set train.max_steps=4 --tasks pocket-arena"


def main() -> int:
    """Try the ends that are asked for, each in a folder of its own, and say which works."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("ends", nargs="*", default=list(RESOLUTIONS), help="lowest, highest (default: both)")
    parser.add_argument("--find-links", help="folder of wheels to look into as well")
    given = parser.parse_args()
    uv = shutil.which("uv")
    if uv is None:
        sys.exit("uv is not installed; pip install uv")
    failed = [end for end in given.ends if not _works(uv, end, given.find_links)]
    return 1 if failed else 0


def _works(uv: str, end: str, find_links: str | None) -> bool:
    links = ["--find-links", find_links] if find_links else []
    with tempfile.TemporaryDirectory(prefix=f"ropo-bench-{end}-") as name:
        folder = Path(name)
        python = folder / "venv" / "bin" / "python"
        pins = folder / "pins.txt"
        compiled = [uv, "pip", "compile", "--quiet", "--resolution", RESOLUTIONS[end], "--output-file", str(pins)]
        smoke = [str(python), "-P", "-m", "ropo_bench", *SMOKE.split(), "--runs", str(folder / "runs")]
        for command in (
            [uv, "venv", "--quiet", "--python", sys.executable, str(folder / "venv")],
            [*compiled, "--python", str(python), *links, str(ROOT / "pyproject.toml")],
            [uv, "pip", "install", "--quiet", "--python", str(python), *links, "--requirements", str(pins)],
            [uv, "pip", "install", "--quiet", "--python", str(python), "--no-deps", str(ROOT)],
            smoke,
        ):
            code = subprocess.run(command, cwd=folder, check=False).returncode
            if code:
                print(f"{end}: exit code {code} of {' '.join(command)}")
                return False
    print(f"{end}: works")
    return True


if __name__ == "__main__":
    sys.exit(main())
