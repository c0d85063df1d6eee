"""Serves the monitor on Hypercorn: `python -m examples.monitor --help`."""

from __future__ import annotations

import argparse
import asyncio
import errno
import socket

from hypercorn.asyncio import serve
from hypercorn.config import Config

from .app import create_app

DEFAULT_PORT = 8000


def main() -> None:
    """Ends by SIGINT or SIGTERM; streams that are open then are ended cleanly."""
    options = arguments()
    listener = listen(options.host, options.port)
    host, port = listener.getsockname()[:2]
    app = create_app(database=options.database, interval=options.interval)

    @app.before_serving
    async def announce() -> None:
        print(f"The monitor is on http://{f'[{host}]' if ':' in host else host}:{port} (Ctrl-C ends it)", flush=True)

    config = Config()
    config.bind = [f"fd://{listener.detach()}"]
    config.loglevel = "WARNING"
    asyncio.run(serve(app, config))


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="monitor", description="Shows what this machine is doing, live.")
    parser.add_argument("--host", default="127.0.0.1", help="the address to listen on (127.0.0.1)")
    parser.add_argument("--port", type=int, help=f"the port; {DEFAULT_PORT}, or any that is free, when not given")
    parser.add_argument("--database", default="monitor.sqlite3", help="the file that keeps the samples")
    parser.add_argument("--interval", type=seconds, default=1.0, help="seconds from one sample to the next (1)")
    return parser.parse_args()


def seconds(text: str) -> float:
    value = float(text)
    if not 0.05 <= value <= 3600:
        raise argparse.ArgumentTypeError(f"{text}: from 0.05 to 3600 seconds")
    return value


def listen(host: str, port: int | None) -> socket.socket:
    """A listening socket. A port that was asked for is taken or refused; the default gives way when it is taken."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, DEFAULT_PORT if port is None else port), family=family)
    except OSError as error:
        if port is not None or error.errno != errno.EADDRINUSE:
            raise
    return socket.create_server((host, 0), family=family)


if __name__ == "__main__":
    main()
