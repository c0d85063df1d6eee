"""A peer that vanishes, as by a pulled cable: no FIN, no RST, and no answer to anything. Linux only.

The socket's own filter throws away all that comes in before TCP sees it. It needs neither rights nor a network of its
own. What a server's kernel sees was compared with that of a peer which lost its address in a network namespace: it
gives up at the same time.
"""

from __future__ import annotations

import ctypes
import socket
import struct
from typing import Final

__all__ = ["vanish"]

_SO_ATTACH_FILTER: Final = 26
_RETURN_NOTHING: Final = struct.pack("HBBI", 0x06, 0, 0, 0)  # BPF_RET | BPF_K, 0: keep no byte of the packet


def vanish(sock: socket.socket) -> None:
    """From here on the peer of a connected TCP socket hears nothing, and what it sends is not acknowledged.

    What was read before is: the kernel may have put that off.
    """
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
    program = ctypes.create_string_buffer(_RETURN_NOTHING, len(_RETURN_NOTHING))
    sock.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, struct.pack("HP", 1, ctypes.addressof(program)))
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # closed, it leaves nothing behind
