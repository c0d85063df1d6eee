"""Imported histories: each a SQLite file of its own in one folder, which is there once it is whole.

A history that is being imported is a file with another suffix: it makes nobody wait for a lock, least of all the
sampler, and what becomes of an import that fails is a file that is removed. What `Store` keeps and prunes is none of
its business: an imported history stays until somebody removes it.
"""

from __future__ import annotations

import asyncio
import os
import sqlite3
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing, asynccontextmanager, closing
from dataclasses import astuple, dataclass
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

import aiosqlite

from .formats import Imported, as_values
from .store import COLUMN_TYPES, COLUMNS, Row, evenly, read_only, read_rows

WHOLE, UNFINISHED = ".sqlite3", ".unfinished"
# Without a key: `id` is what the file said, `rowid` the place in it.
SCHEMA = f"""
CREATE TABLE samples (id INTEGER NOT NULL, {COLUMN_TYPES});
CREATE TABLE about (name TEXT NOT NULL, imported TEXT NOT NULL, samples INTEGER NOT NULL,
    first TEXT NOT NULL, last TEXT NOT NULL);
"""
INSERT = f"INSERT INTO samples ({', '.join(COLUMNS)}) VALUES ({', '.join('?' * len(COLUMNS))})"
SELECT = f"SELECT {', '.join(COLUMNS)} FROM samples ORDER BY rowid"


@dataclass(frozen=True, slots=True)
class History:
    """An imported history. `first` and `last` are the times of its earliest and its latest sample."""

    id: str
    name: str
    imported: datetime
    samples: int
    first: datetime
    last: datetime


class Archive:
    """The folder of imported histories; `Archive.open(path)` makes it, and clears what a crash has left.

    Args:
        folder: It belongs to one process.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @classmethod
    async def open(cls, folder: Path) -> Archive:
        def prepare() -> None:
            folder.mkdir(exist_ok=True)
            for left in folder.glob(f"*{UNFINISHED}*"):
                left.unlink()

        await asyncio.to_thread(prepare)
        return cls(folder)

    @asynccontextmanager
    async def add(self) -> AsyncIterator[NewHistory]:
        """A history to be filled. It is there after `commit`; without that, nothing of it is left."""
        history = NewHistory(self._folder, uuid4().hex)
        try:
            await history.open()
            yield history
        finally:
            await history.discard()

    async def all(self) -> list[History]:
        """Every history, the one that was imported last first."""
        return await asyncio.to_thread(self._all)

    async def find(self, id: str) -> History | None:
        return next((history for history in await self.all() if history.id == id), None)

    async def remove(self, history: History) -> None:
        """Removes the file; who is reading it may go on."""
        await asyncio.to_thread(self._path(history).unlink, missing_ok=True)

    async def rows(self, history: History, *, at_most: int | None = None) -> AsyncGenerator[Row, None]:
        """The samples in the order of the file.

        Args:
            history: Which one.
            at_most: No more than so many, evenly chosen.
        """
        address = read_only(self._path(history))
        chosen = read_rows(address, SELECT, ()) if at_most is None else evenly(address, 1, history.samples, at_most)
        async with aclosing(chosen) as rows:
            async for row in rows:
                yield row

    def _path(self, history: History) -> Path:
        return self._folder / (history.id + WHOLE)

    def _all(self) -> list[History]:
        found = [_about(path) for path in self._folder.glob(f"*{WHOLE}")]
        return sorted(found, key=lambda history: history.imported, reverse=True)


class NewHistory:
    """A history that is being imported; `Archive.add()` makes it and sees to its end."""

    def __init__(self, folder: Path, id: str) -> None:
        self.id = id
        self.samples = 0
        self._first, self._last = datetime.max.replace(tzinfo=UTC), datetime.min.replace(tzinfo=UTC)
        self._path = folder / (id + UNFINISHED)
        self._database: aiosqlite.Connection | None = None

    async def open(self) -> None:
        self._database = await aiosqlite.connect(self._path)
        # No journal: an import that fails is not rolled back, its file goes.
        await self._database.execute("PRAGMA journal_mode = OFF")
        await self._database.execute("PRAGMA synchronous = OFF")
        await self._database.executescript(SCHEMA)

    async def append(self, samples: Sequence[Imported]) -> None:
        """Adds samples, all in one call to SQLite; they are made into rows on its thread."""
        assert self._database is not None
        await self._database.executemany(INSERT, as_values(samples, self.samples + 1))
        times = [sample.at for sample in samples]
        self._first, self._last = min(self._first, *times), max(self._last, *times)
        self.samples += len(samples)

    async def commit(self, name: str) -> History:
        """Writes all to the disk and gives the file the name under which it is found."""
        assert self._database is not None
        history = History(self.id, name, datetime.now(UTC), self.samples, self._first, self._last)
        values = [str(value) for value in astuple(history)[1:]]
        await self._database.execute("INSERT INTO about VALUES (?, ?, ?, ?, ?)", values)
        await self._database.commit()
        await self._close()
        await asyncio.to_thread(_settle, self._path)
        return history

    async def discard(self) -> None:
        """Removes what is not committed; also when this is called because of a cancellation."""
        await self._close()
        await asyncio.to_thread(self._path.unlink, missing_ok=True)

    async def _close(self) -> None:
        if self._database is not None:
            database, self._database = self._database, None
            await database.close()


def _about(path: Path) -> History:
    with closing(sqlite3.connect(read_only(path), uri=True)) as reader:
        name, imported, samples, first, last = reader.execute("SELECT * FROM about").fetchone()
    imported, first, last = map(datetime.fromisoformat, (imported, first, last))
    return History(path.stem, name, imported, samples, first, last)


def _settle(unfinished: Path) -> None:
    """The content is on the disk before the name is."""
    with unfinished.open("rb+") as file:
        os.fsync(file.fileno())
    unfinished.replace(unfinished.with_suffix(WHOLE))
