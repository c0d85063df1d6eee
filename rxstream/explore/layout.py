"""Where things go in a picture of a trace: groups of marbles, steps of a fill, waits, the marks of an axis."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from rxstream.explore.trace import Event

__all__ = ["Group", "group", "intervals", "steps", "ticks"]


@dataclass(slots=True)
class Group:
    """Events that are drawn as one, as they are too close to each other."""

    events: list[Event]
    left: float
    right: float


def group(events: Iterable[Event], x: Callable[[float], float], distance: float) -> list[Group]:
    """Joins neighbours that are less than `distance` apart."""
    groups: list[Group] = []
    for event in events:
        place = x(event.at)
        if groups and place - groups[-1].right < distance:
            groups[-1].events.append(event)
            groups[-1].right = place
        else:
            groups.append(Group([event], place, place))
    return groups


def steps(events: Iterable[Event], start: float, end: float) -> Iterator[tuple[float, int]]:
    """A buffer's fill: (time, places filled from then on), the last one of each moment."""
    at, filled = start, 0
    for event in events:
        if event.filled is not None:
            if event.at != at:
                yield at, filled
            at, filled = event.at, event.filled
    yield min(at, end), filled


def intervals(events: Iterable[Event], start: float, end: float) -> Iterator[tuple[float, float]]:
    """When the sources waited: (from, to), those that began at the moment when another ended joined to it."""
    since: float | None = None
    waited: list[tuple[float, float]] = []
    first = True
    for event in events:
        if event.kind == "suspend" and since is None:
            since = event.at
        elif event.kind == "resume" and (since is not None or first):
            waited.append((start if since is None else since, event.at))
            since = None
        first = first and event.kind not in ("suspend", "resume")
    if since is not None:
        waited.append((since, end))
    joined: list[tuple[float, float]] = []
    for one in waited:
        if one[0] == one[1]:
            continue
        if joined and joined[-1][1] == one[0]:
            joined[-1] = (joined[-1][0], one[1])
        else:
            joined.append(one)
    yield from joined


def ticks(start: float, end: float, wanted: int = 8) -> list[tuple[float, str]]:
    """About `wanted` round times between two, each with its label in seconds."""
    span = end - start
    if span <= 0:
        return [(start, f"{start:g} s")]
    rough = span / wanted
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= rough * 0.999)
    places = max(0, -math.floor(math.log10(step) + 1e-9))
    first = math.ceil(start / step - 1e-9)
    last = math.floor(end / step + 1e-9)
    return [(round(n * step, 9), f"{n * step:.{places}f} s") for n in range(first, last + 1)]
