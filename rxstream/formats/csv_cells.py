"""What a value looks like in a CSV cell, and the guard against formulas.

Spreadsheets run a cell that starts with `=`, `+`, `-` or `@` as a formula, also behind a tab, a CR or a NUL; text from
one user must not run on the machine of another (CWE-1236, OWASP "CSV Injection"). Such text gets a `'` in front,
which spreadsheets hide. Numbers are never touched.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Callable, Sequence
from decimal import Decimal
from enum import Enum
from typing import Any
from uuid import UUID

import msgspec

from rxstream.formats.base import Refused
from rxstream.formats.json_hooks import encodable

__all__ = ["cell", "cells", "guarded", "texts"]

_AS_THEY_ARE = frozenset({int, float, type(None)})
_PLAIN = _AS_THEY_ARE | {str}
_TEXT = frozenset({str, type(None)})
_encode = msgspec.json.Encoder().encode
_FORMULA = re.compile("\n[=+\\-@\t\r\0]")
_FORMULA_START = ("=", "+", "-", "@", "\t", "\r", "\0")


def cells(values: Sequence[Any], *, guard: bool) -> Sequence[Any]:
    """The cells of one column; few columns need more than a look at their types.

    Args:
        values: The column's values.
        guard: Whether text that starts like a formula gets a `'` in front.

    Raises:
        Refused: A value that has no form in a cell.
    """
    kinds = set(map(type, values))
    if kinds <= _AS_THEY_ARE:
        return values
    if kinds <= _PLAIN:
        found = values if len(kinds) == 1 else [value for value in values if type(value) is str]
        if not guard or _FORMULA.search("\n" + "\n".join(found)) is None:
            return values
        return [guarded(value) if type(value) is str else value for value in values]
    if len(kinds) == 1:
        convert = _FORMS.get(kinds.pop())
        if convert is not None:
            return list(map(convert, values))
    return [cell(value, guard=guard) for value in values]


def texts(values: Sequence[Any], *, guard: bool, specials: str, special: re.Pattern[str]) -> Sequence[str]:
    """The column's cells as the text that `csv` writes for them: in quotes where one holds a special character.

    Args:
        values: The column's values.
        guard: As above.
        specials: The characters for which `csv` quotes a cell, the line feed aside.
        special: A pattern of any of them and the line feed.

    Raises:
        Refused: A value that has no form in a cell.
    """
    kinds = set(map(type, values))
    if kinds == {int} or kinds == {float}:
        return _numbers(values)
    if kinds == {bool}:
        return list(map(_FORMS[bool], values))
    column: Sequence[str]
    if kinds == {str}:
        column = values
    elif kinds <= _TEXT:
        column = ["" if value is None else value for value in values]
    else:
        column = [_text(value) for value in cells(values, guard=guard)]
        guard = False  # done, and not for the numbers among them
    lines = "\n" + "\n".join(column)  # one text shows all that there is to be found
    if guard and _FORMULA.search(lines) is not None:
        column = list(map(guarded, column))
    elif lines.count("\n") == len(column) and not any(character in lines for character in specials):
        return column
    quoted = {text: '"' + text.replace('"', '""') + '"' for text in set(column) if special.search(text) is not None}
    return [quoted.get(text, text) for text in column]  # in a table few texts come often


def _numbers(values: Sequence[Any]) -> Sequence[str]:
    """What `repr` says, from msgspec, whose shortest form of a float takes a fraction of the time.

    It is the same one where both write it without an exponent: Python does so down to 0.0001, msgspec to 0.00001. Nor
    has msgspec a form for NaN and infinity but null.
    """
    encoded = _encode(values)
    if b"e" in encoded or b"n" in encoded or b"0.0000" in encoded:
        return list(map(repr, values))
    return encoded[1:-1].decode().split(",")


def _text(value: Any) -> str:
    if type(value) is str:
        return value
    return "" if value is None else repr(value)


def cell(value: Any, *, guard: bool) -> Any:
    """One value as text or a number, or None for an empty cell."""
    if type(value) in _AS_THEY_ARE:
        return value
    if isinstance(value, Enum):
        return cell(value.value, guard=guard)
    if isinstance(value, str):
        text = str.__str__(value)
        return guarded(text) if guard else text
    convert = _FORMS.get(type(value)) or _form_of(type(value))
    return convert(value) if convert is not None else _unusual(value, guard)


def guarded(text: str) -> str:
    """The text, behind a `'` when a spreadsheet could take it for a formula."""
    return "'" + text if text.startswith(_FORMULA_START) else text


def _form_of(kind: type) -> Callable[[Any], Any] | None:
    for known, convert in _FORMS.items():
        if issubclass(kind, known):
            return convert
    return None


def _unusual(value: Any, guard: bool) -> Any:
    if not isinstance(value, dict | list | tuple | set | frozenset | bytes | bytearray | memoryview):
        try:
            plain = encodable(value)  # a NumPy scalar
        except Refused:
            name = f"{type(value).__module__}.{type(value).__qualname__}"
            raise Refused(f"{name} has no CSV form; make it text or a number with serialize=") from None
        if not isinstance(plain, dict | list):
            return cell(plain, guard=guard)
    raise Refused(f"a {type(value).__name__} does not fit in one cell; flatten it, or make it text, with serialize=")


_FORMS: dict[type, Callable[[Any], Any]] = {
    bool: {True: "true", False: "false"}.__getitem__,
    int: int.__int__,
    float: float.__float__,
    Decimal: str,
    UUID: str,
    datetime.datetime: datetime.datetime.isoformat,
    datetime.date: datetime.date.isoformat,
    datetime.time: datetime.time.isoformat,
    datetime.timedelta: msgspec.to_builtins,
    msgspec.UnsetType: lambda value: None,
}
