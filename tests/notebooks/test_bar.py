"""`with_progress(bar=True)` in a notebook: a widget where ipywidgets is installed, text where it is not."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from nbclient import NotebookClient
from nbformat.v4 import new_code_cell, new_notebook

ROOT = Path(__file__).parents[2]

CELLS = {
    "ends": "await counted(reactivex.range(2000), total=2000)",
    "fails": "await counted(failing, total=2000)",
    "fails beyond its total": "await counted(failing, total=100)",
    "is cancelled": "await left(total=10)",
    "is cancelled, total unknown": "await left()",
    "total unknown": "await counted(reactivex.range(500))",
    "total too small": "await counted(reactivex.range(500), total=100)",
    "total too large": "await counted(reactivex.range(500), total=1000)",
    "nothing": "await counted(reactivex.empty(), total=10)",
    "on the caller's thread": "reactivex.range(50).pipe(with_progress('x', total=50, bar=True)).subscribe();",
}

BEFORE = """
import asyncio, logging, sys, threading
if not {widgets}:
    sys.modules["ipywidgets"] = None
import reactivex
from rxstream import for_each
from rxstream.operators import with_progress

logging.getLogger("rxstream.progress").disabled = True
failing = reactivex.concat(reactivex.range(300), reactivex.throw(OSError("down")))
before = set(threading.enumerate())
taken = 0


async def take(item):
    global taken
    taken += 1


async def counted(source, **options):
    try:
        await for_each(source.pipe(with_progress("x", bar=True, **options)), take)
    except OSError as error:
        assert str(error) == "down"


async def left(**options):
    global taken
    taken = 0
    source = reactivex.concat(reactivex.of(1, 2, 3), reactivex.never())
    task = asyncio.create_task(counted(source, **options))
    while taken < 3:
        await asyncio.sleep(0.01)
    task.cancel()
    await asyncio.wait([task])
    await settled()


async def settled():
    while set(threading.enumerate()) - before:  # the worker has its last word a moment later
        await asyncio.sleep(0.01)
"""

AFTER = """
from tqdm import tqdm

await settled()
print("open:", len(tqdm._instances))
"""


class Shown(NamedTuple):
    """What a cell shows: the bar's text as it stands at the end, how full it is, its colour; all that is on stderr."""

    text: str
    share: float | None
    style: str | None
    errors: str


def shown(cell: Any, widgets: dict[str, Any]) -> Shown:
    """From the cell's outputs, and the state of the widgets."""
    streams = {"stdout": "", "stderr": ""}
    text, share, style = "", None, None
    for output in cell.outputs:
        if output.output_type == "stream":
            streams[output.name] += output.text
        elif view := output.data.get("application/vnd.jupyter.widget-view+json"):
            box = widgets[view["model_id"]]
            left, bar, right = (widgets[name.removeprefix("IPY_MODEL_")] for name in box["children"])
            text = (left["value"] + right["value"]).replace("\u2007", " ")
            share, style = bar["value"] / bar["max"], bar["bar_style"]
    return Shown(text or streams["stdout"].rstrip("\n").rpartition("\r")[2], share, style, streams["stderr"])


@pytest.fixture(scope="module")
def notebooks(tmp_path_factory: pytest.TempPathFactory) -> dict[bool, dict[str, Shown]]:
    """What each cell shows, with ipywidgets and without."""
    found = {}
    for widgets in (True, False):
        sources = [BEFORE.format(widgets=widgets), *CELLS.values(), AFTER]
        notebook = new_notebook(cells=[new_code_cell(source) for source in sources])
        client = NotebookClient(
            notebook, timeout=60, kernel_name="python3", resources={"metadata": {"path": str(ROOT)}}
        )
        home = str(tmp_path_factory.mktemp("ipython"))
        client.execute(env={**os.environ, "IPYTHONDIR": home, "PYDEVD_DISABLE_FILE_VALIDATION": "1"})
        names = ("before", *CELLS, "after")
        state = client.widget_state
        found[widgets] = {name: shown(cell, state) for name, cell in zip(names, notebook.cells, strict=True)}
    return found


@pytest.mark.parametrize("widgets", [True, False])
def test_nothing_is_left_and_nothing_complained_of(notebooks: Any, widgets: bool) -> None:
    """No bar open, no thread, not a word on the standard error, which a notebook shows in red."""
    cells = notebooks[widgets]
    assert {name: cell.errors for name, cell in cells.items() if cell.errors} == {}
    assert cells["after"].text == "open: 0"


@pytest.mark.parametrize(
    ("name", "pattern"),
    [
        ("ends", r"x: 100%.* 2000/2000 \["),
        ("fails", r"x:  15%.* 300/2000 \[.*, error\]"),
        ("fails beyond its total", r"x: (300it|300/\?|  *300/\?) \[.*, error\]"),
        ("is cancelled", r"x:  30%.* 3/10 \[.*, cancelled\]"),
        ("is cancelled, total unknown", r"x: (3it| *3/\?) \[.*, cancelled\]"),
        ("total unknown", r"x: (500it| *500/\?) \["),
        ("total too small", r"x: 100%.* 500/500 \["),
        ("total too large", r"x: 100%.* 500/500 \["),
        ("on the caller's thread", r"x: 100%.* 50/50 \["),
    ],
)
@pytest.mark.parametrize("widgets", [True, False])
def test_the_text_of_a_bar(notebooks: Any, widgets: bool, name: str, pattern: str) -> None:
    """As it stands at the end: a stream that has completed is at 100 %, whatever its total was."""
    text = notebooks[widgets][name].text.replace("&lt;", "<")
    assert re.match(pattern, text), text


@pytest.mark.parametrize(
    ("name", "share", "style"),
    [
        ("ends", 1, "success"),
        ("fails", 0.15, "danger"),
        ("fails beyond its total", 1, "danger"),
        ("is cancelled", 0.3, "warning"),
        ("is cancelled, total unknown", 1, "warning"),
        ("total unknown", 1, "success"),
        ("total too small", 1, "success"),
        ("total too large", 1, "success"),
        ("nothing", 1, "success"),
        ("on the caller's thread", 1, "success"),
    ],
)
def test_the_colour_of_a_bar_says_how_it_ended(notebooks: Any, name: str, share: float, style: str) -> None:
    """Green, red, or orange where the consumer left; by the end itself, and not by a total that may be wrong."""
    cell = notebooks[True][name]
    assert (cell.share, cell.style) == (pytest.approx(share), style)
    assert notebooks[False][name].style is None
