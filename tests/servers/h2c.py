"""An HTTP/2 client with prior knowledge on a bare socket: its windows open only as far as it is told."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Mapping
from types import TracebackType
from typing import Final

import h2.config
import h2.connection
import h2.events
import h2.settings

from tests.servers.vanish import vanish

DEADLINE: Final = 30.0


class Reset(Exception):
    """The server reset the stream, or the connection ended within it; `received` is the part of the body that came."""

    def __init__(self, message: str, received: bytes = b"") -> None:
        super().__init__(f"{message}, after {len(received)} bytes of body")
        self.received = received


class _Stream:
    def __init__(self) -> None:
        self.headers: dict[str, str] | None = None
        self.data = bytearray()
        self.ended = False
        self.reset: str | None = None


class Client:
    """One connection with any number of streams. Nothing is read ahead of what is asked for."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._h2 = h2.connection.H2Connection(h2.config.H2Configuration(header_encoding="utf-8"))
        self._streams: defaultdict[int, _Stream] = defaultdict(_Stream)
        self._over: str | None = None

    @classmethod
    async def connect(cls, address: tuple[str, int], *, window: int = 65535) -> Client:
        """Connects; `window` is how many bytes of each body may come before more are granted: 0 is a stall."""
        sock = socket.socket()
        sock.setblocking(False)
        client = cls(sock)
        settings = {h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: window, h2.settings.SettingCodes.ENABLE_PUSH: 0}
        client._h2.local_settings = h2.settings.Settings(client=True, initial_values=settings)
        try:
            async with asyncio.timeout(DEADLINE):
                await asyncio.get_running_loop().sock_connect(sock, address)
            client._h2.initiate_connection()
            await client._flush()
        except BaseException:
            sock.close()
            raise
        return client

    async def request(self, path: str, *, method: str = "GET", headers: Mapping[str, str] | None = None) -> int:
        """Sends a request without a body; gives the id of its stream."""
        stream = self._h2.get_next_available_stream_id()
        head = [(":method", method), (":path", path), (":scheme", "http"), (":authority", "test")]
        self._h2.send_headers(stream, head + list((headers or {}).items()), end_stream=True)
        await self._flush()
        return stream

    async def response(self, stream: int) -> dict[str, str]:
        """The headers, `:status` among them."""
        state = self._streams[stream]
        await self._until(stream, lambda: state.headers is not None)
        assert state.headers is not None
        return state.headers

    async def chunks(self, stream: int) -> AsyncIterator[bytes]:
        """The pieces of the body as they come, to its clean end; each is granted again.

        Raises:
            Reset: The stream was reset, or the connection ended before it.
        """
        state = self._streams[stream]
        while True:
            await self._until(stream, lambda: bool(state.data or state.ended))
            if not state.data:
                return
            piece = bytes(state.data)
            state.data.clear()
            if not state.ended:
                await self.grant(stream, len(piece))
            yield piece

    async def body(self, stream: int) -> bytes:
        """The whole body; `Reset.received` holds what came of one that is cut off."""
        received = bytearray()
        try:
            async for piece in self.chunks(stream):
                received += piece
        except Reset as error:
            raise Reset(str(error), bytes(received)) from None
        return bytes(received)

    async def grant(self, stream: int, size: int) -> None:
        """Opens the windows of a stream and of the connection by so many bytes."""
        self._h2.increment_flow_control_window(size)
        if not self._streams[stream].ended and self._streams[stream].reset is None:
            self._h2.increment_flow_control_window(size, stream)
        await self._flush()

    async def reset(self, stream: int) -> None:
        """Gives a stream up: RST_STREAM, CANCEL."""
        self._h2.reset_stream(stream, error_code=8)
        await self._flush()

    async def goaway(self) -> None:
        """Announces the end of the connection, and closes it."""
        self._h2.close_connection()
        await self._flush()
        self.fin()

    def fin(self) -> None:
        """Hangs up."""
        self._sock.close()

    def rst(self) -> None:
        """Hangs up with a TCP reset."""
        self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._sock.close()

    def vanish(self) -> None:
        """Goes without a word, and answers nothing any more: a pulled cable, a closed laptop."""
        vanish(self._sock)

    async def __aenter__(self) -> Client:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._sock.close()

    async def _until(self, stream: int, there: Callable[[], bool]) -> None:
        state = self._streams[stream]
        async with asyncio.timeout(DEADLINE):
            while not there():
                if (why := state.reset or self._over) is not None:
                    raise Reset(why, bytes(state.data))
                await self._receive()

    async def _receive(self) -> None:
        try:
            data = await asyncio.get_running_loop().sock_recv(self._sock, 65536)
        except ConnectionError as error:
            self._over = f"the connection was reset ({error})"
            return
        if not data:
            self._over = "the connection was closed"
            return
        for event in self._h2.receive_data(data):
            self._handle(event)
        await self._flush()

    def _handle(self, event: h2.events.Event) -> None:
        if isinstance(event, h2.events.ResponseReceived):
            self._streams[event.stream_id].headers = {str(k): str(v) for k, v in event.headers}
        elif isinstance(event, h2.events.DataReceived):
            self._streams[event.stream_id].data += event.data
        elif isinstance(event, h2.events.StreamEnded):
            self._streams[event.stream_id].ended = True
        elif isinstance(event, h2.events.StreamReset):
            self._streams[event.stream_id].reset = f"the stream was reset ({event.error_code!r})"

    async def _flush(self) -> None:
        if data := self._h2.data_to_send():
            try:
                await asyncio.get_running_loop().sock_sendall(self._sock, data)
            except ConnectionError as error:
                self._over = self._over or f"the connection was reset ({error})"
