"""Times one export and checks every row of it: `python -m benchmarks.clients.export PORT PATH FORMAT`."""

from __future__ import annotations

import csv
import io
import json
import sys

from benchmarks.clients.http import BadReply, fetch
from benchmarks.data import COLUMNS, csv_checksum, json_checksum

_WARM_UP = 1_000


def check_ndjson(body: bytes) -> tuple[int, int]:
    """Return the number of rows and their checksum."""
    rows = [json.loads(line) for line in body.splitlines()]
    return len(rows), json_checksum(rows)


def check_csv(body: bytes) -> tuple[int, int]:
    """Return the number of records below the header and their checksum."""
    records = list(csv.reader(io.StringIO(body.decode(), newline="")))
    if not records or tuple(records[0]) != COLUMNS:
        raise BadReply(f"no header: {body[:120]!r}")
    return len(records) - 1, csv_checksum(records[1:])


def main() -> None:
    """Ask for a few rows so that the server is warm, then time all of them, and print one line of JSON."""
    port, path, kind = int(sys.argv[1]), sys.argv[2], sys.argv[3]
    fetch(port, f"{path}?limit={_WARM_UP}")
    reply = fetch(port, path)
    count, checksum = (check_csv if kind == "csv" else check_ndjson)(reply.body)
    print(json.dumps({"seconds": reply.seconds, "count": count, "checksum": checksum}))


if __name__ == "__main__":
    main()
