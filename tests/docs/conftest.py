"""What the pages need beside themselves: a folder, and stand-ins for the services that they speak to."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from redis import Redis

from tests.docs.commands import free_port
from tests.docs.redis import redis_server
from tests.docs.running import Runner
from tests.servers import Server


@pytest.fixture(scope="session")
def services(request: pytest.FixtureRequest, start_server: Callable[..., Server]) -> dict[str, Callable[[], str]]:
    """The variables in which pages look for addresses, and what starts the service behind each."""

    def address(app: str, path: str) -> str:
        host, port = start_server("uvicorn", f"tests.docs.apps.{app}:app").address
        return f"http://{host}:{port}{path}"

    def redis() -> str:
        port = request.getfixturevalue("redis_port")
        with Redis(port=port) as connection:
            connection.flushall()
        return f"redis://127.0.0.1:{port}"

    return {
        "MODEL_URL": lambda: address("language_model", "/v1/chat/completions"),
        "STORE_URL": lambda: address("object_store", "/bucket"),
        "REDIS_URL": redis,
    }


@pytest.fixture(scope="session")
def redis_port(tool: Callable[[str], str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """The port of a Redis of our own."""
    port = free_port()
    with redis_server(tool("redis-server"), port, tmp_path_factory.mktemp("redis")):
        yield port


@pytest.fixture
def runner(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    tool: Callable[[str], str],
    services: dict[str, Callable[[], str]],
) -> Iterator[Runner]:
    """Runs blocks in an empty folder, which they can import from."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)  # files are written anew within a second

    def provide(name: str) -> str:
        value = services[name]()
        monkeypatch.setenv(name, value)
        return value

    runner = Runner(tmp_path, tool, {name: lambda name=name: provide(name) for name in services})  # type: ignore[misc]
    yield runner
    runner.close()
