"""Reads a file of rows from disk, in one process: `python -m benchmarks.imports CONTENDER ROWS`. No HTTP in here.

Every contender reads the same file and sees every row as a dict. Once, untimed, it folds all of them into a checksum;
then it is timed while it adds up the ids.
"""

from __future__ import annotations

import asyncio
import csv
import json
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, Final

from benchmarks import data

Batches = AsyncIterator[Iterable[dict[str, Any]]]


async def json_loads(path: Path) -> Batches:
    """`json.loads`, a line at a time."""

    def rows() -> Iterator[dict[str, Any]]:
        with path.open("rb") as file:
            for line in file:
                yield json.loads(line)

    yield rows()


async def dict_reader(path: Path) -> Batches:
    """`csv.DictReader`."""
    with path.open(newline="", encoding="utf-8") as file:
        yield csv.DictReader(file)


async def ours_ndjson(path: Path) -> Batches:
    """`from_file`, `decode_ndjson`, and a consumer that takes what is there."""
    from rxstream.operators import decode_ndjson

    async for batch in _stream(path, decode_ndjson()):
        yield batch


async def ours_csv(path: Path) -> Batches:
    """`from_file`, `decode_csv`, and a consumer that takes what is there."""
    from rxstream.operators import decode_csv

    async for batch in _stream(path, decode_csv()):
        yield batch


def _stream(path: Path, decode: Any) -> Batches:
    from rxstream import from_file, to_async_iterable

    return to_async_iterable(from_file(path).pipe(decode), "import").batches()


CONTENDERS: Final[dict[str, tuple[str, Callable[[Path], Batches]]]] = {
    "ours-ndjson": ("ndjson", ours_ndjson),
    "json-loads": ("ndjson", json_loads),
    "ours-csv": ("csv", ours_csv),
    "csv-dictreader": ("csv", dict_reader),
}


def write(path: Path, kind: str, rows: list[data.Row]) -> None:
    """Write the rows as the standard library does."""
    with path.open("w", newline="", encoding="utf-8") as file:
        if kind == "csv":
            writer = csv.writer(file)
            writer.writerow(data.COLUMNS)
            writer.writerows(data.csv_record(row) for row in rows)
        else:
            file.writelines(json.dumps(row) + "\n" for row in rows)


async def add_up(batches: Batches) -> int:
    """Take every row, and add up the ids."""
    total = 0
    async for batch in batches:
        for row in batch:
            total += int(row["id"])
    return total


async def check(batches: Batches, kind: str) -> tuple[int, int]:
    """Return the number of rows, and a checksum of all that is in them."""
    rows = [row async for batch in batches for row in batch]
    if kind == "csv":
        return len(rows), data.csv_checksum([list(row.values()) for row in rows])
    return len(rows), data.json_checksum(rows)


async def measure(name: str, count: int) -> dict[str, float]:
    """Run one contender, checked, then timed."""
    kind, contender = CONTENDERS[name]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"rows.{kind}"
        write(path, kind, data.make_rows(count))
        seen, checksum = await check(contender(path), kind)
        started, cpu = time.perf_counter(), time.process_time()
        total = await add_up(contender(path))
        seconds, cpu = time.perf_counter() - started, time.process_time() - cpu
    if total != sum(range(count)):
        raise ValueError(f"the ids add up to {total}")
    return {"seconds": seconds, "cpu": cpu, "count": seen, "checksum": checksum}


if __name__ == "__main__":
    print(json.dumps(asyncio.run(measure(sys.argv[1], int(sys.argv[2])))))
