"""README.md and docs/, executed: every block of every page runs, as it stands, in the order of the page."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from quart_adapter.testing import stream
from tests.docs.pages import PAGES, ROOT, blocks
from tests.docs.running import Runner

README = ROOT / "README.md"


@pytest.mark.parametrize("page", PAGES, ids=[str(page.relative_to(ROOT)) for page in PAGES])
def test_each_block_runs(page: Path, runner: Runner) -> None:
    """Programs, commands and configurations; routes are requested."""
    for block in blocks(page):
        runner.run(block)


async def test_the_first_route_streams() -> None:
    """The first thing that a reader pastes is ten lines and sends events."""
    block = next(block for block in blocks(README) if block.language == "python")
    assert len([line for line in block.code.splitlines() if line]) <= 10
    namespace: dict[str, object] = {"__name__": "app"}
    exec(block.code, namespace)
    app = namespace["app"]
    async with stream(app.test_client(), "/ticks") as client:  # type: ignore[attr-defined]
        events = await client.events(2)
    assert [event.data for event in events] == ["0", "1"]


def test_the_readme_begins_with_its_two_commands() -> None:
    """`make test` and `make demo`, and each other `make` that the text names is a target."""
    text = README.read_text()
    targets = set(re.findall(r"^([a-z][\w-]*):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = re.findall(r"\bmake ([a-z]+)\b", text)
    assert named[:2] == ["test", "demo"]
    assert set(named) <= targets


def test_the_files_that_the_readme_links_to_exist() -> None:
    """No dead link into the repository; those of docs/ are checked when the site is built."""
    for target in re.findall(r"\]\((?!https?:)([^)#]+)", README.read_text()):
        assert (ROOT / target).exists(), target
