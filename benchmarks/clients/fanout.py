"""Many SSE clients in one process: `python -m benchmarks.clients.fanout PORT CLIENTS EVENTS`.

One epoll loop drains all sockets. The time runs from the server's first publish to the last byte read here; both ends
read the same monotonic clock. Every client must have received every event, in order.
"""

from __future__ import annotations

import json
import selectors
import socket
import sys
import time

from benchmarks.clients.http import BadReply, connect, decode_body, fetch_json, read_raw
from benchmarks.data import make_event, text_checksum
from benchmarks.limits import raise_file_limit

_DEADLINE = 60.0


def open_clients(port: int, path: str, count: int) -> list[socket.socket]:
    """Open `count` streams and wait until the server has subscribed each of them."""
    streams: list[socket.socket] = []
    for number in range(count):
        streams.append(connect(port, path))
        if number % 50 == 49:
            wait_for_clients(port, number + 1)
    wait_for_clients(port, count)
    return streams


def wait_for_clients(port: int, count: int) -> None:
    """Return when the server counts `count` subscribers; raise `BadReply` when it does not in time."""
    deadline = time.monotonic() + _DEADLINE
    while (seen := fetch_json(port, "/admin")["clients"]) < count:
        if time.monotonic() > deadline:
            raise BadReply(f"{seen} of {count} clients are subscribed")
        time.sleep(0.01)


def drain(streams: list[socket.socket]) -> tuple[float, list[bytes]]:
    """Read all streams to their end; return the time of the last byte and what each received."""
    received: list[list[bytes]] = [[] for _ in streams]
    buffer = bytearray(1 << 18)
    view = memoryview(buffer)
    last = 0.0
    with selectors.DefaultSelector() as selector:
        for stream, parts in zip(streams, received, strict=True):
            stream.setblocking(False)
            selector.register(stream, selectors.EVENT_READ, parts)
        open_streams = len(streams)
        while open_streams:
            ready = selector.select(_DEADLINE)
            if not ready:
                raise BadReply(f"nothing arrives any more, and {open_streams} streams are open")
            for key, _ in ready:
                stream = key.fileobj  # type: ignore[assignment]
                if count := stream.recv_into(buffer):
                    key.data.append(bytes(view[:count]))
                    last = time.monotonic()
                else:
                    selector.unregister(stream)
                    open_streams -= 1
    return last, [b"".join(parts) for parts in received]


def read_events(raw: bytes) -> list[str]:
    """Return the data of each event of one stream; comments, pings and ids are passed over."""
    lines = decode_body(raw).decode().replace("\r\n", "\n").split("\n")
    return [line[5:].removeprefix(" ") for line in lines if line.startswith("data:")]


def main() -> None:
    """Open the clients, have the events published, drain and check, and print one line of JSON."""
    raise_file_limit()
    port, clients, events = (int(argument) for argument in sys.argv[1:4])
    streams = open_clients(port, "/events", clients)
    publish = connect(port, f"/publish?events={events}", method="POST")
    last, received = drain(streams)
    started = json.loads(decode_body(b"".join(read_raw(publish))))["started"]
    expected = [make_event(number) for number in range(events)]
    for raw in received:
        if (found := read_events(raw)) != expected:
            raise BadReply(f"a client received {len(found)} of {events} events, or others")
    checksum = text_checksum(expected)
    print(json.dumps({"seconds": last - started, "count": clients * events, "checksum": checksum}))


if __name__ == "__main__":
    main()
