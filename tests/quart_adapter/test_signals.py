"""Signals on their way through the apps of a process."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest
from quart import Quart

from quart_adapter import RxStream
from tests.rxstream.support import until

TWO_APPS = """
import asyncio, signal
from quart import Quart
from quart_adapter import RxStream

async def main():
    for name in ("one", "other"):
        app = Quart(name)
        RxStream(app)
        await app.startup()
    signal.raise_signal(signal.SIGTERM)
    await asyncio.sleep(20)

asyncio.run(main())
"""


@pytest.fixture(autouse=True)
def handlers() -> Iterator[None]:
    """Puts back whatever stood there before."""
    before = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, before)


def test_two_apps_and_no_handler_below_them() -> None:
    """The process ends by the signal, as it would without them."""
    ended = subprocess.run([sys.executable, "-c", TWO_APPS], capture_output=True, text=True, timeout=60)
    assert (ended.returncode, ended.stderr) == (-signal.SIGTERM, "")


@pytest.mark.parametrize("first", [0, 1])
async def test_each_app_hears_while_it_serves(first: int) -> None:
    """Whichever ends first; and nothing is left of them."""
    heard: list[int] = []

    def below(number: int, _: object) -> None:
        heard.append(number)

    signal.signal(signal.SIGTERM, below)
    apps = [Quart(name) for name in ("one", "other")]
    streams = [RxStream(app) for app in apps]
    for app in apps:
        await app.startup()
    await apps[first].shutdown()
    signal.raise_signal(signal.SIGTERM)
    await until(lambda: streams[1 - first]._stopped)
    await asyncio.sleep(0)
    assert (streams[first]._stopped, heard) == (False, [signal.SIGTERM])
    await apps[1 - first].shutdown()
    assert signal.getsignal(signal.SIGTERM) is below
