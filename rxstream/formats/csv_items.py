"""How rows of text become dicts, and which of their cells may be None."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

import msgspec

__all__ = ["RowMaker", "nullable_fields", "row_maker"]

RowMaker = Callable[[Iterable[list[str]]], list[Any]]

_MAX_COMPILED: Final = 200  # columns


def row_maker(names: Sequence[str] | None, nullable: frozenset[str]) -> RowMaker:
    """What makes rows into dicts; a row with too many or too few cells is a `ValueError`.

    As `dataclasses` and `namedtuple` do, it writes the code for it: `dict(zip(names, row))` takes three times as long.
    """
    if names is None:
        return _lists
    if len(names) > _MAX_COMPILED:
        return lambda rows: [
            {name: cell or None if name in nullable else cell for name, cell in zip(names, row, strict=True)}
            for row in rows
        ]
    cells = [f"c{index}" for index in range(len(names))]
    pairs = [
        f"{str(name)!r}: {cell} or None" if name in nullable else f"{str(name)!r}: {cell}"
        for name, cell in zip(names, cells, strict=True)
    ]
    make: RowMaker = eval(
        f"lambda rows: [{{{', '.join(pairs)}}} for [{', '.join(cells)}] in rows]", {"__builtins__": {}}
    )
    return make


def _lists(rows: Iterable[list[str]]) -> list[Any]:
    return [row for row in rows if row]


def nullable_fields(kind: Any) -> frozenset[str]:
    """The names of the fields that may be None."""
    fields = getattr(msgspec.inspect.type_info(kind), "fields", ())
    return frozenset(
        field.encode_name
        for field in fields
        if isinstance(field.type, msgspec.inspect.UnionType) and field.type.includes_none
    )
