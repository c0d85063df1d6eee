"""An HTTP/1.1 client on a bare socket: it reads only when asked, and tells every end of a body from the others."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Final

from tests.servers.vanish import vanish

DEADLINE: Final = 30.0


class Truncated(Exception):
    """The connection ended within a response, by FIN or RST; `received` is the part of the body that came."""

    def __init__(self, message: str, received: bytes = b"") -> None:
        super().__init__(f"{message}, after {len(received)} bytes of body")
        self.received = received


@dataclass
class Response:
    """The status line and the headers, whose names are in lower case."""

    status: int
    headers: dict[str, str] = field(default_factory=dict)


class Client:
    """One connection. Nothing is read ahead of what is asked for, so that not reading is stalling."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._buffer = bytearray()
        self._response: Response | None = None
        self._method = "GET"

    @classmethod
    async def connect(cls, address: tuple[str, int], *, receive_buffer: int | None = None) -> Client:
        """Connects; a small `SO_RCVBUF` lets the server feel a stall early."""
        sock = socket.socket()
        sock.setblocking(False)
        if receive_buffer is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        try:
            async with asyncio.timeout(DEADLINE):
                await asyncio.get_running_loop().sock_connect(sock, address)
        except BaseException:
            sock.close()
            raise
        return cls(sock)

    async def request(
        self, path: str, *, method: str = "GET", headers: Mapping[str, str] | None = None, version: str = "1.1"
    ) -> None:
        """Sends a request without a body."""
        self._method, self._response = method, None
        lines = [f"{method} {path} HTTP/{version}", "Host: test"]
        lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
        async with asyncio.timeout(DEADLINE):
            data = "\r\n".join([*lines, "", ""]).encode()
            await asyncio.get_running_loop().sock_sendall(self._sock, data)

    async def response(self) -> Response:
        """Reads up to the end of the headers."""
        head = (await self._until(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        response = Response(int(head[0].split()[1]))
        for line in filter(None, head[1:]):
            name, _, value = line.partition(":")
            response.headers[name.lower()] = value.strip()
        self._response = response
        return response

    async def chunks(self) -> AsyncIterator[bytes]:
        """The pieces of the body as they come, to its clean end.

        Raises:
            Truncated: The connection ended before the body did.
        """
        response = self._response
        assert response is not None
        if self._method == "HEAD" or response.status in (204, 304):
            return
        if response.headers.get("transfer-encoding") == "chunked":
            while size := int((await self._until(b"\r\n")).strip(), 16):
                yield await self._exactly(size)
                await self._exactly(2)
            await self._until(b"\r\n")
        elif (length := response.headers.get("content-length")) is not None:
            left = int(length)
            while left:
                piece = await self._some(left)
                left -= len(piece)
                yield piece
        else:
            while self._buffer or await self._receive():
                yield bytes(self._buffer)
                self._buffer.clear()

    async def body(self) -> bytes:
        """The whole body; `Truncated.received` holds what came of one that is cut off."""
        received = bytearray()
        try:
            async for chunk in self.chunks():
                received += chunk
        except Truncated as error:
            raise Truncated(str(error), bytes(received)) from None
        return bytes(received)

    async def rest_of_connection(self) -> bytes:
        """All that comes until the server closes."""
        try:
            while await self._receive():
                pass
        except Truncated:
            pass
        return bytes(self._buffer)

    def fin(self) -> None:
        """Hangs up as a program that ends: FIN, and RST to whatever still comes."""
        self._sock.close()

    def rst(self) -> None:
        """Hangs up with RST at once."""
        self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._sock.close()

    def vanish(self) -> None:
        """Goes without a word, and answers nothing any more: a pulled cable, a closed laptop."""
        vanish(self._sock)

    def half_close(self) -> None:
        """Ends the own direction only: FIN, and goes on reading."""
        self._sock.shutdown(socket.SHUT_WR)

    async def __aenter__(self) -> Client:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._sock.close()

    async def _receive(self) -> bool:
        try:
            async with asyncio.timeout(DEADLINE):
                data = await asyncio.get_running_loop().sock_recv(self._sock, 65536)
        except OSError as error:
            if isinstance(error, TimeoutError):
                raise
            raise Truncated(f"the connection was reset ({error})") from None
        self._buffer += data
        return bool(data)

    async def _more(self) -> None:
        if not await self._receive():
            raise Truncated("the connection was closed")

    async def _until(self, end: bytes) -> bytes:
        while (found := self._buffer.find(end)) < 0:
            await self._more()
        return self._take(found + len(end))

    async def _exactly(self, size: int) -> bytes:
        while len(self._buffer) < size:
            await self._more()
        return self._take(size)

    async def _some(self, limit: int) -> bytes:
        if not self._buffer:
            await self._more()
        return self._take(min(limit, len(self._buffer)))

    def _take(self, size: int) -> bytes:
        data = bytes(self._buffer[:size])
        del self._buffer[:size]
        return data
