"""The samples in SQLite: one writer, and a connection of its own for each reader.

The file is in WAL mode, so that a reader sees one consistent state for as long as it reads and never makes the
sampler wait. Only the newest `keep` samples are kept.
"""

from __future__ import annotations

import asyncio
import sqlite3
import tempfile
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing, closing
from dataclasses import fields
from pathlib import Path
from typing import Any, BinaryIO

import aiosqlite
import msgspec

from .sampler import Sample

# A sample as the table holds it: the columns by name, `at` in ISO 8601, JSON_COLUMNS as text.
Row = dict[str, Any]
Values = Sequence[int] | Mapping[str, int]

COLUMNS = ("id", *(field.name for field in fields(Sample)))
# SQLite has no lists.
JSON_COLUMNS = ("cpu_cores", "processes")
ROWS_A_FETCH = 256
COLUMN_TYPES = """
    at TEXT NOT NULL,
    cpu_percent REAL NOT NULL,
    cpu_cores TEXT NOT NULL,
    memory_used INTEGER NOT NULL,
    memory_total INTEGER NOT NULL,
    swap_used INTEGER NOT NULL,
    swap_total INTEGER NOT NULL,
    disk_used INTEGER NOT NULL,
    disk_total INTEGER NOT NULL,
    disk_read_rate REAL,
    disk_write_rate REAL,
    network_received_rate REAL,
    network_sent_rate REAL,
    processes TEXT NOT NULL
"""
# The pages freed by samples that were removed are used again, so the file stops growing once `keep` is reached.
SCHEMA = f"CREATE TABLE IF NOT EXISTS samples (id INTEGER PRIMARY KEY AUTOINCREMENT, {COLUMN_TYPES})"

INSERT = f"INSERT INTO samples ({', '.join(COLUMNS[1:])}) VALUES (:{', :'.join(COLUMNS[1:])})"
SELECT = f"SELECT {', '.join(COLUMNS)} FROM samples WHERE id > ? ORDER BY id"
# Every n-th row, by its number: nothing else is read.
SELECT_SOME = f"""
WITH RECURSIVE places(place) AS (SELECT :first UNION ALL SELECT place + :step FROM places WHERE place + :step <= :last)
SELECT {", ".join(COLUMNS)} FROM places JOIN samples ON samples.rowid = place ORDER BY place
"""
SELECT_LAST = f"SELECT * FROM ({SELECT} DESC LIMIT ?) ORDER BY id"


class Store:
    """The history. Open it with `await Store.open(path)`, end it with `await store.close()`.

    Args:
        path: The database file.
        writer: The one connection that writes.
        keep: How many samples are kept; with each one that is added, older ones go.
    """

    def __init__(self, path: Path, writer: aiosqlite.Connection, *, keep: int) -> None:
        self._address = read_only(path)
        self._writer = writer
        self._keep = keep

    @classmethod
    async def open(cls, path: str | Path, *, keep: int) -> Store:
        """Opens the file, or makes it; samples of an earlier run stay."""
        writer = await aiosqlite.connect(path)
        try:
            await writer.execute("PRAGMA journal_mode = WAL")
            await writer.execute("PRAGMA synchronous = NORMAL")
            await writer.execute(SCHEMA)
            await writer.commit()
        except BaseException:
            await writer.close()
            raise
        return cls(Path(path), writer, keep=keep)

    async def close(self) -> None:
        await self._writer.close()

    async def append(self, sample: Sample) -> Row:
        """Keeps a sample, and gives it back as the row that it became."""
        row: Row = {name: getattr(sample, name) for name in COLUMNS[1:]}
        row |= {"at": sample.at.isoformat()} | {name: msgspec.json.encode(row[name]).decode() for name in JSON_COLUMNS}
        cursor = await self._writer.execute(INSERT, row)
        assert cursor.lastrowid is not None
        await self._writer.execute("DELETE FROM samples WHERE id <= ?", (cursor.lastrowid - self._keep,))
        await self._writer.commit()
        return {"id": cursor.lastrowid, **row}

    async def rows(self, *, after: int = 0, last: int | None = None) -> AsyncGenerator[Row, None]:
        """The samples in order, straight from a cursor: what is not asked for is not read.

        Args:
            after: Only samples with a larger id.
            last: At most so many, the newest ones.
        """
        query, values = SELECT, [after]
        if last is not None:
            query, values = SELECT_LAST, [after, last]
        async with aclosing(read_rows(self._address, query, values)) as rows:
            async for row in rows:
                yield row

    async def some_rows(self, at_most: int) -> AsyncGenerator[Row, None]:
        """No more than so many samples, evenly chosen from all that are kept."""
        async with aclosing(self.rows()) as rows:
            first = await anext(rows, {"id": 1})
        async with aclosing(evenly(self._address, first["id"], await self.last_id(), at_most)) as some:
            async for row in some:
                yield row

    async def last_id(self) -> int:
        """The id of the newest sample, 0 when there is none."""
        async with aclosing(self.rows(last=1)) as rows:
            async for row in rows:
                return int(row["id"])
        return 0

    async def copy(self) -> BinaryIO:
        """A consistent copy of the database, as an open file that is at its start.

        The file has lost its name already: whatever becomes of the download, closing it (or the end of the process)
        gives its space back.
        """
        return await asyncio.to_thread(_copy, self._address)


def read_only(path: Path) -> str:
    """The address of a database that is only read."""
    return f"{path.absolute().as_uri()}?mode=ro"


def evenly(address: str, first: int, last: int, at_most: int) -> AsyncGenerator[Row, None]:
    """Rows from the first to the last number, every n-th, so that they are no more than so many."""
    step = max(1, -(-(last - first + 1) // at_most))
    return read_rows(address, SELECT_SOME, {"first": first, "step": step, "last": last})


async def read_rows(address: str, query: str, values: Values) -> AsyncGenerator[Row, None]:
    """Rows of all COLUMNS, straight from a cursor of a connection of their own."""
    async with aiosqlite.connect(address, uri=True) as reader, reader.execute(query, values) as cursor:
        while batch := await cursor.fetchmany(ROWS_A_FETCH):
            for fetched in batch:
                yield dict(zip(COLUMNS, fetched, strict=True))


def _copy(address: str) -> BinaryIO:
    with tempfile.TemporaryDirectory(prefix="monitor-") as folder:
        target = Path(folder, "history.sqlite3")
        with closing(sqlite3.connect(address, uri=True)) as reader:
            reader.execute("VACUUM INTO ?", (str(target),))
        return target.open("rb")
