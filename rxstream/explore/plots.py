"""Plots of a trace with matplotlib, which is imported when one is drawn."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final

from rxstream.explore.layout import intervals, steps, terminal_of
from rxstream.explore.trace import Event, Place, Trace

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["plot_marbles", "plot_occupancy", "plot_rates"]

BLUE: Final = "#0969da"
RED: Final = "#cf222e"
AMBER: Final = "#eac54f"


def plot_marbles(trace: Trace, ax: Axes | None = None) -> Axes:
    """A line for each probe, from the source at the top; waits, drops and ends marked."""
    places = trace.places
    ax = _axes(ax, (9.0, 0.9 + 0.55 * max(1, len(places))))
    known: set[str] = set()
    for row, place in enumerate(places):
        events = _of(trace, place)
        for start, end in _waits(trace, place):
            ax.axvspan(start, end, *_band(row, len(places)), color=AMBER, alpha=0.6, lw=0, **_once(known, "waits"))
        ax.axhline(row, color="0.6", lw=1, zorder=1)
        for kind, marker, colour, lift in _SIGNS:
            at = [event.at for event in events if event.kind == kind]
            if at:
                size = {"next": 42, "end": 160}.get(kind, 36)
                ax.scatter(
                    at, [row + lift] * len(at), s=size, marker=marker, color=colour, zorder=3, **_once(known, kind)
                )
    ax.set_yticks(range(len(places)), [place.name for place in places])
    ax.set_ylim(len(places) - 0.4, -0.6)
    _finish(ax, trace)
    return ax


def plot_occupancy(trace: Trace, ax: Axes | None = None) -> Axes:
    """How full each buffer is over time, what it dropped, and when it made its sources wait."""
    ax = _axes(ax, (9.0, 2.6))
    fronts = [place for place in trace.places if place.last]
    known: set[str] = set()
    for place in fronts:
        points = list(steps(_of(trace, place), trace.start, trace.end))
        at = [trace.start, *(point[0] for point in points), trace.end]
        filled = [0, *(point[1] for point in points), points[-1][1]]
        name = f"before {place.name}" if len(fronts) > 1 else "filled"
        line = ax.step(at, filled, where="post", label=f"{name} ({place.strategy})")[0]
        ax.fill_between(at, filled, step="post", alpha=0.2, color=line.get_color(), lw=0)
        ax.axhline(place.capacity or 0, color="0.5", lw=1, ls="--", **_once(known, "capacity"))
        for start, end in _waits(trace, place):
            ax.axvspan(start, end, color=AMBER, alpha=0.35, lw=0, **_once(known, "waits"))
        drops = [event.at for event in _of(trace, place) if event.kind == "drop"]
        if drops:
            level = [place.capacity or 0] * len(drops)
            ax.scatter(drops, level, marker="x", color=RED, s=30, zorder=3, **_once(known, "drop"))
    ax.set_ylabel("items in the buffer")
    ax.set_ylim(bottom=0)
    _finish(ax, trace)
    return ax


def plot_rates(trace: Trace, ax: Axes | None = None, window: float = 1.0) -> Axes:
    """How many items a second pass each probe, over windows of `window` seconds, the end of each included."""
    if not (math.isfinite(window) and window > 0):
        raise ValueError(f"window must be a number of seconds above 0, not {window!r}")
    ax = _axes(ax, (9.0, 2.6))
    bins = max(1, math.ceil((trace.end - trace.start) / window - 1e-9))
    edges = [trace.start + window * n for n in range(bins + 1)]
    for number, place in enumerate(trace.places):
        counts = [0] * bins
        for event in _of(trace, place):
            if event.kind == "next":
                counts[max(0, math.ceil((event.at - trace.start) / window - 1e-9) - 1)] += 1
        rates = [count / window for count in counts]
        ax.step(edges, [*rates, rates[-1]], where="post", label=place.name, ls=("-", "--", ":", "-.")[number % 4])
    ax.set_ylabel("items a second")
    ax.set_ylim(bottom=0)
    _finish(ax, trace)
    return ax


_SIGNS: Final[tuple[tuple[str, str, str, float], ...]] = (
    ("next", "o", BLUE, 0.0),
    ("drop", "x", RED, 0.28),
    ("discard", "x", "0.5", 0.28),
    ("error", "X", RED, 0.0),
    ("end", "|", "black", 0.0),
)

_NAMES: Final = {
    "next": "item",
    "drop": "dropped",
    "discard": "discarded",
    "error": "failed",
    "waits": "the source waits",
    "capacity": "capacity",
    "end": "end",
}


def _axes(ax: Axes | None, size: tuple[float, float]) -> Axes:
    if ax is not None:
        return ax
    try:
        from matplotlib import pyplot
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            "plots need matplotlib: pip install 'rxstream[notebook]'; the picture of a trace needs nothing",
            name=error.name,
        ) from error
    return pyplot.subplots(figsize=size, layout="constrained")[1]


def _of(trace: Trace, place: Place) -> list[Event]:
    return [event for event in trace.events if event.probe == place.name]


def _waits(trace: Trace, place: Place) -> list[tuple[float, float]]:
    if place.buffer is None:
        return []
    front = next((other for other in trace.places if other.last and other.buffer == place.buffer), place)
    terminal = terminal_of(_of(trace, place))
    return list(intervals(_of(trace, front), trace.start, terminal.at if terminal else trace.end))


def _band(row: int, rows: int) -> tuple[float, float]:
    """The part of the height that a line has, as `axvspan` wants it."""
    return 1 - (row + 0.9) / rows, 1 - (row + 0.3) / rows


def _once(known: set[str], name: str) -> dict[str, Any]:
    """A label for the first of its kind only, or the legend would repeat it."""
    if name in known:
        return {}
    known.add(name)
    return {"label": _NAMES[name]}


def _finish(ax: Axes, trace: Trace) -> None:
    span = (trace.end - trace.start) or 1.0
    ax.set_xlim(trace.start - 0.02 * span, trace.end + 0.02 * span)
    ax.set_xlabel("seconds")
    for side in ("top", "right"):
        ax.spines[side].set_visible(False)
    if ax.get_legend_handles_labels()[0]:
        ax.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), frameon=False, fontsize="small")
