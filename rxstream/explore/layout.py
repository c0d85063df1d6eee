"""Where things go in a picture of a trace: groups of marbles, steps of a fill, waits, the marks of an axis."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from rxstream.explore.trace import Event

__all__ = ["Group", "cut", "fitted", "group", "intervals", "steps", "terminal_of", "ticks", "written"]


WIDE: Final = frozenset("mwMW@%…—")


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


def terminal_of(events: Iterable[Event]) -> Event | None:
    """The terminal of a line; None if it goes on, or is shared by several subscriptions."""
    terminals = [event for event in events if event.kind in ("end", "error")]
    return terminals[0] if len(terminals) == 1 else None


def intervals(events: Iterable[Event], start: float, end: float) -> Iterator[tuple[float, float]]:
    """When the sources waited, before `end`: (from, to), joined where one began at the moment when another ended."""
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
        one = (one[0], min(one[1], end))
        if one[0] >= one[1]:
            continue
        if joined and joined[-1][1] == one[0]:
            joined[-1] = (joined[-1][0], one[1])
        else:
            joined.append(one)
    yield from joined


def written(text: str, size: float) -> float:
    """Pixels that a text of that size takes, or less."""
    return size * sum(0.95 if letter in WIDE else 0.72 if letter.isupper() else 0.62 for letter in text)


def cut(text: str, length: int) -> str:
    """A text of at most `length` characters."""
    return text if len(text) <= length else text[: length - 1] + "…"


def fitted(marbles: Group, width: float, most: float) -> tuple[str, float]:
    """A label for a marble of that width, or of up to `most` if it needs that, and the size of its letters."""
    texts = _labels([event.item or "" for event in marbles.events])
    for text in texts:
        for size, room in ((11.0, width - 4), (9.5, width - 4), (9.5, most - 8), (8.0, most - 6)):
            if written(text, size) <= room:
                return text, size
    return texts[-1], 7.5


def _labels(items: list[str]) -> list[str]:
    """What may be written on a marble, the most telling first."""
    number = len(items)
    if number == 1:
        return [items[0], *(cut(items[0], length) for length in (8, 6, 4, 3))]
    if len(set(items)) == 1:
        return [f"{number}×{items[0]}", f"{number}×"]
    return [f"{items[0]}, {items[1]}" if number == 2 else f"{items[0]}…{items[-1]}", f"{number}×"]


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
