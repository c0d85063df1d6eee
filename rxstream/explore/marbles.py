"""The marble diagram of a trace, as SVG text: no dependency, legible on light and on dark, the same text each time."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise, zip_longest
from typing import Final
from xml.sax.saxutils import escape, quoteattr

from rxstream.explore.layout import Group, cut, fitted, group, intervals, steps, terminal_of, ticks, written
from rxstream.explore.trace import Event, Place, Trace

__all__ = ["draw"]

GUTTER: Final = 108
INSET: Final = 14
"""Pixels from where the lines begin to the first moment, so that its marbles are clear of the names."""
MARGIN: Final = 32
RADII: Final = (11.0, 8.5)
"""Of a marble, in pixels: the largest one with which marbles do not run together."""
LONGEST: Final = 64
"""The most pixels that marbles may run together, or a label make one wide; beyond that they are dots."""
LINE: Final = 42
"""Pixels that a probe's line takes."""
STRIP: Final = 56
"""Pixels that a buffer takes, of which `FILL` are its fill."""
FILL: Final = 32
NARROW: Final = 320
"""The least width in pixels that a picture can have."""

STYLE: Final = """\
.rxs{--paper:#fff;--ink:#24292f;--faint:#6e7781;--rule:#d0d7de;--marble:#ddf4ff;--edge:#0969da;--fill:#b6e3ff;\
--drop:#cf222e;--wait:#fae17d;--late:#bf8700;background:var(--paper);border-radius:6px;max-width:100%;\
font:11px system-ui,-apple-system,'Segoe UI','DejaVu Sans',sans-serif}
@media (prefers-color-scheme:dark){.rxs{--paper:#0d1117;--ink:#e6edf3;--faint:#8d96a0;--rule:#3d444d;--marble:#0c2d6b;\
--edge:#58a6ff;--fill:#1f4f8f;--drop:#ff7b72;--wait:#6b4f00;--late:#e3b341}}
[data-jp-theme-light=false] .rxs,.vscode-dark .rxs,[data-md-color-scheme=slate] .rxs{--paper:#0d1117;--ink:#e6edf3;\
--faint:#8d96a0;--rule:#3d444d;--marble:#0c2d6b;--edge:#58a6ff;--fill:#1f4f8f;--drop:#ff7b72;--wait:#6b4f00;\
--late:#e3b341}
[data-jp-theme-light=true] .rxs,.vscode-light .rxs,[data-md-color-scheme=default] .rxs{--paper:#fff;--ink:#24292f;\
--faint:#6e7781;--rule:#d0d7de;--marble:#ddf4ff;--edge:#0969da;--fill:#b6e3ff;--drop:#cf222e;--wait:#fae17d;\
--late:#bf8700}
.rxs text{fill:var(--ink)}.rxs .f{fill:var(--faint)}.rxs .n{font-weight:600}.rxs .r{stroke:var(--rule)}
.rxs .l{stroke:var(--ink);stroke-width:1.3}.rxs .m{fill:var(--marble);stroke:var(--edge);stroke-width:1.3}
.rxs .d{fill:var(--edge)}.rxs .t{stroke:var(--edge)}.rxs .a{fill:var(--fill)}
.rxs .x{stroke:var(--drop);stroke-width:1.8;fill:none}.rxs .xt{fill:var(--drop)}.rxs .w{fill:var(--wait)}\
.rxs .wt{fill:var(--late)}"""


def draw(trace: Trace, width: int) -> str:
    """The picture of a trace, `width` pixels wide."""
    if width < NARROW:
        raise ValueError(f"a picture is at least {NARROW} pixels wide, not {width}")
    return _Picture(trace, width).text()


@dataclass(frozen=True, slots=True)
class _Scale:
    """Seconds to pixels."""

    start: float
    end: float
    width: int

    def x(self, at: float) -> float:
        """Where a time is."""
        span = (self.end - self.start) or 1.0
        return GUTTER + INSET + (at - self.start) / span * (self.width - GUTTER - INSET - MARGIN)


class _Picture:
    """Draws line after line, from the top."""

    def __init__(self, trace: Trace, width: int) -> None:
        self._trace = trace
        self._places = trace.places
        self._width = width
        self._scale = _Scale(trace.start, trace.end, width)
        self._events: dict[str, list[Event]] = {place.name: [] for place in self._places}
        for event in trace.events:
            self._events.setdefault(event.probe, []).append(event)
        self._parts: list[str] = []
        self._y = 8.0

    def text(self) -> str:
        """All of it."""
        self._legend()
        for place in self._places:
            self._line(place)
            if place.last:
                self._strip(place)
        self._axis()
        if self._trace.left_out:
            self._text(GUTTER, self._y + 8, f"{self._trace.left_out} earlier events were left out", "f")
            self._y += 16
        height = int(self._y + 6)
        name = quoteattr(_described(self._trace))
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" class="rxs" width="{self._width}" height="{height}" '
            f'viewBox="0 0 {self._width} {height}" role="img" aria-label={name}>\n<style>{STYLE}</style>\n'
            + "\n".join(self._parts)
            + "\n</svg>"
        )

    # -- the parts

    def _legend(self) -> None:
        """What the signs mean, those that occur."""
        kinds = {event.kind for event in self._trace.events}
        x, y = float(GUTTER), self._y + 6
        if "suspend" in kinds:
            self._add(f'<rect class="w" x="{_n(x)}" y="{_n(y - 5)}" width="18" height="9" rx="2"/>')
            self._text(x + 24, y + 3, "the source waits", "f")
            x += 128
        if "drop" in kinds:
            self._cross(x + 6, y, 4)
            self._text(x + 17, y + 3, "dropped", "f")
            x += 80
        if "discard" in kinds:
            self._slash(x + 6, y)
            self._text(x + 17, y + 3, "discarded", "f")
            x += 90
        if "error" in kinds:
            self._cross(x + 7, y, 5.5)
            self._text(x + 20, y + 3, "failed", "f")
            x += 72
        if "end" in kinds:
            self._add(f'<path class="l" d="M{_n(x + 5)} {_n(y - 5)}v10"/>')
            self._text(x + 14, y + 3, "end", "f")
        self._y += 20 if kinds & {"suspend", "drop", "discard", "error", "end"} else 2

    def _line(self, place: Place) -> None:
        """A probe: its name, its waits, its marbles, its end."""
        events = self._events[place.name]
        passed = [event for event in events if event.kind == "next"]
        terminal = terminal_of(events)
        y = self._y + LINE / 2
        self._name(y, place.name, f"{len(passed)} item{'' if len(passed) == 1 else 's'}")
        self._waits(place, y - 8, 16)
        below = len(self._parts)
        right = self._marbles(passed, y)
        if terminal is None:
            self._ends(events, y)
        end = self._scale.x(terminal.at if terminal else self._trace.end)
        if terminal is not None:
            end = max(end, right + (4 if terminal.kind == "end" else 11))  # clear of the last marble
            self._terminal(terminal, end, y)
        marbles, self._parts = self._parts[below:], self._parts[:below]
        self._add(f'<path class="l" d="M{GUTTER} {_n(y)}H{_n(end + (0 if terminal else 8))}"/>')
        if terminal is None:
            self._add(f'<path class="l" fill="none" d="M{_n(end + 4)} {_n(y - 4)}l5 4l-5 4"/>')
        self._parts += marbles
        self._y += LINE

    def _marbles(self, passed: list[Event], y: float) -> float:
        """The items of a line, labelled if there is room for that. Returns where the last one ends."""
        for radius in RADII:
            groups = group(passed, self._scale.x, 2 * radius - 2)
            if all(marbles.right - marbles.left <= LONGEST - 2 * radius for marbles in groups):
                return self._labelled(groups, y, radius)
        places = sorted({round(self._scale.x(event.at), 1) for event in passed})
        if len(places) * 5 > self._scale.width - GUTTER:
            path = "".join(f"M{x} {_n(y - 7)}v14" for x in sorted(set(map(round, places))))
            self._add(f'<path class="t" d="{path}"/>')
        else:
            for x in places:
                self._add(f'<circle class="d" cx="{_n(x)}" cy="{_n(y)}" r="3.2"/>')
        return places[-1] + 4

    def _labelled(self, groups: list[Group], y: float, radius: float) -> float:
        before = GUTTER - 6.0
        for marbles, following in zip_longest(groups, groups[1:]):
            after = following.left - radius if following else self._width - 4.0
            right = self._marble(marbles, y, radius, min(marbles.left - before, after - marbles.right) - 2)
            before = right
        return before

    def _marble(self, marbles: Group, y: float, radius: float, free: float) -> float:
        """One marble, or one for several items, made as wide as its label wants if `free` pixels to each side allow it.

        Returns where it ends.
        """
        spread = marbles.right - marbles.left
        wide = spread + 2 * radius
        label, size = fitted(marbles, wide, max(wide, min(spread + 2 * free, LONGEST)))
        if written(label, size) > wide - 4:
            wide = written(label, size) + 8
        middle = (marbles.left + marbles.right) / 2
        self._add(
            f'<g><title>{escape(_told(marbles))}</title><rect class="m" x="{_n(middle - wide / 2)}" '
            f'y="{_n(y - radius)}" width="{_n(wide)}" height="{_n(2 * radius)}" rx="{_n(radius)}"/>'
            f'<text x="{_n(middle)}" y="{_n(y + 0.36 * size)}" font-size="{_n(size)}" text-anchor="middle">'
            f"{escape(label)}</text></g>"
        )
        return middle + wide / 2

    def _ends(self, events: list[Event], y: float) -> None:
        """The terminals of a line that several subscriptions share: small, and clear of the marbles."""
        marbles = [self._scale.x(event.at) for event in events if event.kind == "next"]
        for event in events:
            x = self._scale.x(event.at)
            free = all(abs(x - other) > RADII[0] + 5 for other in marbles)
            if event.kind == "error":
                self._cross(x, y if free else y + RADII[0] + 5, 4)
            elif event.kind == "end" and free:
                self._add(f'<path class="l" d="M{_n(x)} {_n(y - 6)}v12"/>')

    def _terminal(self, event: Event, x: float, y: float) -> None:
        """The end of a line."""
        if event.kind == "end":
            self._add(f'<path class="l" d="M{_n(x)} {_n(y - 13)}v26"/>')
            return
        self._add(f"<g><title>{escape(event.item or 'failed')}</title>")
        self._cross(x, y, 9)
        self._add("</g>")
        text = event.item or "failed"
        text = text if len(text) <= 44 else text[:43] + "…"
        after = x + 14 + 6.2 * len(text) < self._width
        self._text(x + 14 if after else x - 14, y - 15, text, "xt", "start" if after else "end")

    def _strip(self, place: Place) -> None:
        """A buffer: its fill up to its capacity, and what was lost."""
        events = self._events[place.name]
        capacity = place.capacity or 1
        top, base = self._y + STRIP - FILL - 6, self._y + STRIP - 6
        path = f"M{GUTTER} {_n(base)}"
        for at, filled in steps(events, self._trace.start, self._trace.end):
            path += f"H{_n(self._scale.x(at))}V{_n(base - FILL * min(filled, capacity) / capacity)}"
        path += f"H{_n(self._scale.x(self._trace.end))}V{_n(base)}Z"
        self._add(f'<path class="a" d="{path}"/>')
        self._waits(place, top - 3, 6)
        right = self._scale.x(self._trace.end)
        self._add(f'<path class="r" stroke-dasharray="3 3" d="M{GUTTER} {_n(top)}H{_n(right)}"/>')
        self._add(f'<path class="r" d="M{GUTTER} {_n(base)}H{_n(right)}"/>')
        self._text(GUTTER - 8, top + 4, str(capacity), "f", "end")
        self._text(GUTTER - 34, top + 12, "buffer", "", "end")
        self._text(GUTTER - 34, top + 25, place.strategy or "", "f", "end")
        self._losses([event for event in events if event.kind in ("drop", "discard")], top)
        self._y += STRIP

    def _losses(self, lost: list[Event], top: float) -> None:
        """A sign for each item that was lost, and its label where there is room."""
        signs = [(round(self._scale.x(event.at)), event) for event in lost]
        drops = sorted({x for x, event in signs if event.kind == "drop"})
        if len(drops) * 9 > self._width - GUTTER:
            self._add(f'<path class="x" stroke-opacity="0.7" d="{"".join(f"M{x} {_n(top - 4)}v8" for x in drops)}"/>')
        else:
            for drop in drops:
                self._cross(drop, top, 4)
        for x in sorted({x for x, event in signs if event.kind == "discard"}):
            self._slash(x, top)
        labels: dict[int, list[Event]] = {}
        for x, event in signs:  # several at one moment: how many
            labels.setdefault(x, []).append(event)
        apart = min((second - first for first, second in pairwise(labels)), default=LONGEST)
        if apart >= 15:
            for x, events in labels.items():
                text = cut(events[0].item or "", max(3, min(10, apart // 7))) if len(events) == 1 else f"{len(events)}×"
                self._text(x, top - 7, text, "xt" if events[0].kind == "drop" else "f", "middle")

    def _waits(self, place: Place, top: float, height: float) -> None:
        """A band for each time that the sources above this place's buffer waited."""
        if place.buffer is None:
            return
        front = next((other for other in self._places if other.last and other.buffer == place.buffer), place)
        terminal = terminal_of(self._events[place.name])
        over = terminal.at if terminal else self._trace.end
        for start, end in intervals(self._events[front.name], self._trace.start, over):
            x, width = self._scale.x(start), max(1.0, self._scale.x(end) - self._scale.x(start))
            self._add(f'<rect class="w" x="{_n(x)}" y="{_n(top)}" width="{_n(width)}" height="{_n(height)}"/>')

    def _axis(self) -> None:
        self._y += 4
        self._add(f'<path class="r" d="M{GUTTER} {_n(self._y)}H{_n(self._scale.x(self._trace.end))}"/>')
        for at, label in ticks(self._trace.start, self._trace.end):
            x = self._scale.x(at)
            self._add(f'<path class="r" d="M{_n(x)} {_n(self._y)}v4"/>')
            self._text(x, self._y + 15, label, "f", "middle")
        self._y += 20

    # -- strokes

    def _name(self, y: float, name: str, count: str) -> None:
        self._add(f"<g><title>{escape(name)}</title>")
        self._text(GUTTER - 12, y - 1, cut(name, 13), "n", "end")
        self._text(GUTTER - 12, y + 12, count, "f", "end")
        self._add("</g>")

    def _cross(self, x: float, y: float, size: float) -> None:
        double = _n(2 * size)
        start = f"M{_n(x - size)} {_n(y - size)}"
        self._add(f'<path class="x" d="{start}l{double} {double}m-{double} 0l{double} -{double}"/>')

    def _slash(self, x: float, y: float) -> None:
        self._add(f'<path class="x" d="M{_n(x - 3)} {_n(y + 4)}l6 -8"/>')

    def _text(self, x: float, y: float, text: str, kind: str = "", anchor: str = "start") -> None:
        style = f' class="{kind}"' if kind else ""
        place = "" if anchor == "start" else f' text-anchor="{anchor}"'
        self._add(f'<text{style} x="{_n(x)}" y="{_n(y)}"{place}>{escape(text)}</text>')

    def _add(self, part: str) -> None:
        self._parts.append(part)


def _described(trace: Trace) -> str:
    """What the picture shows, for those who do not see it."""
    lines = []
    for place in trace.places:
        counts = trace.counts(place.name)
        told = [f"{counts.get('next', 0)} items"]
        told += [f"{counts[kind]} {word}" for kind, word in _WORDS.items() if kind in counts]
        lines.append(f"{place.name}: {', '.join(told)}")
    return f"Marble diagram, {trace.end - trace.start:g} s. " + "; ".join(lines)


_WORDS: Final = {"drop": "dropped", "discard": "discarded", "suspend": "waits", "error": "error", "end": "end"}


def _told(marbles: Group) -> str:
    items = ", ".join(event.item or "" for event in marbles.events[:8])
    more = f" and {len(marbles.events) - 8} more" if len(marbles.events) > 8 else ""
    return f"{marbles.events[0].at:g} s: {items}{more}"


def _n(number: float) -> str:
    """A coordinate, as short as it can be."""
    text = f"{number:.1f}".removesuffix(".0")
    return "0" if text == "-0" else text
