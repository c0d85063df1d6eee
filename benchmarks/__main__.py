"""The command line: `python -m benchmarks [--rows NAME ...] [--rounds N] [--json PATH] [--quick]`."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from benchmarks.catalog import GROUPS
from benchmarks.limits import raise_file_limit
from benchmarks.model import FULL, QUICK
from benchmarks.report import as_json, heading, summarise, table
from benchmarks.runner import rows_of, run, select


def parse(arguments: list[str]) -> argparse.Namespace:
    """Read the options."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description="Measure the packages beside their peers."
    )
    parser.add_argument("--rows", nargs="+", metavar="NAME", help="only these rows of the table")
    parser.add_argument("--rounds", type=int, metavar="N", help="how often each contender runs (5; 2 with --quick)")
    parser.add_argument("--json", type=Path, metavar="PATH", help="write the figures and all samples here as well")
    parser.add_argument("--quick", action="store_true", help="a tenth of the work: a smoke test, not a measurement")
    options = parser.parse_args(arguments)
    options.rounds = options.rounds or (2 if options.quick else 5)
    if options.rounds < 1:
        parser.error("--rounds must be at least 1")
    return options


def main(arguments: list[str]) -> int:
    """Run and report; return 1 when a contender failed, since then there is nothing to compare."""
    options = parse(arguments)
    try:
        groups = select(GROUPS, options.rows)
    except ValueError as unknown:
        print(unknown, file=sys.stderr)
        return 2
    raise_file_limit()
    scale = QUICK if options.quick else FULL
    results = run(groups, scale, options.rounds)
    lines = summarise(rows_of(groups), results)
    print(f"{heading(scale, options.rounds)}\n\n{table(lines)}")
    if options.json:
        options.json.write_text(json.dumps(as_json(lines, results, scale, options.rounds), indent=2) + "\n")
    return 1 if results.failures else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
