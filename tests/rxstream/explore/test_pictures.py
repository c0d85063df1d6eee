"""The pictures of a trace: well formed, the same each time, and nothing runs into anything else."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
import reactivex
from hypothesis import given
from hypothesis import strategies as st
from reactivex import operators as rx

from rxstream import operators
from rxstream.explore import Event, Trace, probe, simulate
from rxstream.explore.layout import cut, group, intervals, steps, ticks
from rxstream.explore.trace import Place
from tests.rxstream.support import stream_config

SVG = "{http://www.w3.org/2000/svg}"


def squares(strategy: str = "sliding", **settings: Any) -> Trace:
    """Two probes, a buffer, a slow consumer."""
    source = reactivex.interval(0.1).pipe(probe("source"), rx.map(lambda n: n * n), probe("squares"))
    return simulate(source, consumer_delay=0.3, buffer=stream_config(4, strategy), **{"duration": 3, **settings})


def texts(picture: ElementTree.Element) -> list[str]:
    """All that is written in a picture."""
    return [element.text or "" for element in picture.iter(f"{SVG}text")]


def shapes(picture: ElementTree.Element, kind: str, name: str) -> list[ElementTree.Element]:
    """The shapes of one class."""
    return [element for element in picture.iter(f"{SVG}{kind}") if element.get("class") == name]


def test_it_is_the_same_each_time() -> None:
    """Also in another process, whatever the seed of its hashes."""
    code = "from tests.rxstream.explore.test_pictures import squares; print(squares().svg())"
    root = Path(__file__).parents[3]
    found = {
        subprocess.run(
            [sys.executable, "-c", code],
            capture_output=True,
            text=True,
            check=True,
            cwd=root,
            env={**os.environ, "PYTHONHASHSEED": seed},
        ).stdout.strip()
        for seed in ("1", "2")
    }
    assert found == {squares().svg()}


def test_it_shows_lines_marbles_drops_and_the_buffer() -> None:
    """A line for each probe, a marble for each item, a cross for each drop, with its label."""
    picture = ElementTree.fromstring(squares().svg())
    written = texts(picture)
    for name in ("source", "squares", "consumer", "buffer", "sliding", "dropped", "30 items", "10 items"):
        assert name in written, name
    assert len(shapes(picture, "rect", "m")) == 30 + 30 + 10
    assert len(shapes(picture, "path", "x")) == 1 + 16  # one is in the legend
    assert len(shapes(picture, "path", "a")) == 1
    assert {"4", "16", "25"} <= {text.text for text in shapes(picture, "text", "xt")}


def test_waits_are_bands() -> None:
    """On the line of each probe above the buffer, and behind its fill; not on the consumer's."""
    picture = ElementTree.fromstring(squares("suspend").svg())
    bands = shapes(picture, "rect", "w")
    assert "the source waits" in texts(picture)
    assert len(bands) == 1 + 3 * 4
    assert len({band.get("y") for band in bands}) == 1 + 3


def test_an_error_says_what_it_is() -> None:
    """Next to its cross."""
    trace = simulate(reactivex.interval(0.5).pipe(rx.map(lambda n: 1 // (2 - n))), duration=9)
    picture = ElementTree.fromstring(trace.svg())
    assert any("division" in text or "modulo" in text for text in texts(picture))
    assert "failed" in texts(picture)


def test_it_tells_those_who_do_not_see_it() -> None:
    """A role and a label for screen readers."""
    picture = ElementTree.fromstring(squares("suspend").svg())
    assert picture.get("role") == "img"
    label = picture.get("aria-label") or ""
    assert label.startswith("Marble diagram, 3 s. source: 12 items")
    assert "squares: 12 items, 4 waits" in label


def test_what_is_written_is_escaped() -> None:
    """Items and names may hold anything."""
    trace = simulate(reactivex.of("<b>&", '"', "]]>").pipe(probe("<i>&\"'")), consumer_delay=1, duration=9)
    assert "<b>&" in texts(ElementTree.fromstring(trace.svg()))
    assert trace._repr_html_().count("<b>") == 0


def test_an_empty_trace_is_a_picture() -> None:
    """Nothing is drawn, and nothing divided by."""
    for trace in (Trace(), simulate(reactivex.never(), duration=1), simulate(reactivex.of(1), duration=1)):
        ElementTree.fromstring(trace.svg())


def test_marbles_never_lie_on_each_other() -> None:
    """At any density: joined where they are close, smaller where they are many, dots and strokes beyond."""
    for duration, delay in ((1, 0.3), (3, 0.1), (6, 0.05), (60, 0.3), (20, 0.07), (60, 0.0)):
        picture = ElementTree.fromstring(_dense(duration, delay).svg())
        by_line: dict[str, list[tuple[float, float]]] = {}
        for marble in shapes(picture, "rect", "m"):
            left, width = float(marble.get("x") or 0), float(marble.get("width") or 0)
            by_line.setdefault(marble.get("y") or "", []).append((left, left + width))
        for spans in by_line.values():
            assert all(first[1] - second[0] <= 3 for first, second in pairwise(sorted(spans)))


def _dense(duration: float, delay: float) -> Trace:
    source = reactivex.interval(0.1).pipe(probe("source"), rx.flat_map(lambda n: reactivex.of(*["item"] * (n % 3 + 1))))
    return simulate(source.pipe(probe("many")), consumer_delay=delay, duration=duration, buffer=stream_config(4))


def test_a_minute_is_small() -> None:
    """However many items there are, a picture is no larger than a photograph's thumbnail."""
    assert len(squares(duration=60).svg()) < 60_000


def test_too_narrow_is_refused() -> None:
    """A picture needs room."""
    with pytest.raises(ValueError, match="320"):
        squares().svg(width=100)


def test_it_is_light_and_dark() -> None:
    """By the reader's setting, and by the themes of JupyterLab and VS Code; every colour is a variable."""
    svg = squares().svg()
    style = svg[svg.index("<style>") : svg.index("</style>")]
    assert "prefers-color-scheme:dark" in style and "data-jp-theme-light=false" in style and ".vscode-dark" in style
    assert re.findall(r"(?:fill|stroke)=\"(?!none)", svg[svg.index("</style>") :]) == []
    used = set(re.findall(r"var\((--\w+)\)", style))
    for block in re.findall(r"\{(--paper[^}]*)\}", style):
        assert used <= set(re.findall(r"--\w+(?=:)", block))


@pytest.mark.parametrize("strategy", ["sliding", "suspend"])
def test_plots(strategy: str) -> None:
    """Into axes of the user's, or of their own; labelled, and each sign once in the legend."""
    import matplotlib as mpl

    mpl.use("agg")
    from matplotlib import pyplot as plt

    trace = squares(strategy)
    try:
        for name, label in (
            ("plot_marbles", ""),
            ("plot_occupancy", "items in the buffer"),
            ("plot_rates", "items a second"),
        ):
            own = getattr(trace, name)()
            given = plt.subplots()[1]
            assert getattr(trace, name)(given) is given
            assert own.get_ylabel() == label and own.get_xlabel() == "seconds"
            legend = [text.get_text() for text in own.get_legend().get_texts()]
            assert len(legend) == len(set(legend)) > 0
            own.figure.canvas.draw()
    finally:
        plt.close("all")


def test_rates_count_each_window() -> None:
    """A window holds what came after its beginning, up to its end."""
    import matplotlib as mpl

    mpl.use("agg")
    from matplotlib import pyplot as plt

    try:
        lines = squares().plot_rates(window=1.0).get_lines()
        assert list(lines[0].get_ydata()) == [10, 10, 10, 10]
        with pytest.raises(ValueError, match="window"):
            squares().plot_rates(window=0)
    finally:
        plt.close("all")


def test_a_buffer_in_the_middle_is_in_the_middle() -> None:
    """Below the probe above of it."""
    source = reactivex.interval(0.1).pipe(
        probe("above"), operators.with_buffer(capacity=2, strategy="dropping"), probe("below")
    )
    written = texts(ElementTree.fromstring(simulate(source, duration=2, consumer_delay=0.4).svg()))
    lines = [text for text in written if text in ("above", "below", "buffer", "consumer")]
    assert lines == ["above", "buffer", "below", "buffer", "consumer"]


# -- layout


@given(st.lists(st.floats(0, 100), max_size=40).map(sorted), st.floats(1, 30))
def test_groups_are_apart_and_lose_nothing(times: list[float], distance: float) -> None:
    """Any times: all events, in order, and no two groups closer than asked for."""
    events = [Event(at, "a", "next") for at in times]
    groups = group(events, lambda at: at, distance)
    assert [event for one in groups for event in one.events] == events
    assert all(second.left - first.right >= distance for first, second in pairwise(groups))


@given(st.floats(0, 1e4), st.floats(1e-3, 1e4))
def test_ticks_are_within_and_few(start: float, length: float) -> None:
    """Any span: some round times in it, with labels that differ."""
    marks = ticks(start, start + length)
    assert len(marks) <= 11
    assert all(start - 1e-6 * length <= at <= start + length * 1.001 for at, _ in marks)
    assert len({label for _, label in marks}) == len(marks)


def test_the_last_fill_of_a_moment_counts() -> None:
    """What came and went at one moment is not drawn."""
    events = [Event(1, "a", "buffer", None, 1), Event(1, "a", "buffer", None, 0), Event(2, "a", "buffer", None, 3)]
    assert list(steps(events, 0, 5)) == [(0, 0), (1, 0), (2, 3)]


def test_waits_begin_and_end_with_the_picture() -> None:
    """One that was there before, one that goes on after, and two that meet are one."""
    events = [
        Event(1, "a", "resume"),
        Event(2, "a", "suspend"),
        Event(3, "a", "resume"),
        Event(3, "a", "suspend"),
        Event(4, "a", "resume"),
        Event(6, "a", "suspend"),
    ]
    assert list(intervals(events, 0, 9)) == [(0, 1), (2, 4), (6, 9)]
    assert list(intervals(events, 0, 3.5)) == [(0, 1), (2, 3.5)]


def test_cut_text_says_so() -> None:
    """With a character that fits."""
    assert (cut("text", 4), cut("texts", 4)) == ("text", "tex…")


def test_places_are_plain_data() -> None:
    """They compare."""
    assert Place("a", 0) == Place("a", 0)
