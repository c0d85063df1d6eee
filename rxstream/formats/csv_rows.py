"""How an item becomes the values of a row, in the order of the columns."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from operator import attrgetter, itemgetter
from typing import Any, Literal

from rxstream.formats.base import Refused
from rxstream.formats.json_check import names_of
from rxstream.formats.json_hooks import encodable

__all__ = ["Extra", "Missing", "RowReader", "checked_columns", "checked_word"]

Extra = Literal["error", "ignore"]
Missing = Literal["error", "empty"]

Getter = Callable[[Any], Sequence[Any]]


class RowReader:
    """Reads rows of one document; the columns come from the caller or from the first item.

    Args:
        columns: The columns' names, or None to take them from the first item.
        extra: What to do with a value whose column is unknown.
        missing: What to do about a column without a value.
    """

    def __init__(self, columns: Sequence[str] | None, *, extra: Extra, missing: Missing) -> None:
        self.columns = None if columns is None else tuple(columns)
        self._keys: tuple[Any, ...] | None = self.columns
        self._width = None if columns is None else len(columns)
        self._ignore_extra = extra == "ignore"
        self._fill_missing = missing == "empty"
        self._getters: dict[type, Getter] = {}

    def rows(self, items: Sequence[Any]) -> Sequence[Sequence[Any]]:
        """The values of the items, a row each.

        Raises:
            Refused: An item is no row, or its columns are not those of the document.
        """
        if self._width is None:
            self._settle(items[0])
        kinds = set(map(type, items))
        if len(kinds) == 1 and not self._fill_missing:
            rows = self._fast(items, kinds.pop())
            if rows is not None:
                return rows
        return [self._row(item) for item in items]

    def _fast(self, items: Sequence[Any], kind: type) -> Sequence[Sequence[Any]] | None:
        """Rows of one class in a single pass at C speed; None when they need a closer look."""
        if kind in (list, tuple):
            return items if set(map(len, items)) == {self._width} else None
        getter = self._getter(kind)
        if getter is None:
            return None
        if kind is dict and not self._ignore_extra and set(map(len, items)) != {self._width}:
            return None
        try:
            return list(map(getter, items))
        except (KeyError, AttributeError):
            return None

    def _getter(self, kind: type) -> Getter | None:
        known = self._getters.get(kind)
        if known is None and self._keys is not None:
            if kind is dict:
                known = self._getters[kind] = _tuples(itemgetter, self._keys)
            elif (names := _names(kind)) is not None and (self._ignore_extra or set(names) <= set(self._keys)):
                known = self._getters[kind] = _tuples(attrgetter, self._keys)
        return known

    def _settle(self, first: Any) -> None:
        """Take the columns from the first item."""
        row = _content(first)
        if isinstance(row, Mapping):
            columns = tuple(str(key) for key in row)
            if len(set(columns)) != len(columns):
                raise Refused("two of its keys are the same as text; rename one with serialize=, or give columns=")
            self._keys, self.columns = tuple(row), columns
        if not len(row):
            raise Refused("a row without columns; give columns=")
        self._width = len(row)

    def _row(self, item: Any) -> Sequence[Any]:
        row = _content(item)
        return self._named(row) if isinstance(row, Mapping) else self._positional(row)

    def _named(self, row: Mapping[Any, Any]) -> Sequence[Any]:
        if self._keys is None:
            raise Refused("the columns have no names, since the first item was a sequence; give columns=")
        if not self._ignore_extra:
            extra = [key for key in row if key not in self._keys]
            if extra:
                raise Refused(f'unknown column {_listed(extra)}; give columns=, or extra="ignore" to leave it out')
        missing = [key for key in self._keys if key not in row]
        if missing and not self._fill_missing:
            raise Refused(f'no value for column {_listed(missing)}; pass missing="empty" to leave the cell empty')
        return [row.get(key) for key in self._keys]

    def _positional(self, row: Sequence[Any]) -> Sequence[Any]:
        assert self._width is not None
        if len(row) > self._width and not self._ignore_extra:
            raise Refused(f'{len(row)} values for {self._width} columns; pass extra="ignore" to cut them off')
        if len(row) < self._width and not self._fill_missing:
            raise Refused(f'{len(row)} values for {self._width} columns; pass missing="empty" for empty cells')
        return [*row[: self._width], *[None] * (self._width - len(row))]


def _tuples(make: Callable[..., Callable[[Any], Any]], keys: tuple[Any, ...]) -> Getter:
    get = make(*keys)
    return get if len(keys) > 1 else lambda item: (get(item),)


def _names(kind: type) -> Sequence[str] | None:
    """The names of a class whose instances are rows; None for any other class."""
    if issubclass(kind, tuple):
        return getattr(kind, "_fields", None)
    return names_of(kind)


def _content(item: Any) -> Mapping[Any, Any] | Sequence[Any]:
    """An item as a mapping or a sequence of its values."""
    if isinstance(item, Mapping):
        return item
    names = _names(type(item))
    if names is not None:
        return {name: getattr(item, name) for name in names if hasattr(item, name)}
    if isinstance(item, list | tuple):
        return item
    if not isinstance(item, str | bytes | bytearray | memoryview | set | frozenset | bool | int | float | None):
        with suppress(Refused):
            plain = encodable(item)
            if isinstance(plain, dict | list):
                return plain
    raise Refused(f"a {type(item).__name__} is no row; give a mapping, a dataclass, a Struct or a sequence")


def _listed(keys: Iterable[Any]) -> str:
    return ", ".join(map(repr, keys))


def checked_word(name: str, value: object, words: tuple[str, ...]) -> None:
    """Refuse an option that is none of its words."""
    if value not in words:
        raise ValueError(f"{name} must be {' or '.join(map(repr, words))}, not {value!r}")


def checked_columns(columns: Sequence[str] | None) -> Sequence[str] | None:
    """The columns as they were given, which are to be names, each once."""
    if columns is None:
        return None
    if isinstance(columns, str):
        raise TypeError(f"columns must be a sequence of names, not the text {columns!r}")
    names = list(columns)
    for name in names:
        if not isinstance(name, str):
            raise TypeError(f"columns must be text, found {name!r}")
    if not names:
        raise ValueError("columns must name at least one")
    twice = {name for name in names if names.count(name) > 1}
    if twice:
        raise ValueError(f"columns names {', '.join(map(repr, sorted(twice)))} more than once")
    return names
