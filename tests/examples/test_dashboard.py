"""The dashboard for Grafana: each query asks for metrics and labels that there are, and none is forgotten."""

from __future__ import annotations

import json
import re
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest

from rxstream.metrics import METRICS, Metric

DASHBOARD: dict[str, Any] = json.loads((Path(__file__).parents[2] / "examples/grafana/rxstream.json").read_text())
PANELS: list[dict[str, Any]] = DASHBOARD["panels"]
QUERIES = [
    pytest.param(target["expr"], target.get("legendFormat", ""), id=f"{panel['id']}{target['refId']}")
    for panel in PANELS
    for target in panel.get("targets", [])
]
SUFFIXES = ("_bucket", "_sum", "_count")


def metric_of(name: str) -> Metric | None:
    """The metric that a sample of this name is of."""
    for metric in METRICS:
        names = [metric.name + suffix for suffix in SUFFIXES] if metric.kind == "histogram" else [metric.name]
        if name in names:
            return metric
    return None


def words(text: str) -> set[str]:
    """The names in a comma-separated list."""
    return {word.strip() for word in text.split(",")} - {""}


@pytest.mark.parametrize(("query", "legend"), QUERIES)
def test_a_query_asks_for_what_there_is(query: str, legend: str) -> None:
    """The names as they are scraped; labels that these metrics have, in selectors, groups and legends."""
    names = set(re.findall(r"\b(stream_\w+)\{", query))
    assert names
    metrics = [metric_of(name) for name in names]
    assert None not in metrics, names
    labels = {label for metric in metrics if metric is not None for label in metric.labels}
    if any(name.endswith("_bucket") for name in names):
        labels.add("le")
    groups = [words(group) for group in re.findall(r"by \(([^)]*)\)", query)]
    selected = set(re.findall(r"(\w+)\s*(?:=~|!=|!~|=)\s*\"", query))
    assert selected.union(*groups) <= labels
    assert set(re.findall(r"{{(\w+)}}", legend)) <= groups[0]


@pytest.mark.parametrize(("query", "legend"), QUERIES)
def test_a_query_is_well_formed(query: str, legend: str) -> None:
    """Brackets match; counters are only looked at as rates; variables are those of the dashboard or of Grafana."""
    stack = []
    for char in re.sub(r'"[^"]*"', '""', query):
        if char in "([{":
            stack.append(char)
        elif char in ")]}":
            assert stack.pop() + char in ("()", "[]", "{}")
    assert stack == []
    for name in re.findall(r"\b(stream_\w+)\{", query):
        metric = metric_of(name)
        assert metric is not None
        rates = re.findall(rf"(?:rate|increase)\({name}\{{[^}}]*\}}\[[^\]]+\]\)", query)
        assert len(rates) == (0 if metric.kind == "gauge" else query.count(name + "{"))
    own = {variable["name"] for variable in DASHBOARD["templating"]["list"]}
    assert set(re.findall(r"\$(\w+)", query)) <= own | {"__rate_interval"}


def test_each_metric_is_shown() -> None:
    """None is forgotten."""
    shown = {metric_of(name) for query in QUERIES for name in re.findall(r"\b(stream_\w+)\{", str(query.values[0]))}
    assert shown == set(METRICS)


def test_its_variables_are_filled_from_what_there_is() -> None:
    """The lists of streams and circuits."""
    for variable in DASHBOARD["templating"]["list"]:
        if variable["type"] == "query":
            metric, label = re.fullmatch(r"label_values\((\w+), (\w+)\)", variable["query"]["query"]).groups()  # type: ignore[union-attr]
            assert label in (found := metric_of(metric)).labels, found  # type: ignore[union-attr]


def test_it_has_what_grafana_imports() -> None:
    """The classic model: each panel has a place of its own, and a data source that the reader chooses."""
    assert DASHBOARD["id"] is None
    assert (DASHBOARD["uid"], DASHBOARD["title"], DASHBOARD["schemaVersion"]) == ("rxstream", "rxstream", 39)
    assert len({panel["id"] for panel in PANELS}) == len(PANELS)
    assert {panel["type"] for panel in PANELS} == {"row", "timeseries", "state-timeline"}
    for panel in PANELS:
        place = panel["gridPos"]
        assert 0 <= place["x"] < place["x"] + place["w"] <= 24
        if panel["type"] != "row":
            assert panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
            assert [target["refId"] for target in panel["targets"]] == ["A", "B"][: len(panel["targets"])]
    for one, other in combinations([panel["gridPos"] for panel in PANELS], 2):
        apart = (
            one["x"] + one["w"] <= other["x"]
            or other["x"] + other["w"] <= one["x"]
            or one["y"] + one["h"] <= other["y"]
            or other["y"] + other["h"] <= one["y"]
        )
        assert apart, (one, other)
