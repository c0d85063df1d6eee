"""The notebooks, executed afresh: none fails, and what is in them is what comes out."""

from __future__ import annotations

import base64
import io
import math
import re
from importlib import metadata
from pathlib import Path
from typing import Any

import matplotlib
import nbformat
import pytest
import reactivex
from matplotlib import font_manager
from matplotlib.figure import Figure
from nbformat.v4 import new_code_cell, new_notebook, new_output

from notebooks.execute import NOTEBOOKS, differences, execute
from notebooks.figures import described

NAMES = [path.name for path in NOTEBOOKS]
LARGEST = 250_000
"""Bytes that a notebook may have in the repository."""


@pytest.fixture(scope="module", autouse=True)
def fonts() -> None:
    """matplotlib looks for fonts when it is first imported, and says so: not in a notebook."""
    assert font_manager.fontManager.ttflist


@pytest.mark.parametrize("path", NOTEBOOKS, ids=NAMES)
def test_it_comes_out_as_it_is(path: Path) -> None:
    """Each cell runs, and its text and its pictures are those that are committed."""
    found = differences(*execute(path))
    assert not found, f"stale: run `python -m notebooks.execute --write {path.name}`\n" + "\n".join(found)


def test_the_five_are_there() -> None:
    """In the order in which they are read."""
    assert [int(name[:2]) for name in NAMES] == [1, 2, 3, 4, 5]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=NAMES)
def test_it_is_fit_to_be_committed(path: Path) -> None:
    """With its outputs, in order, no warnings among them, and small; nothing in it is of the machine that it ran on."""
    text = path.read_text("utf-8")
    assert len(text) < LARGEST
    assert not re.search(r"0x[0-9a-f]{6,}|/home/|/work/|/tmp/|/root/", text)
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    outputs = [output for cell in cells for output in cell.outputs]
    assert any("image/svg+xml" in output.get("data", {}) for output in outputs)
    assert {output.get("name", "stdout") for output in outputs} == {"stdout"}
    assert notebook.cells[0].cell_type == "markdown" and notebook.cells[0].source.startswith("# ")


@pytest.mark.parametrize("path", NOTEBOOKS, ids=NAMES)
def test_its_links_lead_somewhere(path: Path) -> None:
    """To the other notebooks, and into the repository."""
    for cell in nbformat.read(path, as_version=4).cells:
        if cell.cell_type == "markdown":
            for target in re.findall(r"\]\((?!https?:)([^)#]+)", cell.source):
                assert (path.parent / target).exists(), target


def test_examples_of_rxpy_are_unchanged() -> None:
    """The cells of notebook 05 that it says are RxPY's are in its README and its docstrings, letter by letter."""
    readme = metadata.metadata("reactivex").get_payload()
    docs = [reactivex.generate_with_relative_time.__doc__, reactivex.Observable.join.__doc__]
    theirs = _compact("\n".join([str(readme), *map(str, docs)]))
    cells = [cell.source for cell in nbformat.read(NOTEBOOKS[4], as_version=4).cells if cell.cell_type == "code"]
    for start in ("source = rx.of(", "result = (rx.of(", "res = reactivex.generate_with", "result = left.join("):
        (cell,) = [cell for cell in cells if cell.startswith(start)]
        example = cell.partition("\n\nsimulate")[0].partition("\n\nasync with")[0].rstrip(";")
        assert _compact(example) in theirs, example


def _compact(text: str) -> str:
    """Without spaces and line breaks, and without the prompts of an interpreter."""
    return re.sub(r"^\s*(>>>|\.\.\.) |\s", "", text, flags=re.MULTILINE)


def one_cell(source: str, *outputs: Any) -> Any:
    """A notebook."""
    return new_notebook(cells=[new_code_cell(source, outputs=list(outputs))])


def test_a_stale_output_is_found() -> None:
    """Of text and of SVG by what it is; one that is missing or too many, too."""
    text = new_output("stream", name="stdout", text="1\n")
    old = new_output("stream", name="stdout", text="2\n")
    svg = new_output("execute_result", data={"image/svg+xml": "<svg/>", "text/plain": "a"})
    other = new_output("execute_result", data={"image/svg+xml": "<svg></svg>", "text/plain": "a"})
    png = drawn([1, 2])
    assert not differences(one_cell("x", text, svg, png), one_cell("x", text, svg, png))
    for before, after in (([text], [old]), ([svg], [other]), ([text], []), ([], [text]), ([png], [svg]), ([png], [])):
        assert len(differences(one_cell("x", *before), one_cell("x", *after))) == 1


def drawn(values: list[float], *, width: float = 8, label: str = "items", **style: Any) -> Any:
    """What a notebook keeps of a plot."""
    with matplotlib.rc_context({"savefig.bbox": "tight", "savefig.dpi": 100, **style}):
        figure = Figure(figsize=(width, 2.8), layout="constrained")
        ax = figure.subplots()
        ax.plot(values, label=label)
        ax.plot(values[::-1], "--", label="others")
        ax.set(xlabel="seconds", ylabel="items waiting", ylim=(0, None))
        ax.legend(frameon=False, loc="upper left", bbox_to_anchor=(1, 1))
        file = io.BytesIO()
        figure.savefig(file, format="png")
    png = base64.b64encode(file.getvalue()).decode()
    return new_output("display_data", data={"image/png": png, "text/plain": described(figure)})


WAVE = [math.sin(n / 10) + 2 for n in range(100)]


@pytest.mark.parametrize("style", [{"text.hinting": "none"}, {"font.size": 10.3}, {"text.antialiased": False}])
def test_a_picture_may_have_other_letters(style: dict[str, Any]) -> None:
    """As versions of matplotlib draw them differently."""
    was, now = drawn(WAVE), drawn(WAVE, **style)
    assert was != now
    assert not differences(one_cell("x", was), one_cell("x", now))


@pytest.mark.parametrize(
    "stale",
    [
        {"values": [math.sin(n / 8) + 2 for n in range(100)]},
        {"values": WAVE, "label": "only the odd ones"},
        {"values": WAVE, "width": 7},
        {"values": WAVE, "axes.prop_cycle": "cycler('color', ['r', 'g'])"},
    ],
    ids=["line", "label", "size", "colours"],
)
def test_a_stale_picture_is_found(stale: dict[str, Any]) -> None:
    """By how it looks."""
    was, now = drawn(WAVE), drawn(**stale)
    now.data["text/plain"] = was.data["text/plain"]
    assert len(differences(one_cell("x", was), one_cell("x", now))) == 1


@pytest.mark.parametrize("values", [[value * 1.01 for value in WAVE], [*WAVE, 2.5]], ids=["others", "one more"])
def test_stale_figures_are_found(values: list[float]) -> None:
    """By what the plot says of them, where nobody would see it."""
    assert len(differences(one_cell("x", drawn(WAVE)), one_cell("x", drawn(values)))) == 1


def test_a_plot_is_told_in_words() -> None:
    """What is on its axes, and the figures that it is drawn of."""
    assert drawn([1, 2.5, 4]).data["text/plain"].splitlines() == [
        "<Figure of 800 by 280",
        "items waiting over seconds",
        "  items: 3 points, 0 to 2, at 1 to 4, 2.5 on average",
        "  others: 3 points, 0 to 2, at 1 to 4, 2.5 on average>",
    ]


def test_a_style_of_the_user_is_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It would draw other pictures."""
    (tmp_path / "matplotlibrc").write_text("figure.dpi: 50\n", "utf-8")
    monkeypatch.setenv("MATPLOTLIBRC", str(tmp_path))
    source = 'from matplotlib import pyplot, rcParams; pyplot.plot([1, 2]); pyplot.show(); rcParams["figure.dpi"]'
    nbformat.write(one_cell(source), tmp_path / "styled.ipynb")
    picture, dpi = execute(tmp_path / "styled.ipynb")[1].cells[0].outputs
    assert "line: 2 points, 0 to 1, at 1 to 2" in picture.data["text/plain"]
    assert dpi.data["text/plain"] == "100.0"


def test_a_cell_that_fails_is_raised(tmp_path: Path) -> None:
    """Whatever comes after it."""
    nbformat.write(one_cell("1 / 0"), tmp_path / "fails.ipynb")
    with pytest.raises(Exception, match="ZeroDivisionError"):
        execute(tmp_path / "fails.ipynb")
