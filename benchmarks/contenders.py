"""How each kind of contender is run once: in fresh processes, checked against what it should have delivered."""

from __future__ import annotations

import json
import subprocess
import sys
from functools import lru_cache
from typing import Literal

from benchmarks import data
from benchmarks.model import Contender, Sample, Scale
from benchmarks.servers import ROOT, Running, Server, environment, serve
from benchmarks.uploads import fields_checksum, file_checksum

UploadKind = Literal["file", "fields", "bytes"]
UploadWork = Literal["large", "small", "whole", "bytes", "fields"]
"""A file, one of a sixteenth, one of a thousandth as it comes and byte by byte, many fields."""

_DEADLINE = 900.0


class ContenderFailed(Exception):
    """A contender did not deliver what it had to, or its process failed."""


def in_process(name: str) -> Contender:
    """A contender of `benchmarks.items`."""

    def run(scale: Scale) -> Sample:
        sample = _run_module("benchmarks.items", name, scale.items)
        return _checked(sample, scale.items, sum(range(scale.items)))

    return Contender(name, run)


def export(app: str, server: Server, kind: str, variant: str = "") -> Contender:
    """A timed export of the prepared rows over HTTP."""

    def run(scale: Scale) -> Sample:
        with serve(server, app, rows=scale.rows) as running:
            sample = _run_client("benchmarks.clients.export", running, f"/{kind}{variant}", kind)
        return _checked(sample, scale.rows, _rows_checksum(scale.rows, kind))

    return Contender(f"{kind} {app}{variant} {server}", run)


def fanout(app: str, server: Server) -> Contender:
    """Events published to many SSE clients."""

    def run(scale: Scale) -> Sample:
        with serve(server, app) as running:
            sample = _run_client("benchmarks.clients.fanout", running, scale.clients, scale.events)
        checksum = data.text_checksum(data.make_event(index) for index in range(scale.events))
        return _checked(sample, scale.clients * scale.events, checksum)

    return Contender(f"sse {app} {server}", run)


def idle(app: str, server: Server) -> Contender:
    """SSE clients to whom nothing is sent."""

    def run(scale: Scale) -> Sample:
        with serve(server, app) as running:
            return _run_client("benchmarks.clients.idle", running, scale.idle_clients)

    return Contender(f"idle {app} {server}", run, max_rounds=3)


def volume(server: Server, *, many: bool, stall: float) -> Contender:
    """An export whose rows are made on the way: few or very many, to a client that may first stall (seconds)."""

    def run(scale: Scale) -> Sample:
        count = scale.many if many else scale.few
        with serve(server, "ours") as running:
            sample = _run_client("benchmarks.clients.volume", running, f"/volume?rows={count}", stall)
        return _checked(sample, count, count - 1)

    name = f"volume {'many' if many else 'few'} {server}{' stalled' if stall else ''}"
    return Contender(name, run, max_rounds=2)


def upload(app: str, server: Server, work: UploadWork) -> Contender:
    """A form over HTTP: once to be checked byte for byte, then once more, in a fresh process, to be timed."""
    kind: UploadKind = "fields" if work == "fields" else "bytes" if work == "bytes" else "file"
    path = "/fields" if kind == "fields" else "/file"

    def run(scale: Scale) -> Sample:
        amount = _upload_amount(work, scale)
        with serve(server, f"upload_{app}") as running:
            sample = _run_module("benchmarks.clients.upload", running.port, f"{path}?check=1", kind, amount)
            _checked(sample, amount, fields_checksum(amount) if kind == "fields" else file_checksum(amount))
        with serve(server, f"upload_{app}") as running:
            return _checked(_run_client("benchmarks.clients.upload", running, path, kind, amount), amount, 0)

    return Contender(f"upload {work} {app} {server}", run, max_rounds=3 if work in ("bytes", "whole") else 100)


def _upload_amount(work: UploadWork, scale: Scale) -> int:
    if work == "fields":
        return scale.fields
    return scale.upload if work == "large" else scale.upload // 16 if work == "small" else scale.upload // 1024


def imports(name: str) -> Contender:
    """A contender of `benchmarks.imports`."""

    def run(scale: Scale) -> Sample:
        sample = _run_module("benchmarks.imports", name, scale.rows)
        return _checked(sample, scale.rows, _rows_checksum(scale.rows, "csv" if "csv" in name else "ndjson"))

    return Contender(name, run)


def _run_client(module: str, running: Running, *arguments: object) -> Sample:
    """Run a client, and add the CPU time that its work cost the server: on a busy machine the steadier figure."""
    before = running.cpu_seconds()
    sample = _run_module(module, running.port, *arguments)
    return {**sample, "cpu": running.cpu_seconds() - before}


def _run_module(module: str, *arguments: object) -> Sample:
    command = [sys.executable, "-m", module, *map(str, arguments)]
    result = subprocess.run(command, cwd=ROOT, env=environment(), capture_output=True, text=True, timeout=_DEADLINE)
    if result.returncode:
        raise ContenderFailed(f"{' '.join(command[2:])}: {result.stderr.strip()[-1500:]}")
    sample: Sample = json.loads(result.stdout)
    return sample


def _checked(sample: Sample, count: int, checksum: int) -> Sample:
    if (sample["count"], sample["checksum"]) != (count, checksum):
        raise ContenderFailed(f"delivered {sample}, not {count} items with the checksum {checksum}")
    return sample


@lru_cache
def _rows_checksum(count: int, kind: str) -> int:
    rows = data.make_rows(count)
    return data.csv_checksum(map(data.csv_record, rows)) if kind == "csv" else data.json_checksum(rows)
