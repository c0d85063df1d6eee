"""The data that every contender moves, made by code: the same rows and events in each process and each run.

Also the checksums by which a client shows that it received all of it. No I/O and no server in here.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Final
from zlib import crc32

Value = int | float | str | bool | None
Row = dict[str, Value]

COLUMNS: Final = ("id", "name", "price", "quantity", "active", "created_at", "city", "note")
_CITIES: Final = ("Lisbon", "Oslo", "Accra", "Lima", "Hanoi", "Quito", "Zürich", "Perth")
_NOTES: Final = (None, "fragile", 'said "as new"', None, "left, at the door", None, None, "call first")


def make_row(index: int) -> Row:
    """Return row `index`: 8 fields, of every plain JSON type, with text that needs quoting now and then."""
    return {
        "id": index,
        "name": f"item {index}",
        "price": (index * 7919 % 1_000_003) / 100,
        "quantity": index * 31 % 997,
        "active": index % 3 == 0,
        "created_at": f"2026-{index % 12 + 1:02d}-{index % 28 + 1:02d}T{index % 24:02d}:30:00Z",
        "city": _CITIES[index % 8],
        "note": _NOTES[index * 5 % 8],
    }


def make_rows(count: int) -> list[Row]:
    """Return the first `count` rows."""
    return [make_row(index) for index in range(count)]


def make_event(index: int) -> str:
    """Return event `index` as text that is JSON already, as a publisher that serialises once sends it."""
    return json.dumps({"n": index, "symbol": "RXS", "price": index * 7919 % 10_007 / 100, "volume": index * 31 % 997})


def json_checksum(rows: Iterable[Row]) -> int:
    """Fold rows that were read from JSON into one number; names, order and types of the fields count."""
    checksum = 0
    for row in rows:
        checksum = crc32(repr(list(row.items())).encode(), checksum)
    return checksum


def csv_checksum(records: Iterable[list[str]]) -> int:
    """Fold records that were read from CSV into one number; letter case of true and false does not count."""
    checksum = 0
    for record in records:
        if len(record) != len(COLUMNS):
            raise ValueError(f"a record of {len(record)} fields, not {len(COLUMNS)}: {record!r}")
        record[4] = record[4].lower()
        checksum = crc32(repr(record).encode(), checksum)
    return checksum


def csv_record(row: Row) -> list[str]:
    """Return what a CSV reader should find for `row`, by the rules of the standard library's writer."""
    return ["" if value is None else str(value) for value in row.values()]


def text_checksum(texts: Iterable[str]) -> int:
    """Fold texts into one number."""
    checksum = 0
    for text in texts:
        checksum = crc32(text.encode(), checksum)
    return checksum
