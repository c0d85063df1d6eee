"""The monitor as a user has it: a process of its own, on a port of its own, asked over HTTP."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from tests.examples.served import DEADLINE, Monitor, serve


@pytest.fixture
async def monitor(tmp_path: Path) -> AsyncIterator[Monitor]:
    async with serve(tmp_path) as monitor:
        yield monitor


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(timeout=DEADLINE, trust_env=False) as client:
        yield client
