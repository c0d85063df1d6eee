"""The formats as Rx operators."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
import reactivex
from reactivex import Observable, abc, operators
from reactivex.disposable import Disposable
from reactivex.scheduler import ImmediateScheduler
from reactivex.subject import Subject

from rxstream.encoding import encode_csv, encode_json_array, encode_ndjson, encode_sse
from rxstream.errors import EncodeError
from rxstream.formats import ServerSentEvent

OPERATORS: list[Callable[..., Any]] = [encode_sse, encode_ndjson, encode_json_array, encode_csv]
every_operator = pytest.mark.parametrize("make", OPERATORS)
bad: Any = "x"
BAD_ROW = {"n": "\ud800"}


class Log(abc.ObserverBase[Any]):
    """Notes every signal."""

    def __init__(self) -> None:
        self.signals: list[tuple[str, Any]] = []

    def on_next(self, value: Any) -> None:
        self.signals.append(("next", value))

    def on_error(self, error: Exception) -> None:
        self.signals.append(("error", error))

    def on_completed(self) -> None:
        self.signals.append(("completed", None))


def signals(source: Observable[Any]) -> list[tuple[str, Any]]:
    """All signals of a source that ends by itself."""
    log = Log()
    source.subscribe(log)
    return log.signals


def chunks(*parts: bytes) -> list[tuple[str, Any]]:
    """The signals of a stream of these chunks that completes."""
    return [*(("next", part) for part in parts), ("completed", None)]


@pytest.mark.parametrize(
    ("operator", "parts"),
    [
        (encode_sse(), [b'data: {"n":1}\n\n', b'data: {"n":2}\n\n']),
        (encode_ndjson(), [b'{"n":1}\n', b'{"n":2}\n']),
        (encode_json_array(), [b'[{"n":1}', b',{"n":2}', b"]"]),
        (encode_csv(), [b"n\r\n1\r\n", b"2\r\n"]),
    ],
)
def test_one_chunk_an_item(operator: Any, parts: list[bytes]) -> None:
    """Framing is in the item's chunk; what closes the document is a chunk when there is any."""
    assert signals(reactivex.of({"n": 1}, {"n": 2}).pipe(operator)) == chunks(*parts)


@pytest.mark.parametrize(
    ("operator", "parts"),
    [
        (encode_sse(), []),
        (encode_ndjson(), []),
        (encode_json_array(), [b"[]"]),
        (encode_csv(["a", "b"]), [b"a,b\r\n"]),
        (encode_csv(), []),
    ],
)
def test_empty_source(operator: Any, parts: list[bytes]) -> None:
    """A source without items completes once, as a whole document."""
    assert signals(reactivex.empty().pipe(operator)) == chunks(*parts)


@every_operator
def test_failure_is_one_error_and_upstream_is_disposed(make: Callable[..., Any]) -> None:
    """After the item that failed comes the error, then nothing, and nobody listens to the source."""
    subject: Subject[Any] = Subject()
    log = Log()
    subject.pipe(make()).subscribe(log)
    subject.on_next({"n": 1})
    subject.on_next(BAD_ROW)
    assert subject.observers == []
    subject.on_next({"n": 2})
    subject.on_completed()
    kinds = [kind for kind, _ in log.signals]
    assert kinds == ["next", "error"]
    error = log.signals[-1][1]
    assert isinstance(error, EncodeError)
    assert error.index == 1


@every_operator
def test_failure_in_a_source_that_does_not_stop(make: Callable[..., Any]) -> None:
    """A source that emits while it is being subscribed to cannot be disposed yet; what it sends is ignored."""

    sent: list[Any] = []

    def subscribe(observer: abc.ObserverBase[Any], scheduler: abc.SchedulerBase | None = None) -> abc.DisposableBase:
        for item in ({"n": 1}, BAD_ROW, {"n": 2}, BAD_ROW):
            observer.on_next(item)  # raises nothing into the source
            sent.append(item)
        observer.on_completed()
        return Disposable()

    assert [kind for kind, _ in signals(Observable(subscribe).pipe(make()))] == ["next", "error"]
    assert len(sent) == 4


@every_operator
def test_error_of_the_source_passes_as_it_is(make: Callable[..., Any]) -> None:
    """Not wrapped, and no closing bytes before it."""
    error = OSError("gone")
    source = reactivex.concat(reactivex.of({"n": 1}), reactivex.throw(error))
    assert [kind for kind, _ in signals(source.pipe(make()))] == ["next", "error"]
    assert signals(source.pipe(make()))[-1][1] is error


@every_operator
def test_serialize(make: Callable[..., Any]) -> None:
    """The function gives what is encoded; what it raises is an error with the index."""
    received = signals(reactivex.of(2, 1, 0).pipe(make(serialize=lambda n: {"n": 2 // n})))
    assert [kind for kind, _ in received] == ["next", "next", "error"]
    assert received[-1][1].index == 2
    assert isinstance(received[-1][1].__cause__, ZeroDivisionError)


@every_operator
def test_each_subscription_has_its_own_document(make: Callable[..., Any]) -> None:
    """One operator object, two subscriptions at the same time: heads, commas and indices do not mix."""
    subject: Subject[Any] = Subject()
    operator = make()
    first, second = Log(), Log()
    subject.pipe(operator).subscribe(first)
    subject.on_next({"n": 1})
    subject.pipe(operator).subscribe(second)
    subject.on_next({"n": 2})
    subject.on_completed()
    assert second.signals == signals(reactivex.of({"n": 2}).pipe(operator))
    assert first.signals == signals(reactivex.of({"n": 1}, {"n": 2}).pipe(operator))


@every_operator
def test_scheduler_reaches_the_source(make: Callable[..., Any]) -> None:
    """Demand travels up in the scheduler of the subscription."""
    seen: list[Any] = []

    def subscribe(observer: abc.ObserverBase[Any], scheduler: abc.SchedulerBase | None = None) -> abc.DisposableBase:
        seen.append(scheduler)
        return Disposable()

    scheduler = ImmediateScheduler()
    Observable(subscribe).pipe(make()).subscribe(Log(), scheduler=scheduler)
    assert seen == [scheduler]


@every_operator
def test_dispose_reaches_the_source(make: Callable[..., Any]) -> None:
    """Whoever stops early leaves no subscription behind."""
    subject: Subject[Any] = Subject()
    subscription = subject.pipe(make()).subscribe(Log())
    assert len(subject.observers) == 1
    subscription.dispose()
    assert subject.observers == []


@every_operator
def test_stops_with_its_consumer(make: Callable[..., Any]) -> None:
    """A `take` below ends the stream without the closing bytes."""
    assert len(signals(reactivex.of({"n": 1}, {"n": 2}).pipe(make(), operators.take(1)))) == 2


@pytest.mark.parametrize(
    ("build", "error"),
    [
        (lambda: encode_sse(bad), TypeError),
        (lambda: encode_ndjson(bad), TypeError),
        (lambda: encode_json_array(nan=bad), ValueError),
        (lambda: encode_csv("ab"), TypeError),
        (lambda: encode_csv([]), ValueError),
        (lambda: encode_csv(dialect="nonsense"), ValueError),
    ],
)
def test_wrong_arguments_are_refused_when_the_operator_is_built(build: Any, error: type[Exception]) -> None:
    """Not in a subscription."""
    with pytest.raises(error):
        build()


def test_columns_are_taken_at_once() -> None:
    """What happens to the caller's list, or iterator, later does not reach the stream."""
    columns = ["a"]
    operator: Any = encode_csv(columns)
    columns.append("b")
    assert signals(reactivex.of({"a": 1}).pipe(operator)) == chunks(b"a\r\n1\r\n")


def test_options_reach_the_encoders() -> None:
    """`nan` and those of CSV."""
    nan = [float("nan")]
    operator: Any
    for operator in (encode_ndjson(nan="null"), encode_json_array(nan="null"), encode_sse(nan="null")):
        assert b"[null]" in signals(reactivex.of(nan).pipe(operator))[0][1]
    operator = encode_csv(
        ["a"],
        header=False,
        dialect="excel-tab",
        line_end="\n",
        bom=True,
        extra="ignore",
        missing="empty",
        formula_guard=False,
    )
    assert signals(reactivex.of({"a": "=1", "b": 1}, {"b": 2}).pipe(operator)) == chunks(b"\xef\xbb\xbf=1\n", b'""\n')


def test_events_as_items() -> None:
    """A `ServerSentEvent` in the stream is that event."""
    assert signals(reactivex.of(ServerSentEvent("a", id="1")).pipe(encode_sse())) == chunks(b"id: 1\ndata: a\n\n")


def test_many_items_give_one_document() -> None:
    """The chunks of a long stream join to what `json` reads."""
    parts = [value for kind, value in signals(reactivex.range(2000).pipe(encode_json_array())) if kind == "next"]
    assert json.loads(b"".join(parts)) == list(range(2000))
