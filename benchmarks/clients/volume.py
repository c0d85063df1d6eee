"""Peak memory of a server during one export: `python -m benchmarks.clients.volume PORT PATH STALL`.

The body is counted and let go, so that ten million rows cost the client nothing.
"""

from __future__ import annotations

import json
import sys
import time

from benchmarks.clients.http import BadReply, Dechunker, connect, fetch, fetch_json, read_raw, split_head


def count_rows(port: int, path: str, *, stall: float) -> tuple[int, int]:
    """Read one NDJSON export, after `stall` seconds of not reading; return its rows and the last row's id."""
    dechunker = Dechunker()
    rows, tail, head = 0, b"", b""
    with connect(port, path) as connection:
        time.sleep(stall)
        for raw in read_raw(connection):
            data = raw
            if not head:
                head, data = split_head(raw)
            for payload in dechunker.feed(data):
                rows += payload.count(b"\n")
                tail = (tail + payload)[-1000:] if payload else tail
    if not dechunker.done:
        raise BadReply(f"the export was cut off after {rows} rows")
    return rows, json.loads(tail.splitlines()[-1])["id"]


def main() -> None:
    """Warm the server, export, and print the growth of its peak memory as one line of JSON."""
    port, path, stall = int(sys.argv[1]), sys.argv[2], float(sys.argv[3])
    fetch(port, "/volume?rows=1000")
    before = fetch_json(port, "/admin")
    rows, last = count_rows(port, path, stall=stall)
    after = fetch_json(port, "/admin")
    sample = {"peak_mib": after["peak"] / 2**20, "growth_mib": (after["peak"] - before["rss"]) / 2**20}
    print(json.dumps({**sample, "count": rows, "checksum": last}))


if __name__ == "__main__":
    main()
