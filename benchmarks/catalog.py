"""The table: what is measured against what, and the least that has to come out."""

from __future__ import annotations

from typing import Final

from benchmarks.contenders import export, fanout, idle, imports, in_process, upload, volume
from benchmarks.model import Contender, Group, Row
from benchmarks.servers import Server

ITEMS: Final = Group(
    contenders=(
        in_process("ours-async"),
        in_process("queue-async"),
        in_process("ours-iterable"),
        in_process("queue-iterable"),
        in_process("janus-thread"),
    ),
    rows=(
        Row(
            "items-async", "async source, consumer, 128 suspend / asyncio.Queue(128)", "ours-async", "queue-async", 1.5
        ),
        Row("items-iterable", "reactivex.from_iterable / asyncio.Queue(128)", "ours-iterable", "queue-iterable", 1.0),
        Row("items-janus", "reactivex.from_iterable / janus.Queue(128)", "ours-iterable", "janus-thread", 5.0),
    ),
)


def _ndjson(name: str, server: str, peer: str, work: str, target: float | None) -> Row:
    return Row(name, work, f"ndjson ours {server}", f"ndjson {peer} {server}", target)


def _metrics(name: str, what: str, kind: str) -> Row:
    return Row(name, f"{what}, uvicorn: metrics on / off", f"{kind} measured uvicorn", f"{kind} ours uvicorn", 0.95)


NDJSON: Final = Group(
    contenders=(
        export("ours", "hypercorn", "ndjson"),
        export("quart_plain", "hypercorn", "ndjson"),
        export("by_hand", "hypercorn", "ndjson"),
        export("by_hand", "hypercorn", "ndjson", "-bare"),
        export("ours", "uvicorn", "ndjson"),
        export("measured", "uvicorn", "ndjson"),
        export("starlette_plain", "uvicorn", "ndjson"),
        export("quart_plain", "uvicorn", "ndjson"),
        export("by_hand", "uvicorn", "ndjson"),
        export("by_hand", "uvicorn", "ndjson", "-bare"),
    ),
    rows=(
        _ndjson("ndjson-hypercorn", "hypercorn", "quart_plain", "NDJSON, Hypercorn / Quart generator", 15.0),
        _ndjson("ndjson-uvicorn", "uvicorn", "starlette_plain", "NDJSON, uvicorn / Starlette", 8.0),
        _ndjson("ndjson-uvicorn-quart", "uvicorn", "quart_plain", "NDJSON, uvicorn / Quart generator", None),
        _ndjson("ndjson-hand-hypercorn", "hypercorn", "by_hand", "NDJSON, Hypercorn / best loop, same encoder", 0.6),
        _ndjson("ndjson-hand-uvicorn", "uvicorn", "by_hand", "NDJSON, uvicorn / best loop, same encoder", 0.6),
        _ndjson(
            "ndjson-bare-hypercorn", "hypercorn", "by_hand-bare", "NDJSON, Hypercorn / best loop, bare msgspec", None
        ),
        _ndjson("ndjson-bare-uvicorn", "uvicorn", "by_hand-bare", "NDJSON, uvicorn / best loop, bare msgspec", None),
        _metrics("metrics-ndjson", "NDJSON", "ndjson"),
    ),
)

CSV: Final = Group(
    contenders=(
        export("ours", "hypercorn", "csv"),
        export("quart_plain", "hypercorn", "csv"),
        export("ours", "uvicorn", "csv"),
        export("quart_plain", "uvicorn", "csv"),
    ),
    rows=(
        Row(
            "csv-hypercorn",
            "CSV, Hypercorn / Quart over csv.writer",
            "csv ours hypercorn",
            "csv quart_plain hypercorn",
            8.0,
        ),
        Row("csv-uvicorn", "CSV, uvicorn / Quart over csv.writer", "csv ours uvicorn", "csv quart_plain uvicorn", None),
    ),
)

SSE: Final = Group(
    contenders=(
        fanout("ours", "uvicorn"),
        fanout("measured", "uvicorn"),
        fanout("sse_starlette_app", "uvicorn"),
        fanout("quart_plain", "uvicorn"),
        fanout("ours", "hypercorn"),
        fanout("quart_plain", "hypercorn"),
    ),
    rows=(
        Row("sse-starlette", "SSE, uvicorn / sse-starlette", "sse ours uvicorn", "sse sse_starlette_app uvicorn", 3.0),
        Row(
            "sse-uvicorn", "SSE, uvicorn / Quart, a queue a client", "sse ours uvicorn", "sse quart_plain uvicorn", 1.2
        ),
        Row("sse-hypercorn", "SSE, Hypercorn / the same", "sse ours hypercorn", "sse quart_plain hypercorn", 1.2),
        _metrics("metrics-sse", "SSE", "sse"),
    ),
)


def _idle_rows(server: str) -> tuple[Row, ...]:
    ours, peer = f"idle ours {server}", f"idle quart_idle {server}"
    return (
        Row(
            f"idle-memory-{server}",
            f"idle SSE client, {server}: memory / Quart",
            ours,
            peer,
            8.0,
            "kib",
            "KiB",
            "excess",
        ),
        Row(
            f"idle-tasks-{server}", f"idle SSE client, {server}: tasks / Quart", ours, peer, 1.0, "tasks", "", "excess"
        ),
    )


IDLE: Final = Group(
    contenders=(
        idle("ours", "uvicorn"),
        idle("quart_idle", "uvicorn"),
        idle("ours", "hypercorn"),
        idle("quart_idle", "hypercorn"),
    ),
    rows=(*_idle_rows("uvicorn"), *_idle_rows("hypercorn")),
)


def _volume_row(server: str, stalled: str) -> Row:
    name, work = f"volume-{server}{stalled.replace(' ', '-')}", f"peak memory, {server}{stalled}: very many rows / few"
    few, many = f"volume few {server}{stalled}", f"volume many {server}{stalled}"
    return Row(name, work, many, few, 4.0, "peak_mib", "MiB", "excess")


VOLUME: Final = Group(
    contenders=(
        volume("uvicorn", many=False, stall=0.0),
        volume("uvicorn", many=True, stall=0.0),
        volume("uvicorn", many=False, stall=1.0),
        volume("uvicorn", many=True, stall=1.0),
        volume("hypercorn", many=False, stall=0.0),
        volume("hypercorn", many=True, stall=0.0),
        volume("hypercorn", many=False, stall=1.0),
        volume("hypercorn", many=True, stall=1.0),
    ),
    rows=tuple(_volume_row(server, stalled) for server in ("uvicorn", "hypercorn") for stalled in ("", " stalled")),
)


def _upload_rows(server: Server) -> tuple[Row, ...]:
    def against(name: str, work: str, what: str, peer: str, target: float | None) -> Row:
        ours, theirs = f"upload {what} ours {server}", f"upload {what} {peer} {server}"
        return Row(f"upload-{name}-{server}", f"{work}, {server}", ours, theirs, target)

    def excess(name: str, work: str, what: str, base: str, metric: str, unit: str, target: float) -> Row:
        ours, other = f"upload {what} ours {server}", f"upload {base} ours {server}"
        return Row(f"upload-{name}-{server}", f"{work}, {server}", ours, other, target, metric, unit, "excess")

    return (
        against("quart", "one file to a null sink / Quart's request.files", "large", "quart", 2.0),
        against("starlette", "the same / Starlette's request.form()", "large", "starlette", 1.2),
        excess("memory", "peak memory: a large file / one of a sixteenth", "large", "small", "peak_mib", "MiB", 4.0),
        against("fields-quart", "small fields / Quart's request.form", "fields", "quart", None),
        against("fields-starlette", "the same / Starlette's request.form()", "fields", "starlette", None),
        against("bytes-starlette", "a file in chunks of one byte / Starlette", "bytes", "starlette", 0.75),
        excess("bytes-time", "time: chunks of one byte / large ones", "bytes", "whole", "seconds", "s", 13.0),
        excess("bytes-memory", "peak memory: the same", "bytes", "whole", "peak_mib", "MiB", 4.0),
    )


def _uploads(server: Server) -> tuple[Contender, ...]:
    peers = [upload(app, server, work) for work in ("large", "fields") for app in ("quart", "starlette")]
    # Quart's own parser delivers more bytes than were sent one by one: there is nothing to compare with.
    ours = [upload("ours", server, work) for work in ("large", "small", "fields", "whole", "bytes")]
    return (*ours, *peers, upload("starlette", server, "bytes"))


UPLOAD: Final = Group(
    contenders=(*_uploads("uvicorn"), *_uploads("hypercorn")),
    rows=(*_upload_rows("uvicorn"), *_upload_rows("hypercorn")),
)

IMPORT: Final = Group(
    contenders=(
        imports("ours-ndjson"),
        imports("json-loads"),
        imports("ours-csv"),
        imports("csv-dictreader"),
    ),
    rows=(
        Row("import-ndjson", "NDJSON from disk / json.loads a line", "ours-ndjson", "json-loads", 1.5),
        Row("import-csv", "CSV from disk / csv.DictReader", "ours-csv", "csv-dictreader", 1.0),
    ),
)

GROUPS: Final = (ITEMS, NDJSON, CSV, SSE, IDLE, VOLUME, UPLOAD, IMPORT)
