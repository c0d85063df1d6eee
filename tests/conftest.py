"""Fixtures that start real servers, each combination once for the whole run."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from tests.servers import Server
from tests.servers.redis import RedisServer


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--screenshots", action="store_true", help="take the pictures in docs/images anew")


@pytest.fixture(scope="session")
def start_server() -> Iterator[Callable[..., Server]]:
    """Starts a server, or hands out the one that runs already with the same arguments; all end with the run."""
    running: dict[str, Server] = {}

    def start(kind: Any, app: str = "tests.servers.apps.streams:app", **settings: Any) -> Server:
        name = repr((kind, app, sorted(settings.items())))
        if name not in running:
            running[name] = Server(kind, app, **settings)
        return running[name]

    yield start
    for server in running.values():
        server.stop()


@pytest.fixture(params=["hypercorn", "uvicorn"])
def server(request: pytest.FixtureRequest, start_server: Callable[..., Server]) -> Server:
    """The servers that everything must hold on."""
    return start_server(request.param)


@pytest.fixture(scope="session")
def tool() -> Callable[[str], str]:
    """Finds a program that `make test` installs where it may; where it is not, the test is skipped, but not in CI."""

    def find(name: str) -> str:
        path = shutil.which(name) or shutil.which(name, path="/usr/sbin")  # not on everyone's PATH
        if path is None and os.environ.get("CI") != "true":
            pytest.skip(f"{name} is not installed")
        assert path is not None, f"{name} is not installed: scripts/install-tools has to see to it"
        return path

    return find


@pytest.fixture
def redis_server(tool: Callable[[str], str], tmp_path: Path) -> Iterator[RedisServer]:
    """A Redis for one test."""
    server = RedisServer(tool("redis-server"), tmp_path)
    yield server
    server.stop()


@pytest.fixture
def key() -> str:
    """A name for the streams of one test, under which the app counts."""
    return uuid4().hex
