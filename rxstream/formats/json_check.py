"""Finds what msgspec would write without a word although it is not what the item says.

NaN and Infinity (written as null), two keys of one mapping with the same text, a UTC offset with seconds (rounded).
`scan` clears ordinary rows in a few passes at C speed; `find_fault` is exact for any type, and names the place.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Sequence
from decimal import Decimal
from enum import Enum
from itertools import chain
from math import isfinite
from typing import Any
from uuid import UUID

import msgspec

from rxstream.formats.base import Refused
from rxstream.formats.json_hooks import encodable, is_model

__all__ = ["find_fault", "names_of", "scan"]

_PLAIN = frozenset(
    {str, int, bool, type(None), bytes, bytearray, UUID, Decimal, datetime.date, datetime.timedelta}
    | {memoryview, msgspec.Raw, msgspec.UnsetType}
)
_TIMES = frozenset({datetime.datetime, datetime.time})
_key_encoder = msgspec.json.Encoder(enc_hook=encodable)


def scan(items: Sequence[Any], *, nan: bool, times: bool, keys: bool) -> bool:
    """Say whether the items are surely clean, level by level. False means: look closer.

    Args:
        items: What was encoded.
        nan: Look for NaN and Infinity.
        times: Look for UTC offsets with seconds.
        keys: Look for mappings whose keys are not all text.
    """
    values: Sequence[Any] = items
    while values:
        kinds: set[type] = set(map(type, values)) - _PLAIN
        inner: list[Any] = []
        for kind in kinds:
            members: list[Any] = [value for value in values if type(value) is kind]
            if kind is float:
                clean = not nan or all(map(isfinite, members))
            elif kind in _TIMES:
                clean = not times or not any(map(_seconds_of, {member.utcoffset() for member in members}))
            elif kind is dict and keys and not set(map(type, chain.from_iterable(members))) <= {str}:
                clean = False
            else:
                parts = _parts(kind, members)
                clean = parts is not None
                inner.extend(parts or ())
            if not clean:
                return False
        values = inner
    return True


def _parts(kind: type, members: Sequence[Any]) -> Iterable[Any] | None:
    """The values inside values of one class; None for a class that takes a closer look."""
    if kind is dict:
        return chain.from_iterable(map(dict.values, members))
    if kind is list or kind is tuple:
        return chain.from_iterable(members)
    if issubclass(kind, Enum):
        return [member.value for member in members]
    names = () if is_model(kind) else names_of(kind)  # models were looked at where they were encoded
    if names is None:
        return None
    try:
        return [getattr(member, name) for member in members for name in names]
    except AttributeError:  # a dataclass instance may lack a field
        return None


def find_fault(item: Any, *, nan: bool) -> str | None:
    """Say what is wrong with an item that msgspec did encode, and where; None when nothing is.

    Args:
        item: Any object, already encoded once, so without cycles.
        nan: Whether NaN and Infinity count as faults.
    """
    pending: list[tuple[str, Any]] = [("$", item)]
    while pending:
        place, value = pending.pop()
        fault = _fault_of(place, value, nan)
        if fault is not None:
            return fault
        pending.extend(reversed(_children(place, value)))
    return None


def names_of(kind: type) -> Sequence[str] | None:
    """The field names of a dataclass, Struct or attrs class; None for any other class."""
    if issubclass(kind, msgspec.Struct):
        return kind.__struct_fields__
    fields = getattr(kind, "__dataclass_fields__", None)
    if fields is not None:
        return [name for name, field in fields.items() if field._field_type.name == "_FIELD"]
    attributes = getattr(kind, "__attrs_attrs__", None)
    return None if attributes is None else [attribute.name for attribute in attributes]


def _fault_of(place: str, value: Any, nan: bool) -> str | None:
    if type(value) is float and nan and not isfinite(value):
        return f'{value} at {place} has no JSON form; pass nan="null" to write null, or replace it with serialize='
    if type(value) in _TIMES and _has_seconds(value):
        return (
            f"the UTC offset of {value.isoformat()} at {place} has seconds, which JSON times cannot say; "
            "convert it with astimezone(timezone.utc)"
        )
    if isinstance(value, dict) and not set(map(type, value)) <= {str}:
        return _key_fault(place, value)
    return None


def _key_fault(place: str, mapping: dict[Any, Any]) -> str | None:
    seen: dict[bytes, Any] = {}
    for key in mapping:
        if isinstance(key, float) and not isfinite(key):
            return f"the key {key} at {place} is no number in JSON; make the key text with serialize="
        if type(key) in _TIMES and _has_seconds(key):
            return f"the UTC offset of the key {key.isoformat()} at {place} has seconds; make the key text"
        text = _key_encoder.encode({key: None})
        if text in seen:
            return f"the keys {seen[text]!r} and {key!r} at {place} are the same in JSON; rename one with serialize="
        seen[text] = key
    return None


def _children(place: str, value: Any) -> list[tuple[str, Any]]:
    if isinstance(value, Enum):
        return [(place, value.value)]
    if type(value) in _PLAIN or type(value) is float or type(value) in _TIMES:
        return []
    if isinstance(value, dict):
        return [(f"{place}.{key}", inner) for key, inner in value.items()]
    if isinstance(value, list | tuple | set | frozenset):
        return [(f"{place}[{index}]", inner) for index, inner in enumerate(value)]
    names = names_of(type(value))
    if names is not None:
        return [(f"{place}.{name}", getattr(value, name, None)) for name in names]
    if is_model(type(value)):
        return []
    try:
        return [(place, encodable(value))]
    except Refused:  # inside a model, which knows what to write for it
        return []


def _has_seconds(value: datetime.datetime | datetime.time) -> bool:
    return _seconds_of(value.utcoffset())


def _seconds_of(offset: datetime.timedelta | None) -> bool:
    return offset is not None and bool(offset.seconds % 60 or offset.microseconds)
