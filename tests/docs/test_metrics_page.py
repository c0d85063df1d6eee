"""docs/metrics.md against the code: its tables are whole, and say nothing that is not so."""

from __future__ import annotations

import re
from typing import get_args

from rxstream.metrics import METRICS
from rxstream.metrics.catalog import Outcome
from rxstream.metrics.sums import MAX_NAMES, VALUES
from tests.docs.pages import ROOT

PAGE = (ROOT / "docs" / "metrics.md").read_text("utf-8")


def test_the_tables_have_every_metric_and_its_kind() -> None:
    """And no other."""
    rows = dict(re.findall(r"^\| `(stream_\w+)` \| (\w+) \|", PAGE, re.MULTILINE))
    assert rows == {metric.name: metric.kind for metric in METRICS}


def test_each_further_label_is_named_in_its_row() -> None:
    """Beyond the three that all streams have, and that of circuits."""
    for metric in METRICS:
        row = re.search(rf"^\| `{metric.name}` .*$", PAGE, re.MULTILINE)
        assert row is not None
        for label in set(metric.labels) - {"stream", "format", "direction", "circuit"}:
            assert f"`{label}`" in row[0]


def test_the_outcomes_and_the_numbers_are_those_of_the_code() -> None:
    """Each outcome has its line."""
    assert set(re.findall(r"^\| `(\w+)` \| ", PAGE, re.MULTILINE)) >= set(get_args(Outcome))
    assert f"{MAX_NAMES} names" in PAGE
    assert f"{VALUES:,}" in PAGE
