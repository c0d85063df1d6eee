"""Memory and tasks of an idle SSE client: `python -m benchmarks.clients.idle PORT CLIENTS`.

Two counts of clients are compared, so that imports, pools and the server itself fall out of the difference.
"""

from __future__ import annotations

import json
import sys
import time

from benchmarks.clients.fanout import open_clients, wait_for_clients
from benchmarks.clients.http import connect, fetch_json
from benchmarks.limits import raise_file_limit

_SETTLE = 0.5


def main() -> None:
    """Open a first part of the clients, then the others, and print what one of the others costs."""
    raise_file_limit()
    port, clients = int(sys.argv[1]), int(sys.argv[2])
    first = max(10, clients // 5)
    streams = open_clients(port, "/events", first)
    time.sleep(_SETTLE)
    before = fetch_json(port, "/admin")
    for number in range(clients):
        streams.append(connect(port, "/events"))
        if number % 50 == 49:
            wait_for_clients(port, first + number + 1)
    wait_for_clients(port, first + clients)
    time.sleep(_SETTLE)
    after = fetch_json(port, "/admin")
    kib = (after["rss"] - before["rss"]) / 1024 / clients
    print(json.dumps({"kib": kib, "tasks": (after["tasks"] - before["tasks"]) / clients, "count": len(streams)}))
    for stream in streams:
        stream.close()


if __name__ == "__main__":
    main()
