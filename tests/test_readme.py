"""README.md, executed: each Python block runs as it stands, and each route in it is requested."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from quart_adapter.testing import stream

README = (Path(__file__).parents[1] / "README.md").read_text()
BLOCKS = re.findall(r"^```python\n(.*?)^```", README, re.DOTALL | re.MULTILINE)


def run(block: str) -> dict[str, Any]:
    namespace: dict[str, Any] = {"__name__": "app"}
    exec(compile(block, "README.md", "exec"), namespace)
    return namespace


@pytest.mark.parametrize("block", BLOCKS)
def test_each_block_runs(block: str) -> None:
    """Pasted into a file of its own, without anything from the block before."""
    run(block)


async def test_the_first_route_streams() -> None:
    """The first thing that a reader pastes is ten lines and sends events."""
    block = BLOCKS[0]
    assert len([line for line in block.splitlines() if line]) <= 10
    async with stream(run(block)["app"].test_client(), "/ticks") as client:
        events = await client.events(2)
    assert [event.data for event in events] == ["0", "1"]


async def test_the_export_is_whole() -> None:
    """The second route answers with all its rows."""
    async with stream(run(BLOCKS[1])["app"].test_client(), "/squares.csv") as client:
        lines = (await client.body()).decode().splitlines()
    assert (lines[0], lines[-1], len(lines)) == ("number,square", "9999,99980001", 10_001)


def test_every_route_in_it_has_been_requested() -> None:
    """A block that is added with a route of its own needs a test here."""
    shown = {route for block in BLOCKS if "app = Quart" in block for route in re.findall(r'\.get\("([^"]+)"\)', block)}
    assert shown == {"/ticks", "/squares.csv"}


def test_the_commands_exist() -> None:
    """README begins with the two commands, and each `make` that it names is one."""
    makefile = (Path(__file__).parents[1] / "Makefile").read_text()
    targets = set(re.findall(r"^([a-z][\w-]*):", makefile, re.MULTILINE))
    named = re.findall(r"\bmake ([a-z]+)\b", README)
    assert named[:2] == ["test", "demo"]
    assert set(named) <= targets


def test_the_files_it_links_to_exist() -> None:
    """No dead link into the repository."""
    for target in re.findall(r"\]\((?!https?:)([^)#]+)", README):
        assert (Path(__file__).parents[1] / target).exists(), target
