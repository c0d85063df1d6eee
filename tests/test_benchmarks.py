"""The table of the benchmarks, without the work: what is compared has been measured, and equally often."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest

from benchmarks.catalog import GROUPS
from benchmarks.model import FULL, Contender, Group, Sample, Scale
from benchmarks.report import summarise, table
from benchmarks.runner import rows_of, run


def measured(_: Scale) -> Sample:
    """What a contender gives."""
    return {"seconds": 1.0, "cpu": 1.0, "kib": 1.0, "tasks": 1.0, "peak_mib": 1.0}


def at_once(contender: Contender) -> Contender:
    """The same, without the work."""
    return replace(contender, run=measured)


@pytest.mark.parametrize("rounds", [1, 2, 3, 5, 9])
def test_each_row_has_its_figures(rounds: int) -> None:
    """Also where some contenders run less often than others."""
    groups = [Group(tuple(map(at_once, group.contenders)), group.rows) for group in GROUPS]
    lines = summarise(rows_of(groups), run(groups, FULL, rounds))
    assert [line.figure for line in lines] == [1.0 if line.kind == "speedup" else 0.0 for line in lines]
    assert len(table(lines).splitlines()) == len(lines) + 2


def test_each_contender_runs_beside_those_that_it_is_compared_with() -> None:
    """In one group, and once in it: its samples are one list."""
    for group in GROUPS:
        names = {contender.name for contender in group.contenders}
        assert {name for row in group.rows for name in (row.ours, row.peer)} == names
    counts = Counter(contender.name for group in GROUPS for contender in group.contenders)
    assert set(counts.values()) == {1}
    assert set(Counter(row.name for group in GROUPS for row in group.rows).values()) == {1}
