"""Draws the diagrams that no program draws by running: `python docs/diagrams/draw.py` writes them beside this file.

The colours are those of the marble diagrams of `rxstream.explore`, and follow the reader's theme.
"""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

STYLE = """<style>
svg{--paper:#fff;--ink:#24292f;--faint:#57606a;--box:#ddf4ff;--edge:#0969da;--bad:#cf222e;--warm:#fff3c4;--gold:#9a6700;
background:var(--paper);border-radius:6px;font:14px system-ui,-apple-system,'Segoe UI','DejaVu Sans',sans-serif}
@media (prefers-color-scheme:dark){svg{--paper:#0d1117;--ink:#e6edf3;--faint:#9aa4ae;--box:#0c2d6b;--edge:#58a6ff;
--bad:#ff7b72;--warm:#3d2e00;--gold:#e3b341}}
text{fill:var(--ink);text-anchor:middle}.s{fill:var(--faint);font-size:12px}.b{fill:var(--box);stroke:var(--edge)}
.w{fill:var(--warm);stroke:var(--gold)}.l{stroke:var(--ink);fill:none;stroke-width:1.5}.g{stroke:var(--gold)}
.r{stroke:var(--bad)}.rt{fill:var(--bad)}.gt{fill:var(--gold)}.left{text-anchor:start}.dash{stroke-dasharray:6 4}
.m{font-family:ui-monospace,'DejaVu Sans Mono',monospace;font-size:13px}
</style>"""


class Drawing:
    """An SVG as it grows. Positions and sizes are pixels."""

    def __init__(self, width: int, height: int, title: str) -> None:
        self._width, self._height, self._title = width, height, title
        self._parts: list[str] = []

    def text(self, x: float, y: float, text: str, kind: str = "") -> None:
        """A line of text, its middle at `x`; `left` begins there."""
        self._parts.append(f'<text x="{x:g}" y="{y:g}" class="{kind}">{text}</text>')

    def box(self, x: float, y: float, width: float, text: str, below: str = "", *, kind: str = "b") -> None:
        """A box of 46 pixels with a name in it, and what it is below the name."""
        self._parts.append(f'<rect x="{x:g}" y="{y:g}" width="{width:g}" height="46" rx="6" class="{kind}"/>')
        self.text(x + width / 2, y + (21 if below else 28), text)
        if below:
            self.text(x + width / 2, y + 37, below, "s")

    def arrow(self, points: str, kind: str = "") -> None:
        """A line through points, `x,y x,y`, with a head at its end."""
        (x, y), (from_x, from_y) = (tuple(map(float, point.split(","))) for point in reversed(points.split()[-2:]))
        dx, dy = (x > from_x) - (x < from_x), (y > from_y) - (y < from_y)
        back_x, back_y = x - 7 * dx, y - 7 * dy
        head = f"M{back_x - 4 * dy:g},{back_y - 4 * dx:g} L{x:g},{y:g} L{back_x + 4 * dy:g},{back_y + 4 * dx:g}"
        self._parts.append(f'<polyline points="{points}" class="l {kind}"/>')
        self._parts.append(f'<path d="{head}" class="l {kind.replace("dash", "")}"/>')

    def cross(self, x: float, y: float) -> None:
        """The place where something fails."""
        self._parts.append(f'<path d="M{x - 7},{y - 7} l14,14 m0,-14 l-14,14" class="l r" style="stroke-width:2.5"/>')

    def __str__(self) -> str:
        size = f'width="{self._width}" height="{self._height}" viewBox="0 0 {self._width} {self._height}"'
        head = f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img" aria-label="{self._title}">'
        return "\n".join([head, STYLE, *self._parts, "</svg>\n"])


def demand() -> Drawing:
    """Items go down, the news of room goes up."""
    picture = Drawing(820, 200, "Items go from the source to the consumer, demand from the buffer to the source")
    boxes = [(20, 130, "source"), (210, 160, "your operators"), (430, 150, "buffer"), (640, 160, "consumer")]
    below = ["makes items", "map, filter, merge", "capacity, strategy", "async for, a response"]
    for (x, width, name), kind in zip(boxes, below, strict=True):
        picture.box(x, 76, width, name, kind, kind="w" if name == "buffer" else "b")
    for begin, end in ((150, 210), (370, 430)):
        picture.arrow(f"{begin},99 {end - 2},99")
    picture.arrow("640,99 582,99")
    picture.text(180, 66, "push", "s")
    picture.text(400, 66, "push", "s")
    picture.text(610, 66, "pull", "s")
    picture.arrow("505,122 505,160 85,160 85,124", "g dash")
    picture.text(295, 180, "demand: there is room, or there is none; in the subscription’s scheduler", "gt")
    picture.text(505, 36, "the boundary", "gt")
    picture.arrow("505,44 505,72", "g")
    return picture


def failure() -> Drawing:
    """What a client sees, by when a stream fails."""
    picture = Drawing(820, 250, "What the client sees when a stream fails, before and after its first item")
    picture.text(20, 34, "fails before the first item", "left")
    picture.arrow("260,30 420,30")
    picture.cross(340, 30)
    picture.box(440, 7, 360, "an HTTP status: 500, 503, ...", kind="w")
    for y, name, chunks, end, note in (
        (100, "export, after it", ["[{…}", ",{…}"], "cut off", "no ], no last chunk: the client’s library reports it"),
        (180, "event stream, after it", ["data: …", "data: …"], "event: error", "the last event; then a clean end"),
    ):
        picture.text(20, y + 28, name, "left")
        for number, chunk in enumerate(chunks):
            picture.box(200 + number * 106, y, 96, chunk)
        picture.arrow(f"402,{y + 23} 470,{y + 23}")
        picture.cross(433, y + 23)
        picture.text(480, y + 20, end, "left rt m")
        picture.text(480, y + 38, note, "left s")
    return picture


def framing() -> Drawing:
    """Where items become bytes."""
    picture = Drawing(820, 170, "Items are dropped in the buffer, and encoded and framed behind it")
    steps = [(20, 110, "source", "items"), (160, 140, "your operators", "items"), (330, 120, "buffer", "items")]
    steps += [(480, 160, "serialize, encode", "one batch"), (670, 130, "frame, send", "one chunk")]
    for x, width, name, below in steps:
        picture.box(x, 56, width, name, below, kind="w" if name == "buffer" else "b")
    for (x, width, _, _), (end, *_) in pairwise(steps):
        picture.arrow(f"{x + width},79 {end - 2},79")
    picture.arrow("390,102 390,134", "r")
    picture.text(390, 154, "dropped here: whole items", "rt")
    picture.text(230, 34, "Python objects", "s")
    picture.text(735, 34, "bytes", "s")
    return picture


def workers() -> Drawing:
    """One feed, several processes."""
    picture = Drawing(820, 270, "Every worker reads the Redis stream once, and hands each entry to its own clients")
    picture.box(20, 100, 120, "publisher", "XADD")
    picture.box(220, 100, 150, "Redis stream", "a bounded log with ids", kind="w")
    picture.arrow("140,123 218,123")
    for y, name in ((40, "worker 1"), (160, "worker 2")):
        picture.box(440, y, 150, name, "one reader, a Subject")
        picture.arrow(f"370,123 405,123 405,{y + 23} 438,{y + 23}")
        for number in (0, 1):
            client = y - 28 + number * 58
            picture.box(680, client, 120, "client", "a buffer of its own")
            picture.arrow(f"590,{y + 23} 630,{y + 23} 630,{client + 23} 678,{client + 23}")
    picture.arrow("740,236 740,252 295,252 295,148", "g dash")
    picture.text(520, 246, "Last-Event-ID: what was missed is read again", "gt s")
    return picture


if __name__ == "__main__":
    for draw in (demand, failure, framing, workers):
        Path(__file__).with_name(f"{draw.__name__}.svg").write_text(str(draw()))
