"""What msgspec does not encode by itself, turned into what it does.

NumPy and pydantic are never imported here: an object of theirs can only exist once the user has imported them.
"""

from __future__ import annotations

import datetime
import sys
import uuid
from collections import deque
from collections.abc import Mapping, Sequence, Set
from typing import Any

from rxstream.formats.base import Refused

__all__ = ["encodable", "is_model"]


def encodable(value: Any) -> Any:
    """Give what stands for `value` in JSON, in types that msgspec encodes.

    Subclasses of str, int, float, bytes, datetime and UUID count as what they extend; mappings and sequences of
    any kind are encoded by content; `sqlite3.Row` and others with `keys()` as mappings; NumPy scalars and arrays by
    value; a pydantic model by its fields.

    Raises:
        Refused: For everything else, and for a mapping's key that JSON has no text for.
    """
    for kind, convert in _SUBCLASSES:
        if isinstance(value, kind):
            return convert(value)
    if isinstance(value, Mapping):
        return dict(value)
    if callable(getattr(type(value), "keys", None)) and hasattr(type(value), "__getitem__"):
        return {key: value[key] for key in value.keys()}  # noqa: SIM118 - iterating a row gives its values
    if isinstance(value, Sequence | Set | deque):
        return list(value)
    found = _foreign(value)
    if found is not value:
        return found
    raise Refused(
        f"{type(value).__module__}.{type(value).__qualname__} has no JSON form; "
        "convert it with serialize=, to a mapping, a dataclass or text"
    )


def is_model(kind: type) -> bool:
    """Whether a class is a pydantic model."""
    pydantic = sys.modules.get("pydantic")
    return pydantic is not None and issubclass(kind, pydantic.BaseModel)


def _bad_key(value: object) -> Any:
    # msgspec encodes these itself as values, so one of them here is the key of a mapping.
    raise Refused(f"{value!r} cannot be the key of a JSON object; make the key text with serialize=")


def _foreign(value: Any) -> Any:
    """The content of a NumPy or pydantic object; `value` itself when it is none."""
    numpy = sys.modules.get("numpy")
    if numpy is not None:
        if isinstance(value, numpy.ndarray):
            return _numpy_plain(value, value.tolist())
        if isinstance(value, numpy.generic):
            return _numpy_plain(value, value.item())
    return value.model_dump() if is_model(type(value)) else value


def _numpy_plain(value: Any, plain: Any) -> Any:
    # Nanosecond times become bare integers in NumPy's own conversion, and a time that reads as a number is wrong.
    if value.dtype.kind in "mM" and value.dtype.name.endswith("[ns]"):
        return value.astype(value.dtype.str.replace("[ns]", "[us]")).tolist()
    if type(plain) is type(value):
        raise Refused(f"numpy.{type(value).__name__} has no JSON form; convert it with serialize=")
    return plain


def _datetime(value: datetime.datetime) -> datetime.datetime:
    return datetime.datetime.combine(value.date(), value.timetz()).replace(fold=value.fold)


_SUBCLASSES: tuple[tuple[type | tuple[type, ...], Any], ...] = (
    ((type(None), bool, tuple), _bad_key),
    (str, str.__str__),
    (int, int.__int__),
    (float, float.__float__),
    (datetime.datetime, _datetime),
    (datetime.date, lambda value: datetime.date(value.year, value.month, value.day)),
    (bytes, lambda value: bytes(memoryview(value))),
    (bytearray, lambda value: bytes(memoryview(value))),
    (uuid.UUID, lambda value: uuid.UUID(int=value.int)),
)
