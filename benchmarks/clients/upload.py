"""Times one upload: `python -m benchmarks.clients.upload PORT PATH KIND SIZE`.

`KIND` is `file` (SIZE bytes), `fields` (SIZE of them) or `bytes`: a file that is sent in chunks of one byte each. The
time runs from the first byte of the request to the last one of the answer, in which the server says what it got.
"""

from __future__ import annotations

import json
import socket
import sys
import threading
import time
from collections.abc import Iterable, Iterator

from benchmarks.clients.http import BadReply, decode_body, fetch_json, open_socket, read_raw
from benchmarks.uploads import CONTENT_TYPE, fields_form, file_form

_BATCH = 16_384


def pieces(kind: str, size: int) -> tuple[str, list[bytes]]:
    """Return the header that frames the body, and the body as it goes over the socket."""
    body = list(fields_form(size) if kind == "fields" else file_form(size))
    if kind == "bytes":
        return "Transfer-Encoding: chunked", [*_one_by_one(b"".join(body)), b"0\r\n\r\n"]
    return f"Content-Length: {sum(map(len, body))}", body


def _one_by_one(body: bytes) -> Iterator[bytes]:
    for start in range(0, len(body), _BATCH):
        batch = body[start : start + _BATCH]
        yield b"".join(b"1\r\n%c\r\n" % byte for byte in batch)


def upload(port: int, path: str, framing: str, body: Iterable[bytes]) -> tuple[float, dict[str, int]]:
    """Send one form and read the answer; return the seconds that took, and what the server got."""
    head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{framing}\r\nContent-Type: {CONTENT_TYPE}"
    with open_socket(port) as connection:
        started = time.monotonic()
        sender = threading.Thread(target=_send, args=(connection, [head.encode() + b"\r\n\r\n", *body]))
        sender.start()  # beside the reading, for a server that refuses
        answer = b"".join(read_raw(connection))
        seconds = time.monotonic() - started
        sender.join()
    got: dict[str, int] = json.loads(decode_body(answer))
    return seconds, got


def _send(connection: socket.socket, parts: list[bytes]) -> None:
    try:
        for part in parts:
            connection.sendall(part)
    except OSError:  # the answer, or the lack of one, says why
        connection.close()


def main() -> None:
    """Warm the server with a small form, time one upload, and print it with the server's peak of memory."""
    port, path, kind, size = int(sys.argv[1]), sys.argv[2], sys.argv[3], int(sys.argv[4])
    upload(port, path, *pieces(kind, 1_000))
    framing, body = pieces(kind, size)
    seconds, got = upload(port, path, framing, body)
    if set(got) != {"count", "checksum"}:
        raise BadReply(f"not what was asked for: {got}")
    print(json.dumps({"seconds": seconds, "peak_mib": fetch_json(port, "/admin")["peak"] / 2**20, **got}))


if __name__ == "__main__":
    main()
