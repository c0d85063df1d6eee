"""What a trace keeps, counts, and becomes."""

from __future__ import annotations

import builtins
import math
import sys
import threading
from typing import Any

import pytest
import reactivex

from rxstream import explore
from rxstream.explore import Event, Trace, simulate
from rxstream.explore.trace import Place, label_of
from tests.rxstream.support import stream_config


def recorded(count: int, **settings: Any) -> Trace:
    """A trace of so many items, one each second."""
    trace = Trace(**settings)
    trace.add_place(Place("a", 0))
    for number in range(count):
        trace.add(float(number), "a", "next", trace.text(number))
    return trace


def test_times_begin_at_its_beginning() -> None:
    """Whatever the clock showed."""
    trace = Trace()
    trace.begin(100.0)
    trace.begin(200.0)
    trace.add(100.25, "a", "next", "1")
    assert trace.events == (Event(0.25, "a", "next", "1", None),)


def test_it_is_bounded() -> None:
    """The latest events are kept, those before are counted, and the counts of each kind stay whole."""
    trace = recorded(10, max_events=3)
    assert [event.item for event in trace] == ["7", "8", "9"]
    assert (len(trace), trace.left_out, trace.counts("a")) == (3, 7, {"next": 10})
    assert "7 earlier events were left out" in trace.svg()


@pytest.mark.parametrize(
    ("wrong", "error"),
    [
        ({"max_events": 0}, ValueError),
        ({"max_events": True}, TypeError),
        ({"max_events": 1.5}, TypeError),
        ({"label": 3}, TypeError),
    ],
)
def test_wrong_arguments_are_refused(wrong: dict[str, Any], error: type[Exception]) -> None:
    """When it is built."""
    with pytest.raises(error):
        Trace(**wrong)


def test_it_can_be_recorded_into_from_any_thread() -> None:
    """None is lost, and none is counted twice."""
    trace = Trace(max_events=100)
    trace.add_place(Place("a", 0))
    threads = [
        threading.Thread(target=lambda: [trace.add(0.0, "a", "next", "1") for _ in range(2000)]) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert trace.counts("a") == {"next": 8000}
    assert (len(trace), trace.left_out) == (100, 7900)


def test_nothing_is_recorded_once_it_is_closed() -> None:
    """And its end is when it was closed."""
    trace = recorded(3)
    trace.close(5.0)
    trace.close(6.0)
    trace.add(5.5, "a", "next", "late")
    assert (len(trace), trace.end) == (3, 5.0)


def test_a_part_of_it() -> None:
    """A part has the events in between, and begins with the fill that the buffer had."""
    whole = simulate(
        reactivex.from_iterable(range(20)), consumer_delay=0.3, duration=9, buffer=stream_config(4, "suspend")
    )
    part = whole.between(1.3, 2.5)
    assert (part.start, part.end, part.probes) == (1.3, 2.5, whole.probes)
    assert part.events[0] == Event(1.3, "source", "buffer", None, 4)
    assert part.events[1:] == tuple(event for event in whole if 1.3 <= event.at <= 2.5)
    assert part.svg().startswith("<svg")


def test_it_becomes_dicts() -> None:
    """One for each event, with its fields."""
    assert recorded(1).to_dicts() == [{"at": 0.0, "probe": "a", "kind": "next", "item": "0", "filled": None}]


def test_it_becomes_a_frame_of_pandas() -> None:
    """A row for each event; no rows keep the columns."""
    frame = recorded(3).to_pandas()
    assert list(frame["item"]) == ["0", "1", "2"]
    assert list(Trace().to_pandas().columns) == ["at", "probe", "kind", "item", "filled"]


def test_it_becomes_a_frame_of_polars() -> None:
    """A row for each event; no rows keep the columns."""
    frame = recorded(3).to_polars()
    assert frame["item"].to_list() == ["0", "1", "2"]
    assert Trace().to_polars().columns == ["at", "probe", "kind", "item", "filled"]


@pytest.mark.parametrize("name", ["pandas", "polars"])
def test_what_is_not_installed_is_named(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the way out."""
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ModuleNotFoundError, match=rf"{name} is not installed; .* to_dicts\(\)"):
        getattr(Trace(), f"to_{name}")()


def test_plots_without_matplotlib_name_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the way out."""
    real = builtins.__import__

    def without(name: str, *details: Any) -> Any:
        if name.startswith("matplotlib"):
            raise ModuleNotFoundError(name)
        return real(name, *details)

    monkeypatch.setattr(builtins, "__import__", without)
    for plot in ("plot_marbles", "plot_occupancy", "plot_rates"):
        with pytest.raises(ModuleNotFoundError, match=r"rxstream\[notebook\]"):
            getattr(recorded(1), plot)()


def test_labels_are_short() -> None:
    """Whatever an item is; and a label that fails is a question mark, not a stream that does."""
    assert label_of("text") == "text"
    assert label_of(0.1 + 0.2) == "0.3"
    assert label_of(math.nan) == "nan"
    assert label_of(None) == "None"
    assert all(len(label_of(item)) <= 60 for item in ("x" * 10_000, 10**1000, list(range(1000)), {"a": "x" * 1000}))
    assert Trace(label=lambda item: 1 / 0).text(3) == "?"


def test_it_says_what_it_holds() -> None:
    """In one line, the same each time."""
    trace = simulate(
        reactivex.interval(0.1), consumer_delay=0.3, duration=3, buffer={"capacity": 4, "strategy": "sliding"}
    )
    assert repr(trace) == "<Trace 3 s; source: 30, consumer: 10; 16 dropped>"
    assert repr(Trace()) == "<Trace 0 s; nothing>"


def test_the_public_names() -> None:
    """What a notebook imports, each with its documentation."""
    assert explore.__all__ == ["Event", "Trace", "probe", "record", "simulate", "watch"]
    for name in explore.__all__:
        assert len((getattr(explore, name).__doc__ or "").splitlines()) > 10, name
