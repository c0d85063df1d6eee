"""Clears rows of plain values of every suspicion at once, a column at a time, at C speed.

A table's rows are alike: the same few keys, and in a column values of one kind. `str.join` and `sum` prove that of a
whole column in a fraction of the time that a look at each value takes.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import isfinite
from typing import Any, Final

__all__ = ["PlainColumns"]

_PLAIN: Final = frozenset({str, int, bool, type(None)})
_NUMBERS: Final = frozenset({int, bool, float})


class PlainColumns:
    """Knows the keys of one stream's rows, once it has seen them."""

    __slots__ = ("_keys", "_tries")

    def __init__(self) -> None:
        self._keys: frozenset[str] = frozenset()
        self._tries = 8  # batches that may turn out otherwise before it is given up

    def plain(self, rows: Sequence[Any]) -> bool:
        """Whether all rows are dicts of equal length with text keys, and values text, finite numbers, bools, None."""
        if not self._tries:
            return False
        try:
            # That keys may come in another order in each row does not matter: then a column is of several kinds.
            if all(map(_is_plain, zip(*map(dict.values, rows), strict=True))) and self._are_text(set().union(*rows)):
                return True
        except (TypeError, ValueError):  # no dicts, or not of one length
            pass
        self._tries -= 1
        return False

    def _are_text(self, keys: set[Any]) -> bool:
        if keys <= self._keys:
            return True
        if not set(map(type, keys)) <= {str}:
            return False
        self._keys = frozenset(keys)
        return True


def _is_plain(values: tuple[Any, ...]) -> bool:
    try:
        if type(values[0]) is str:
            "".join(values)
            return True
        if type(values[0]) in _NUMBERS:
            total = sum(values)
            return type(total) is int or (type(total) is float and isfinite(total))
    except (TypeError, OverflowError):
        pass
    kinds = set(map(type, values))
    if kinds <= _PLAIN:
        return True
    return kinds <= _PLAIN | {float} and all(map(isfinite, (value for value in values if type(value) is float)))
