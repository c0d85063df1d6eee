"""The files that can be imported: what a sample in one may hold, and how it becomes a row of the table.

Files that the monitor exported fit, in each of the three formats; so does any file with the same columns. `id` may be
missing. CSV has no lists: there, the lists are JSON in a cell.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from pathlib import PurePath
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct
from reactivex import Observable

from rxstream.operators import decode_csv, decode_json_array, decode_ndjson

encode = msgspec.json.encode

# What SQLite keeps in an INTEGER.
Size = Annotated[int, Meta(ge=0, le=(1 << 63) - 1)]
Rate = Annotated[float, Meta(ge=0, le=1e18)]
Percent = Annotated[float, Meta(ge=0, le=100)]


class ImportedProcess(Struct, forbid_unknown_fields=True):
    pid: Size
    name: Annotated[str, Meta(max_length=1024)]
    cpu_percent: Annotated[float, Meta(ge=0, le=1e6)]  # of one core, and there may be many
    memory: Size


Cores = Annotated[list[Percent], Meta(min_length=1, max_length=4096)]
Processes = Annotated[list[ImportedProcess], Meta(max_length=1000)]


class _Sample(Struct, forbid_unknown_fields=True, kw_only=True):
    """The fields of `sampler.Sample`, with bounds; but for the two lists."""

    id: Size | None = None
    at: Annotated[datetime, Meta(tz=True)]
    cpu_percent: Percent
    memory_used: Size
    memory_total: Size
    swap_used: Size
    swap_total: Size
    disk_used: Size
    disk_total: Size
    disk_read_rate: Rate | None
    disk_write_rate: Rate | None
    network_received_rate: Rate | None
    network_sent_rate: Rate | None


class ImportedSample(_Sample, kw_only=True):
    """A sample in JSON and NDJSON."""

    cpu_cores: Cores
    processes: Processes


_cores = msgspec.json.Decoder(Cores).decode
_processes = msgspec.json.Decoder(Processes).decode


class SampleInCSV(_Sample, kw_only=True):
    """A sample in CSV: the lists are checked together with the rest, so that an error names their line."""

    cpu_cores: str
    processes: str

    def __post_init__(self) -> None:
        self.cpu_cores = _checked("cpu_cores", self.cpu_cores, _cores)
        self.processes = _checked("processes", self.processes, _processes)


def _checked(name: str, cell: str, decode: Callable[[str], Any]) -> str:
    """The cell, whose JSON fits, as the table holds it."""
    try:
        return encode(decode(cell)).decode()
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ValueError(f"{name}: {error}") from error


Imported = ImportedSample | SampleInCSV
Decode = Callable[[Observable[bytes]], Observable[Imported]]

SUFFIXES: dict[str, Callable[[], Decode]] = {
    ".csv": lambda: decode_csv(SampleInCSV),
    ".json": lambda: decode_json_array(ImportedSample),
    ".jsonl": lambda: decode_ndjson(ImportedSample),
    ".ndjson": lambda: decode_ndjson(ImportedSample),
}


def decoder_for(filename: str) -> Decode | None:
    """The decoder for a file of that name: browsers know the suffix better than the type. None: there is none."""
    make = SUFFIXES.get(PurePath(filename.lower()).suffix)
    return make() if make else None


def as_values(samples: Iterable[Imported], number: int) -> Iterator[tuple[Any, ...]]:
    """The samples as rows of the table, in the order of its columns.

    Args:
        samples: What was decoded.
        number: The place of the first one in the file, which is its id if it brought none.
    """
    for place, sample in enumerate(samples, number):
        yield (
            place if sample.id is None else sample.id,
            sample.at.isoformat(),
            sample.cpu_percent,
            _text(sample.cpu_cores),
            sample.memory_used,
            sample.memory_total,
            sample.swap_used,
            sample.swap_total,
            sample.disk_used,
            sample.disk_total,
            sample.disk_read_rate,
            sample.disk_write_rate,
            sample.network_received_rate,
            sample.network_sent_rate,
            _text(sample.processes),
        )


def _text(content: Any) -> str:
    return content if isinstance(content, str) else encode(content).decode()
