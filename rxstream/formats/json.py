"""The one place where items become JSON: msgspec, with what it gets wrong found and refused.

After each call the bytes are searched for the few signs without which nothing can be wrong; only a batch that shows
one is looked at value by value. Ordinary rows pay for the search alone.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache
from typing import Any, Literal

import msgspec

from rxstream.formats.base import Refused
from rxstream.formats.json_check import find_fault, names_of, scan
from rxstream.formats.json_columns import PlainColumns
from rxstream.formats.json_hooks import encodable, is_model
from rxstream.formats.json_models import model_json

__all__ = ["JSONWriter", "NaN", "explain_json"]

NaN = Literal["refuse", "null"]

# MessagePack keeps NaN and Infinity apart from nil: a float64 (0xcb) whose exponent is all ones. The bytes may also
# turn up in binary data, so a match is a reason to look, not a verdict.
_NON_FINITE = re.compile(rb"\xcb[\x7f\xff][\xf0-\xff]")
# Two patterns: one literal in front is searched for many times faster than a class of two.
_OFFSETS = ((b"+", re.compile(rb'\+\d\d:\d\d"')), (b"-", re.compile(rb'-\d\d:\d\d"')))
_MAX_KNOWN_KEYS = 1024


class JSONWriter:
    """Encodes values as JSON, exactly or not at all.

    dataclasses, attrs, `msgspec.Struct`, datetime, UUID, Decimal (as text), Enum (its value), bytes (base64), sets,
    subclasses of str and int, NumPy scalars and arrays, pydantic models. `msgspec.Raw` is JSON that is encoded already
    and goes out as it is.

    Args:
        nan: "refuse" makes NaN and Infinity an error, "null" writes null for them.

    Raises:
        ValueError: `nan` is neither.
    """

    def __init__(self, *, nan: NaN = "refuse") -> None:
        if nan not in ("refuse", "null"):
            raise ValueError(f'nan must be "refuse" or "null", not {nan!r}')
        self._nan = nan == "refuse"
        self._encoder, self._packer = _encoders(self._nan)
        self._columns = PlainColumns()
        self._known_keys: frozenset[str] = frozenset()
        self._record_types: dict[type, bool] = {}

    def lines(self, items: Sequence[Any]) -> bytes:
        """One line of JSON an item, each ended by LF."""
        if not isinstance(items, list | tuple):
            items = list(items)
        encoded = self._encoder.encode_lines(items)
        if self._columns.plain(items):
            return encoded
        if _count(encoded, b"\n") != len(items) or b"\r" in encoded:  # a Raw that is laid out over lines
            return b"".join(map(self.line, items))
        self._check(items, encoded)
        return encoded

    def line(self, item: Any) -> bytes:
        """One item as one line, ended by LF."""
        encoded = self._encoder.encode(item)
        if b"\n" in encoded or b"\r" in encoded:
            encoded = msgspec.json.format(encoded, indent=-1)
        self._check((item,), encoded)
        return encoded + b"\n"

    def array(self, items: Sequence[Any]) -> bytes:
        """All items as one JSON array."""
        if not isinstance(items, list | tuple):
            items = list(items)
        encoded = self._encoder.encode(items)
        if not self._columns.plain(items):
            self._check(items, encoded)
        return encoded

    def _check(self, items: Sequence[Any], encoded: bytes) -> None:
        """Raise `Refused` when the bytes are not what the items say."""
        if not encoded.isascii():
            encoded.decode()  # only a Raw can hold anything else than UTF-8
        kinds = set(map(type, items))
        if all(map(is_model, kinds)):  # looked at where they were encoded
            return
        nan = self._may_be_nan(items, encoded)
        times = self._may_round(encoded)
        keys = self._may_clash(items, kinds, encoded)
        if not (nan or times or keys) or scan(items, nan=nan, times=times, keys=keys):
            return
        for item in items:
            fault = find_fault(item, nan=self._nan)
            if fault is not None:
                raise Refused(fault)

    def _may_be_nan(self, items: Sequence[Any], encoded: bytes) -> bool:
        if not self._nan or encoded.rfind(b"null") < 0:  # rfind takes half the time of `in`
            return False
        try:
            return _NON_FINITE.search(self._packer.encode(items)) is not None
        except Exception:  # an integer over 64 bits: no way to tell from here
            return True

    @staticmethod
    def _may_round(encoded: bytes) -> bool:
        """Whether there may be a time with an offset other than zero."""
        return any(sign in encoded and pattern.search(encoded) is not None for sign, pattern in _OFFSETS)

    def _may_clash(self, items: Sequence[Any], kinds: set[type], encoded: bytes) -> bool:
        """Whether there may be a mapping with keys that are not all text."""
        objects = _count(encoded, b"{")
        if not objects:
            return False
        if objects != len(items):
            return True
        if kinds == {dict}:
            return not self._text_keys(items)
        return not all(map(self._is_record, kinds))

    def _text_keys(self, rows: Sequence[dict[Any, Any]]) -> bool:
        keys = set[Any]().union(*rows)
        if keys <= self._known_keys:
            return True
        if not set(map(type, keys)) <= {str}:
            return False
        if len(keys) + len(self._known_keys) <= _MAX_KNOWN_KEYS:
            self._known_keys |= keys
        return True

    def _is_record(self, kind: type) -> bool:
        """Whether values of this class are one JSON object whose keys are fixed by the class."""
        known = self._record_types.get(kind)
        if known is None:
            is_array = issubclass(kind, msgspec.Struct) and kind.__struct_config__.array_like
            known = self._record_types[kind] = names_of(kind) is not None and not is_array
        return known


@cache
def _encoders(nan: bool) -> tuple[msgspec.json.Encoder, msgspec.msgpack.Encoder]:
    """The encoders for one answer to NaN; they have no state, and one stream needs no more of its own."""

    def hook(value: Any) -> Any:
        return model_json(value, nan=nan) if is_model(type(value)) else encodable(value)

    return msgspec.json.Encoder(enc_hook=hook), msgspec.msgpack.Encoder(enc_hook=hook)


def _count(encoded: bytes, sign: bytes) -> int:
    """How often a byte occurs: to delete it takes a fraction of the time of `count` where it is rare."""
    return len(encoded) - len(encoded.replace(sign, b""))


def explain_json(item: Any, error: Exception) -> str:
    """Say in one sentence why msgspec refused an item, and the way out."""
    name = type(item).__name__
    if isinstance(error, RecursionError):
        return f"{name} is nested too deeply, or contains itself; flatten it with serialize="
    if isinstance(error, UnicodeEncodeError):
        found = error.object[error.start]
        return f"{name} holds text that is not Unicode (a lone surrogate, {found!a}); replace it with serialize="
    return f"{name} has no JSON form ({error}); convert it with serialize="
