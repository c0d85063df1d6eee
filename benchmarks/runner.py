"""Runs contenders interleaved, round after round, so that what the machine does meanwhile meets them alike."""

from __future__ import annotations

import sys
from collections.abc import Collection
from dataclasses import dataclass, field

from benchmarks.model import Contender, Group, Row, Sample, Scale


@dataclass
class Results:
    """What was measured: the samples of each contender, and why some have none."""

    samples: dict[str, list[Sample]] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)


def select(groups: Collection[Group], names: Collection[str] | None) -> list[Group]:
    """Return the groups cut down to the rows named (all without names) and to the contenders that those rows need.

    Raises `ValueError` for a name that no row has.
    """
    known = [row.name for group in groups for row in group.rows]
    if unknown := sorted(set(names or ()) - set(known)):
        raise ValueError(f"no such row: {', '.join(unknown)}; there are {', '.join(known)}")
    return [cut for group in groups if (cut := _cut(group, names)).rows]


def _cut(group: Group, names: Collection[str] | None) -> Group:
    rows = tuple(row for row in group.rows if not names or row.name in names)
    needed = {name for row in rows for name in (row.ours, row.peer)}
    return Group(tuple(one for one in group.contenders if one.name in needed), rows)


def run(groups: Collection[Group], scale: Scale, rounds: int) -> Results:
    """Run every contender of every group, `rounds` times, and print a line for each to standard error."""
    results = Results()
    for group in groups:
        for number in range(rounds):
            for contender in group.contenders:
                if number < contender.max_rounds and contender.name not in results.failures:
                    _run_once(contender, scale, number, results)
    return results


def _run_once(contender: Contender, scale: Scale, number: int, results: Results) -> None:
    try:
        sample = contender.run(scale)
    except Exception as failure:  # one contender that fails must not cost the others their figures
        results.failures[contender.name] = f"{type(failure).__name__}: {failure}"
        print(
            f"round {number + 1}  {contender.name}: FAILED: {str(failure).strip()[-300:]}", file=sys.stderr, flush=True
        )
        return
    results.samples.setdefault(contender.name, []).append(sample)
    figures = "  ".join(f"{key} {value:.4g}" for key, value in sample.items() if key not in ("count", "checksum"))
    print(f"round {number + 1}  {contender.name}: {figures}", file=sys.stderr, flush=True)


def rows_of(groups: Collection[Group]) -> list[Row]:
    """Return the rows of all groups, in the table's order."""
    return [row for group in groups for row in group.rows]
