"""What was recorded of a stream: events, in order, and who saw them. Data only: no Rx, no pictures, no clock."""

from __future__ import annotations

import reprlib
import threading
from collections import Counter, deque
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from importlib import import_module
from itertools import count
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias, TypeVar

from rxstream.buffer_config import Strategy

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from reactivex import Observable

__all__ = ["Event", "Kind", "Place", "Trace"]

Kind: TypeAlias = Literal["next", "drop", "discard", "suspend", "resume", "error", "end", "buffer"]

T = TypeVar("T")

MAX_EVENTS: Final = 10_000
"""Events that a trace keeps if nothing else is asked for."""

_short = reprlib.Repr()
_short.maxstring = _short.maxother = _short.maxlong = 40


def label_of(item: object) -> str:
    """A short text for an item: strings as they are, floats to three digits, all else as Python writes it."""
    if type(item) is float:
        return f"{item:.3g}"
    return item if isinstance(item, str) and len(item) <= 40 else _short.repr(item)


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that happened.

    Args:
        at: Seconds since the trace began, on the clock that the stream's timers follow.
        probe: The name of the probe that saw it; of what happens to a buffer, the probe in front of it.
        kind: `"next"`: an item passed. `"drop"`: the buffer's strategy sacrificed an item. `"discard"`: an item was in
            the buffer, or came, when the stream was over. `"suspend"`: a source began to wait for room; `"resume"`:
            none waits any more. `"error"` and `"end"`: the terminal passed. `"buffer"`: the buffer's fill changed.
        item: The item, or the error, as a short text.
        filled: Places of the buffer behind the probe that are filled after it, where that is known. Under `suspend`
            what the consumer has in hand still fills its place.
    """

    at: float
    probe: str
    kind: Kind
    item: str | None = None
    filled: int | None = None


@dataclass(frozen=True, slots=True)
class Place:
    """A point of the pipeline that has events.

    Args:
        name: The probe's.
        order: Sorts the places as the pipeline flows; of some that were made while it ran, it is no whole number.
        capacity: Of the buffer that the probe is above of, None where it is above of none that tells.
        strategy: Of that buffer.
        buffer: Tells buffers apart: probes above of the same one have the same.
        last: Whether no probe lies between this one and the buffer.
    """

    name: str
    order: float
    capacity: int | None = None
    strategy: Strategy | None = None
    buffer: int | None = None
    last: bool = False


class Trace:
    """Events of a stream, as they are recorded: bounded, thread-safe, and a picture in a notebook.

    Args:
        max_events: Events that it keeps, at least 1: the latest ones. `left_out` counts those before.
        label: Makes a short text of an item; items themselves are not kept.

    Raises:
        TypeError: `max_events` is no `int`, or `label` not callable.
        ValueError: `max_events` is below 1.

    In Jupyter it shows itself as a marble diagram: a line for each probe, and below the probe in front of a buffer how
    full that is, what it dropped, and when it made its sources wait.

    Example:
        >>> trace = simulate(reactivex.interval(0.1), consumer_delay=0.3, buffer={"capacity": 4}, duration=3)
        >>> trace.counts("source")["next"]
    """

    def __init__(self, *, max_events: int = MAX_EVENTS, label: Callable[[Any], str] = label_of) -> None:
        if not isinstance(max_events, int) or isinstance(max_events, bool):
            raise TypeError(f"max_events must be an int, not {max_events!r}")
        if max_events < 1:
            raise ValueError(f"max_events must be at least 1, not {max_events}")
        if not callable(label):
            raise TypeError(f"label must be callable, not {label!r}")
        self.max_events = max_events
        self._label = label
        self._events: deque[Event] = deque(maxlen=max_events)
        self._places: dict[str, Place] = {}
        self._counts: Counter[tuple[str, Kind]] = Counter()  # an entry for each probe and kind
        self._buffers = count()
        self._lock = threading.Lock()
        self._origin: float | None = None
        self._left_out = 0
        self._closed = False
        self._start = 0.0
        self._end: float | None = None

    # -- what was seen

    @property
    def events(self) -> tuple[Event, ...]:
        """What it has kept, oldest first."""
        with self._lock:
            return tuple(self._events)

    @property
    def left_out(self) -> int:
        """Events from before those that it has kept."""
        return self._left_out

    @property
    def places(self) -> tuple[Place, ...]:
        """The points that were recorded, as the pipeline flows."""
        with self._lock:
            return tuple(sorted(self._places.values(), key=lambda place: place.order))

    @property
    def probes(self) -> tuple[str, ...]:
        """The names of the points, as the pipeline flows."""
        return tuple(place.name for place in self.places)

    @property
    def start(self) -> float:
        """Where it begins, in seconds; 0 but for a part of a trace."""
        return self._start

    @property
    def end(self) -> float:
        """Where it ends, in seconds: when recording stopped, else at the latest event."""
        if self._end is not None:
            return self._end
        events = self.events
        return events[-1].at if events else self._start

    def __len__(self) -> int:
        return len(self._events)

    def __iter__(self) -> Iterator[Event]:
        return iter(self.events)

    def counts(self, probe: str) -> dict[Kind, int]:
        """How often each kind of event was recorded at a probe, those that were left out included."""
        with self._lock:
            return {kind: number for (name, kind), number in sorted(self._counts.items()) if name == probe}

    def between(self, start: float, end: float) -> Trace:
        """The part from `start` to `end`, in seconds, as a trace: for a closer look."""
        part = Trace(max_events=self.max_events)
        part._places = {place.name: place for place in self.places}
        filled: dict[str, int] = {}
        for event in self.events:
            if start <= event.at <= end:
                part._keep(event)
            elif event.at < start and event.filled is not None:
                filled[event.probe] = event.filled
        part._begin_with(filled, start)
        part._start, part._end, part._closed = start, min(end, self.end), True
        return part

    # -- what becomes of it

    def to_dicts(self) -> list[dict[str, Any]]:
        """The events as dicts with the fields of `Event`: what pandas, polars, `csv` and `json` take."""
        return [asdict(event) for event in self.events]

    def to_pandas(self) -> Any:
        """The events as a `pandas.DataFrame`.

        Raises:
            ModuleNotFoundError: pandas is not installed.
        """
        try:
            pandas = import_module("pandas")
        except ModuleNotFoundError as error:
            raise _missing("pandas", error) from error
        return pandas.DataFrame(self.to_dicts(), columns=list(Event.__dataclass_fields__))

    def to_polars(self) -> Any:
        """The events as a `polars.DataFrame`.

        Raises:
            ModuleNotFoundError: polars is not installed.
        """
        try:
            polars = import_module("polars")
        except ModuleNotFoundError as error:
            raise _missing("polars", error) from error
        schema = dict(zip(Event.__dataclass_fields__, (float, str, str, str, int), strict=True))
        return polars.DataFrame(self.to_dicts(), schema=schema)

    def svg(self, *, width: int = 880) -> str:
        """The marble diagram as SVG text, `width` pixels wide; the same trace gives the same text."""
        from rxstream.explore.marbles import draw

        return draw(self, width)

    def plot_marbles(self, ax: Axes | None = None) -> Axes:
        """Draws the marbles with matplotlib, into `ax` or a figure of its own: for papers and slides."""
        from rxstream.explore.plots import plot_marbles

        return plot_marbles(self, ax)

    def plot_occupancy(self, ax: Axes | None = None) -> Axes:
        """Draws with matplotlib how full the buffers are over time, and what they dropped."""
        from rxstream.explore.plots import plot_occupancy

        return plot_occupancy(self, ax)

    def plot_rates(self, ax: Axes | None = None, *, window: float = 1.0) -> Axes:
        """Draws with matplotlib how many items a second pass each probe, over windows of `window` seconds."""
        from rxstream.explore.plots import plot_rates

        return plot_rates(self, ax, window)

    def _repr_svg_(self) -> str:
        return self.svg()

    def _repr_html_(self) -> str:
        return f'<div style="overflow-x:auto">{self.svg()}</div>'

    def __repr__(self) -> str:
        passed = ", ".join(f"{name}: {self._counts[name, 'next']}" for name in self.probes)
        lost = sum(number for (_, kind), number in self._counts.items() if kind == "drop")
        return f"<Trace {self.end - self.start:g} s; {passed or 'nothing'}{f'; {lost} dropped' if lost else ''}>"

    # -- recording

    def probe(self, name: str) -> Callable[[Observable[T]], Observable[T]]:
        """An operator that records into this trace what passes: `rxstream.explore.probe` with `trace=` this one."""
        from rxstream.explore.probes import probe

        return probe(name, trace=self)

    def begin(self, now: float) -> None:
        """The trace begins at this time of the stream's clock, unless it has begun."""
        with self._lock:
            if self._origin is None:
                self._origin = now

    def close(self, now: float) -> None:
        """Stops recording, at this time of the stream's clock."""
        with self._lock:
            if not self._closed:
                self._closed = True
                self._end = self._at(now)

    @property
    def closed(self) -> bool:
        """Whether it records no more."""
        return self._closed

    def add_place(self, place: Place) -> None:
        """Makes a point known, or what is known of it better."""
        with self._lock:
            self._places[place.name] = place

    def remove_place(self, name: str) -> None:
        """Takes a point back that has recorded nothing."""
        with self._lock:
            self._places.pop(name, None)

    def place(self, name: str) -> Place | None:
        """The point of that name, if there is one."""
        return self._places.get(name)

    def text(self, item: object) -> str:
        """The short text for an item; never raises."""
        try:
            return str(self._label(item))
        except Exception:  # the user's function: a picture without a label, rather than a stream that fails
            return "?"

    def new_buffer(self) -> int:
        """A number for a buffer that no place knows yet."""
        return next(self._buffers)

    def add(self, now: float, probe: str, kind: Kind, item: str | None = None, filled: int | None = None) -> None:
        """Records an event; from any thread."""
        with self._lock:
            if not self._closed:
                self._keep(Event(self._at(now), probe, kind, item, filled))

    # -- within

    def _at(self, now: float) -> float:
        if self._origin is None:
            self._origin = now
        return round(now - self._origin, 9)

    def _keep(self, event: Event) -> None:
        if len(self._events) == self.max_events:
            self._left_out += 1
        self._events.append(event)
        self._counts[event.probe, event.kind] += 1

    def _begin_with(self, filled: dict[str, int], at: float) -> None:
        """A part begins with the fill that its buffers had."""
        for place in reversed(self.places):
            if place.last and place.name in filled and len(self._events) < self.max_events:
                self._events.appendleft(Event(at, place.name, "buffer", None, filled[place.name]))


def _missing(name: str, error: ModuleNotFoundError) -> ModuleNotFoundError:
    return ModuleNotFoundError(f"{name} is not installed; pip install {name}, or take to_dicts()", name=error.name)
