"""The monitor as a user has it: a process of its own, on a port of its own, asked over HTTP."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from tests.examples.served import DEADLINE, Monitor

ROOT = Path(__file__).parents[2]


@pytest.fixture
async def monitor(tmp_path: Path) -> AsyncIterator[Monitor]:
    stderr = tmp_path / "stderr"
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    with stderr.open("wb") as errors:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "examples.monitor", "--port", "0", "--interval", "0.1"),
            *("--database", str(tmp_path / "samples.sqlite3")),
            cwd=ROOT,
            env=os.environ | {"TMPDIR": str(temporary)},
            stdout=asyncio.subprocess.PIPE,
            stderr=errors,
        )
    try:
        assert process.stdout is not None
        line = (await asyncio.wait_for(process.stdout.readline(), DEADLINE)).decode()
        assert "http://127.0.0.1:" in line, stderr.read_text()
        url = next(word for word in line.split() if word.startswith("http://"))
        imports = tmp_path / "samples.sqlite3.imports"
        yield Monitor(process, url, stderr=stderr, temporary=temporary, imports=imports)
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(timeout=DEADLINE, trust_env=False) as client:
        yield client
