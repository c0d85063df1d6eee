"""What JSON items may hold, and what is refused in them."""

from __future__ import annotations

import collections
import dataclasses
import datetime as dt
import enum
import json
import math
import sqlite3
import types
import uuid
from decimal import Decimal
from typing import Any
from unittest.mock import Mock

import msgspec
import numpy as np
import pydantic
import pytest
from hypothesis import given
from hypothesis import strategies as st

import rxstream.formats.json as writer_module
from rxstream.formats import JSONArrayEncoder, NDJSONEncoder
from rxstream.formats.json import JSONWriter
from rxstream.formats.json_check import find_fault

UTC = dt.timezone.utc  # noqa: UP017 - the name that error messages give
ODD = dt.timezone(dt.timedelta(hours=-4, minutes=-56, seconds=-2))


class Text(str):
    """Text of a class of its own."""

    __slots__ = ()


class Number(int):
    """An integer of a class of its own."""


class Real(float):
    """A float of a class of its own."""


class Color(enum.Enum):
    """Values of several types."""

    RED = "red"
    HALF = 0.5
    NAN = math.nan


class Level(enum.IntEnum):
    """Integers with names."""

    LOW = 1


@dataclasses.dataclass
class Point:
    """A record of the standard library."""

    x: Any
    y: Any = None


class Sample(msgspec.Struct):
    """A record of msgspec."""

    x: Any
    y: Any = None


class Pair(msgspec.Struct, array_like=True):
    """A record that is an array in JSON."""

    x: Any
    y: Any = None


class Model(pydantic.BaseModel):
    """A record of pydantic."""

    x: Any
    y: Any = None


class Names(pydantic.RootModel[list[Any]]):
    """A model that is an array in JSON."""


WRAPPERS: list[Any] = [
    lambda value: value,
    lambda value: [value],
    lambda value: {"a": None, "b": {"c": [1, value]}},
    lambda value: {"a": (value,)},
    lambda value: Point(1, value),
    lambda value: [Point(1, [value])],
    lambda value: Sample(value),
    lambda value: Pair(1, value),
    lambda value: Model(x=1, y=value),
    lambda value: Names([value]),
    lambda value: types.MappingProxyType({"a": value}),
    lambda value: collections.OrderedDict(a=collections.deque([value])),
    lambda value: Sample([{"a": Point(value)}]),
]
in_every_place = pytest.mark.parametrize("wrap", WRAPPERS)


def encoded(item: Any, **options: Any) -> Any:
    """One item, encoded and read by the standard library."""
    encoder: NDJSONEncoder[Any] = NDJSONEncoder(**options)
    line = encoder.encode([item])
    assert encoder.failure is None, encoder.failure
    return json.loads(line)


def refusal(item: Any, **options: Any) -> str:
    """Why the middle one of three items is refused, in both formats."""
    messages = set()
    for make in (NDJSONEncoder[Any], JSONArrayEncoder[Any]):
        encoder = make(**options)
        assert encoder.encode([{"ok": 1}, item, {"ok": 2}]) == make().encode([{"ok": 1}])
        assert encoder.failure is not None
        assert encoder.failure.index == 1
        messages.add(str(encoder.failure))
    (message,) = messages
    return message


@pytest.mark.parametrize(
    ("item", "expected"),
    [
        (None, None),
        (Point(1, Sample(2)), {"x": 1, "y": {"x": 2, "y": None}}),
        (dt.datetime(2024, 5, 6, 7, 8, 9, tzinfo=UTC), "2024-05-06T07:08:09Z"),
        (dt.datetime(2024, 5, 6, tzinfo=dt.timezone(dt.timedelta(hours=-3))), "2024-05-06T00:00:00-03:00"),
        (dt.datetime(2024, 5, 6, tzinfo=dt.timezone(dt.timedelta(hours=1))), "2024-05-06T00:00:00+01:00"),
        (dt.date(2024, 5, 6), "2024-05-06"),
        (uuid.UUID(int=1), "00000000-0000-0000-0000-000000000001"),
        (Decimal("1.50"), "1.50"),
        (Color.RED, "red"),
        (Level.LOW, 1),
        (b"\x00\xff", "AP8="),
        ({1}, [1]),
        (frozenset(["a"]), ["a"]),
        (Text("t"), "t"),
        (Number(7), 7),
        (Real(0.5), 0.5),
        (type("Raw", (bytes,), {})(b"\x00\xff"), "AP8="),
        (type("Day", (dt.date,), {})(2024, 5, 6), "2024-05-06"),
        (type("Time", (dt.datetime,), {})(2024, 5, 6, tzinfo=UTC), "2024-05-06T00:00:00Z"),
        (type("Key", (uuid.UUID,), {})(int=1), "00000000-0000-0000-0000-000000000001"),
        ({Text("t"): 1, Number(2): 2, Color.RED: 3}, {"t": 1, "2": 2, "red": 3}),
        (2**200, 2**200),
        (types.MappingProxyType({"a": 1}), {"a": 1}),
        (collections.ChainMap({"a": 1}, {"b": 2}), {"a": 1, "b": 2}),
        (collections.deque([1, 2]), [1, 2]),
        (range(3), [0, 1, 2]),
        (np.float32(0.5), 0.5),
        (np.float64(0.5), 0.5),
        (np.int8(3), 3),
        (np.bool_(True), True),
        (np.str_("a"), "a"),
        (np.array([[1, 2], [3, 4]]), [[1, 2], [3, 4]]),
        (np.array(["a", "b"]), ["a", "b"]),
        (np.datetime64("2024-05-06T07:08:09"), "2024-05-06T07:08:09"),
        (np.datetime64("2024-05-06T07:08:09.000001", "ns"), "2024-05-06T07:08:09.000001"),
        (np.array(["2024-05-06"], dtype="datetime64[ns]"), ["2024-05-06T00:00:00"]),
        ({np.int64(1): np.float64(2)}, {"1": 2.0}),
        (Model(x=1, y=dt.date(2024, 5, 6)), {"x": 1, "y": "2024-05-06"}),
        (Names([1]), [1]),
        (msgspec.Raw(b'{"a":1}'), {"a": 1}),
        ({"a": 'null{"1":+-04:56"}'}, {"a": 'null{"1":+-04:56"}'}),
    ],
)
def test_types(item: Any, expected: Any) -> None:
    """Each type that is promised, as it is written."""
    assert encoded(item) == expected


def test_rows_of_sqlite() -> None:
    """A `sqlite3.Row` is a mapping of its columns."""
    connection = sqlite3.connect(":memory:")
    connection.row_factory = sqlite3.Row
    assert encoded(connection.execute("select 1 as a, 'x' as b").fetchone()) == {"a": 1, "b": "x"}
    connection.close()


@in_every_place
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, np.float64("nan"), np.array([1, np.inf])])
def test_nan_is_refused_wherever_it_is(wrap: Any, value: Any) -> None:
    """A number that JSON lacks is found at any depth, and the message says where and what to do."""
    message = refusal(wrap(value))
    assert "has no JSON form" in message
    if isinstance(wrap(None), pydantic.BaseModel) and isinstance(value, np.ndarray):
        assert "Unable to serialize unknown type" in message  # pydantic takes no arrays at all
        return
    assert 'pass nan="null" to write null, or replace it with serialize=' in message


def test_nan_is_named_with_its_place() -> None:
    """The path of the value is in the message."""
    assert refusal({"a": [1, {"b": math.nan}]}) == (
        'item 1: nan at $.a[1].b has no JSON form; pass nan="null" to write null, or replace it with serialize='
    )


def test_nan_of_an_enum_is_refused() -> None:
    """An Enum counts as its value."""
    assert "nan at $.a has no JSON form" in refusal({"a": Color.NAN})


def test_nan_is_found_beside_integers_over_64_bits() -> None:
    """Values that only JSON can hold do not hide it."""
    assert "nan at $[1]" in refusal([2**70, math.nan])
    assert encoded([2**70, None]) == [2**70, None]


@in_every_place
def test_nan_null_writes_null(wrap: Any) -> None:
    """On request each such number is null."""
    assert encoded(wrap(math.nan), nan="null") == encoded(wrap(None))


def test_nan_takes_two_words() -> None:
    """Any other word is refused when the encoder is built."""
    with pytest.raises(ValueError, match='nan must be "refuse" or "null", not \'zero\''):
        NDJSONEncoder(nan="zero")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "item", [{"a": None}, ["null"], {"a": "null"}, {"null": 1}, b"\xcb\x7f\xf8", {"a": b"\xcb\x7f\xf8\0", "b": None}]
)
def test_null_alone_is_no_fault(item: Any) -> None:
    """None, the word null and bytes that look like NaN are fine."""
    encoded(item)


@in_every_place
@pytest.mark.parametrize("clash", [{1: "a", "1": "b"}, {"1.5": 1, 1.5: 2}, {Color.RED: 1, "red": 2}])
def test_keys_that_clash_are_refused_wherever_they_are(wrap: Any, clash: dict[Any, Any]) -> None:
    """Two keys that JSON cannot tell apart: a reader would lose one of the values."""
    message = refusal(wrap(clash))
    assert "are the same in JSON; rename one with serialize=" in message


def test_keys_that_clash_are_named() -> None:
    """The message shows both keys and the place."""
    assert refusal({"a": {1: 0, "1": 0}}) == (
        "item 1: the keys 1 and '1' at $.a are the same in JSON; rename one with serialize="
    )


def test_keys_that_do_not_clash_are_text() -> None:
    """Numbers alone are good keys, also among rows with the same names."""
    assert encoded({1: "a", "2": "b", 1.5: "c"}) == {"1": "a", "2": "b", "1.5": "c"}
    encoder: NDJSONEncoder[Any] = NDJSONEncoder()
    encoder.encode([{"1": 1}, {"2": 1}])
    encoder.encode([{1: 1}, {"1": 1, 1: 2}])
    assert encoder.failure is not None
    assert encoder.failure.index == 3


@pytest.mark.parametrize("key", [None, True, (1, 2)])
def test_keys_without_text_are_refused(key: Any) -> None:
    """JSON has no keys of these types."""
    assert f"{key!r} cannot be the key of a JSON object; make the key text with serialize=" in refusal({key: 1})


def test_nan_keys_are_refused() -> None:
    """NaN as a key, whatever `nan` says: there are no null keys."""
    assert "the key nan at $ is no number in JSON" in refusal({math.nan: 1}, nan="null")


@in_every_place
@pytest.mark.parametrize("value", [dt.datetime(1850, 1, 1, tzinfo=ODD), dt.time(1, 2, tzinfo=ODD)])
def test_utc_offsets_with_seconds_are_refused(wrap: Any, value: Any) -> None:
    """Such an offset cannot be written exactly, and is not rounded."""
    assert "has seconds, which JSON times cannot say; convert it with astimezone(timezone.utc)" in refusal(wrap(value))


def test_utc_offsets_with_seconds_are_refused_as_keys() -> None:
    """As values, so as keys."""
    assert "has seconds; make the key text" in refusal({dt.datetime(1850, 1, 1, tzinfo=ODD): 1})


@pytest.mark.parametrize("hours", range(-23, 24))
@pytest.mark.parametrize("seconds", [0, 1])
def test_every_utc_offset(hours: int, seconds: int) -> None:
    """Offsets of whole minutes pass, those with seconds do not, both sides of Greenwich."""
    zone = dt.timezone(dt.timedelta(hours=hours, minutes=-17, seconds=seconds))
    encoder: NDJSONEncoder[Any] = NDJSONEncoder()
    encoder.encode([{"t": dt.datetime(2024, 1, 1, tzinfo=zone)}])
    assert (encoder.failure is None) is (seconds == 0)


@pytest.mark.parametrize("mode", ["constants", "null", "strings", None])
@pytest.mark.parametrize("nan", ["refuse", "null"])
def test_models_that_choose_their_nan(mode: Any, nan: Any) -> None:
    """A model that says what NaN is gets that; words that are no JSON never go out."""

    class Choosy(pydantic.BaseModel):
        model_config = pydantic.ConfigDict(ser_json_inf_nan=mode) if mode else pydantic.ConfigDict()
        x: float

    if nan == "refuse" and mode in ("constants", None):
        assert "nan at $.x has no JSON form" in refusal(Choosy(x=math.nan))
    else:
        assert encoded(Choosy(x=math.nan), nan=nan) == {"x": "NaN" if mode == "strings" else None}


def test_models_write_themselves() -> None:
    """Secrets stay secret, also in a model that is looked at closely."""

    class Login(pydantic.BaseModel):
        name: str | None
        password: pydantic.SecretStr

    assert encoded(Login(name=None, password=pydantic.SecretStr("x"))) == {"name": None, "password": "**********"}


def test_nesting_without_end_is_refused() -> None:
    """A value that contains itself, or is too deep for the encoder."""
    loop: list[Any] = []
    loop.append(loop)
    assert refusal(loop) == "item 1: list is nested too deeply, or contains itself; flatten it with serialize="


def test_unknown_types_are_refused() -> None:
    """The message names the class and the way out."""
    assert refusal({"a": 1j}) == (
        "item 1: builtins.complex has no JSON form; convert it with serialize=, to a mapping, a dataclass or text"
    )
    assert "numpy.complex128" in refusal(np.complex128(1j)) or "complex" in refusal(np.complex128(1j))


def test_errors_of_the_items_own_code_are_refusals() -> None:
    """A property that raises while the item is encoded is a failure of that item."""

    class Broken(collections.UserDict[str, int]):
        def __iter__(self) -> Any:
            raise OSError("gone")

    assert "Broken has no JSON form (gone); convert it with serialize=" in refusal(Broken())


def test_raw_that_is_no_utf8_is_refused() -> None:
    """Bytes that are encoded already do not smuggle other encodings in."""
    for make in (NDJSONEncoder[Any], JSONArrayEncoder[Any]):
        encoder = make()
        encoder.encode([msgspec.Raw(b'"\xff"')])
        assert "can't decode byte 0xff" in str(encoder.failure)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(codec="utf-8")),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(max_size=3) | st.integers(0, 3) | st.floats(0, 2), inner, max_size=4)
    ),
    max_leaves=12,
)


def fault_by_hand(value: Any) -> bool:
    """Whether a value has NaN, Infinity or clashing keys in it; the slow way."""
    if isinstance(value, float):
        return not math.isfinite(value)
    if isinstance(value, list):
        return any(map(fault_by_hand, value))
    if isinstance(value, dict):
        texts = [msgspec.json.encode({key: 0}) for key in value]
        return len(set(texts)) < len(texts) or any(map(fault_by_hand, value.values()))
    return False


@given(st.lists(json_values.filter(lambda value: "\ud800" not in repr(value)), max_size=5))
def test_exactly_the_faulty_items_are_refused(items: list[Any]) -> None:
    """The quick look misses nothing and accuses nobody: the first faulty item is the one that is named."""
    try:
        faults = [fault_by_hand(item) for item in items]
    except UnicodeEncodeError:
        return
    encoder: JSONArrayEncoder[Any] = JSONArrayEncoder()
    encoder.encode(items)
    assert encoder.count == (faults.index(True) if True in faults else len(items))


@given(st.lists(json_values, max_size=5))
def test_one_by_one_and_as_a_batch_are_the_same(items: list[Any]) -> None:
    """A batch ends where single items would have ended."""
    batch: NDJSONEncoder[Any] = NDJSONEncoder()
    single: NDJSONEncoder[Any] = NDJSONEncoder()
    parts = []
    for item in items:
        parts.append(single.encode([item]))
        if single.failure is not None:
            break
    assert batch.encode(items) == b"".join(parts)
    assert str(batch.failure) == str(single.failure)


def test_ordinary_rows_are_not_looked_through(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows that cannot be wrong cost no second encoding and no walk, however many there are."""
    look = Mock(return_value=None)
    monkeypatch.setattr(writer_module, "scan", look)
    monkeypatch.setattr(writer_module, "find_fault", look)
    writer = JSONWriter()
    now = dt.datetime.now(UTC)
    writer.lines([{"id": n, "name": "a-b", "value": n / 7, "ok": True, "at": now} for n in range(1000)])
    writer.lines([Sample(n, "x") for n in range(1000)])
    writer.lines([Point(n, None) for n in range(1000)])
    writer.lines([{"id": n, "gone": None} for n in range(1000)])
    assert look.call_count == 0


def test_rows_with_none_are_encoded_twice_and_not_walked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the batch that holds a NaN is looked through value by value."""
    look = Mock(wraps=find_fault)
    monkeypatch.setattr(writer_module, "find_fault", look)
    writer = JSONWriter()
    writer.lines([{"n": None, "v": n / 3} for n in range(1000)])
    assert look.call_count == 0
    with pytest.raises(ValueError, match="nan at"):
        writer.lines([{"n": None, "v": math.nan}])
    assert look.call_count == 1


def test_one_call_encodes_a_batch() -> None:
    """msgspec is called once for a batch of rows, not once a row."""

    class Counting:
        def __init__(self) -> None:
            self.calls = 0
            self.real = msgspec.json.Encoder()

        def encode_lines(self, items: Any) -> bytes:
            self.calls += 1
            return self.real.encode_lines(items)

    writer = JSONWriter()
    counting = Counting()
    writer._encoder = counting  # type: ignore[assignment]
    writer.lines([{"n": n} for n in range(500)])
    assert counting.calls == 1
