"""README.md and docs/, executed: every block of every page runs, as it stands, in the order of the page."""

from __future__ import annotations

import re
import runpy
from pathlib import Path

import pytest

from quart_adapter.testing import stream
from tests.docs.pages import PAGES, ROOT, blocks
from tests.docs.running import Runner

README = ROOT / "README.md"
DIAGRAMS = ROOT / "docs" / "diagrams"


@pytest.mark.timeout(300)
@pytest.mark.parametrize("page", PAGES, ids=[str(page.relative_to(ROOT)) for page in PAGES])
def test_each_block_runs(page: Path, runner: Runner) -> None:
    """Programs, commands and configurations; routes are requested."""
    for block in blocks(page):
        runner.run(block)
    for drawn in runner.drawings():
        shown = DIAGRAMS / drawn.name
        assert shown.read_text() == drawn.read_text(), f"{shown} is old: its page draws {drawn}; copy it"


def test_the_diagrams_are_what_their_program_draws() -> None:
    """Those of `docs/diagrams/draw.py`; `python docs/diagrams/draw.py` draws them again."""
    module = runpy.run_path(str(DIAGRAMS / "draw.py"))
    for name in ("demand", "failure", "framing", "workers"):
        assert (DIAGRAMS / f"{name}.svg").read_text() == str(module[name]()), name


def test_every_diagram_is_shown() -> None:
    """And every picture that a page shows says in words what is on it."""
    shown = {
        (page.parent / target).resolve(): text
        for page in PAGES
        for text, target in re.findall(r"!\[([^\]]*)\]\(([^)]+)\)", page.read_text("utf-8"))
    }
    assert set(DIAGRAMS.glob("*.svg")) <= set(shown)
    assert all(path.exists() and len(text) > 20 for path, text in shown.items())


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
    named = re.findall(r"(?:^|`)make ([a-z]+)\b", text, re.MULTILINE)
    assert named[:2] == ["test", "demo"]
    assert set(named) <= targets


def test_the_files_that_the_readme_links_to_exist() -> None:
    """No dead link into the repository; those of docs/ are checked when the site is built."""
    for target in re.findall(r"\]\((?!https?:)([^)#]+)", README.read_text()):
        assert (ROOT / target).exists(), target
