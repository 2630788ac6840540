"""All parts, one after the other, or those named: `python -m benchmarks [PART ...]`."""

import argparse
import subprocess
import sys

from rl.run.manifest import PROJECT

# The shortest first, so that what is broken shows early.
PARTS = ("memory", "limits", "learner", "shared", "step", "versus_trl", "scaling", "quality", "grading", "isolation")


def main() -> int:
    """Run the parts with their defaults; the exit code is that of the first that fails, and the others still run."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Measure everything, or some parts.")
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"{', '.join(PARTS)}; default: all")
    parser.add_argument("-o", "--output", default="bench-results", help="folder (bench-results)")
    options = parser.parse_args()
    unknown = [part for part in options.parts if part not in PARTS]
    if unknown:
        parser.error(f"there is no part {unknown[0]!r}; there are {', '.join(PARTS)}")
    codes = {}
    for part in options.parts or PARTS:
        command = [sys.executable, "-m", f"benchmarks.{part}", "-o", options.output]
        codes[part] = subprocess.run(command, cwd=PROJECT, check=False).returncode
    for part, code in codes.items():
        if code:
            print(f"error: the part {part} ended with exit code {code}", file=sys.stderr)
    return next((code for code in codes.values() if code), 0)


if __name__ == "__main__":
    sys.exit(main())
