"""Turns samples into medians, ratios and verdicts, and those into a table and into JSON."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from statistics import median
from typing import Any, Final, Literal

from benchmarks.model import Row, Scale
from benchmarks.runner import Results

_PACKAGES: Final = (
    "quart",
    "hypercorn",
    "uvicorn",
    "uvloop",
    "httptools",
    "starlette",
    "sse-starlette",
    "janus",
    "multipart",
    "python-multipart",
    "reactivex",
    "msgspec",
)

Verdict = Literal["met", "SHORT", "FAILED", "info"]


@dataclass(frozen=True)
class Line:
    """One row of the table with its figures.

    `low` and `high` are the extremes of the figure over the rounds; `by_cpu` is a speedup's figure from the CPU time of
    the server (of the process, where there is none), which other work on the machine hardly changes.
    """

    name: str
    work: str
    ours: float | None
    peer: float | None
    unit: str
    kind: str
    figure: float | None
    low: float | None
    high: float | None
    by_cpu: float | None
    target: float | None
    verdict: Verdict


def summarise(rows: Sequence[Row], results: Results) -> list[Line]:
    """Compare each row's contenders by their medians."""
    return [_line(row, results) for row in rows]


def _line(row: Row, results: Results) -> Line:
    ours = [sample[row.metric] for sample in results.samples.get(row.ours, ())]
    peer = [sample[row.metric] for sample in results.samples.get(row.peer, ())]
    if not ours or not peer or {row.ours, row.peer} & set(results.failures):
        return Line(row.name, row.work, None, None, row.unit, row.kind, None, None, None, None, row.target, "FAILED")
    figure = _figure(row, median(ours), median(peer))
    rounds = [_figure(row, mine, theirs) for mine, theirs in zip(ours, peer, strict=True)]
    return Line(
        row.name,
        row.work,
        median(ours),
        median(peer),
        row.unit,
        row.kind,
        figure,
        min(rounds),
        max(rounds),
        _by_cpu(row, results),
        row.target,
        _verdict(row, figure),
    )


def _figure(row: Row, ours: float, peer: float) -> float:
    return peer / ours if row.kind == "speedup" else ours - peer


def _by_cpu(row: Row, results: Results) -> float | None:
    if row.kind != "speedup":
        return None
    ours, peer = (median(sample["cpu"] for sample in results.samples[name]) for name in (row.ours, row.peer))
    return peer / ours if ours else None


def _verdict(row: Row, figure: float) -> Verdict:
    if row.target is None:
        return "info"
    reached = figure >= row.target if row.kind == "speedup" else figure <= row.target
    return "met" if reached else "SHORT"


def heading(scale: Scale, rounds: int) -> str:
    """Return the sizes and the rounds in one sentence, for above the table."""
    return (
        f"{scale.items:,} items; {scale.rows:,} rows; {scale.clients:,} SSE clients, {scale.events:,} events each; "
        f"{scale.idle_clients:,} idle clients; exports of {scale.few:,} and {scale.many:,} rows for memory; uploads of "
        f"{scale.upload >> 20} MiB, {scale.fields:,} fields, {scale.upload >> 10:,} single bytes. "
        f"Medians of {rounds} rounds (memory: fewer) on {os.cpu_count()} CPUs, Python {platform.python_version()}."
    )


def table(lines: Sequence[Line]) -> str:
    """Return the lines as a Markdown table."""
    head = ["row", "work: ours / peer", "ours", "peer", "figure (over the rounds)", "by CPU time", "target", ""]
    body = [
        [
            line.name,
            line.work,
            _amount(line.ours, line.unit),
            _amount(line.peer, line.unit),
            *_figures(line),
            line.verdict,
        ]
        for line in lines
    ]
    widths = [max(len(cells[column]) for cells in [head, *body]) for column in range(len(head))]
    rule = ["-" * width for width in widths]
    return "\n".join(
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)) + " |"
        for cells in [head, rule, *body]
    )


def _amount(value: float | None, unit: str) -> str:
    if value is None:
        return "-"
    return f"{value:.3f} {unit}" if unit == "s" else f"{value:.1f} {unit}".rstrip()


def _figures(line: Line) -> tuple[str, str, str]:
    sign = "x" if line.kind == "speedup" else f" {line.unit}".rstrip()
    plus = "" if line.kind == "speedup" else "+"
    bound = ">=" if line.kind == "speedup" else "<="
    target = "-" if line.target is None else f"{bound} {line.target:g}{sign}"
    if line.figure is None:
        return "-", "-", target
    by_cpu = "-" if line.by_cpu is None else f"{line.by_cpu:.2f}x"
    return f"{line.figure:{plus}.2f}{sign} ({line.low:{plus}.2f} to {line.high:{plus}.2f})", by_cpu, target


def as_json(lines: Sequence[Line], results: Results, scale: Scale, rounds: int) -> dict[str, Any]:
    """Return all of it as one document: machine, versions, sizes, lines, every sample, failures."""
    return {
        "machine": {"cpus": os.cpu_count(), "platform": platform.platform(), "python": platform.python_version()},
        "versions": {name: _version(name) for name in _PACKAGES},
        "scale": asdict(scale),
        "rounds": rounds,
        "rows": [asdict(line) for line in lines],
        "samples": results.samples,
        "failures": results.failures,
    }


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
