"""Executes the notebooks afresh, in kernels of their own, and compares with what is committed.

    python -m notebooks.execute            fails where one fails, or where what comes out is not what is in it
    python -m notebooks.execute --write    keeps what comes out; names of notebooks choose some of them

Text and SVG must come out the same. So must the figures that a plot is drawn of: they are told in its text. Its PNG, of
which every version of matplotlib draws the letters a little differently, must look the same from afar: as large, and
alike once both are shrunk until nobody can read what is written.
"""

from __future__ import annotations

import argparse
import base64
import io
import os
import sys
import tempfile
from pathlib import Path
from typing import Any, Final

import nbformat
from nbclient import NotebookClient
from PIL import Image, ImageChops

from notebooks.figures import STARTUP

__all__ = ["NOTEBOOKS", "differences", "execute", "main"]

FOLDER: Final = Path(__file__).parent
NOTEBOOKS: Final = sorted(FOLDER.glob("[0-9][0-9]-*.ipynb"))
TIMEOUT: Final = 90
"""Seconds that one cell may take, on the slowest machine."""

SHRUNK: Final = (40, 14)
"""Columns and rows that a PNG is shrunk to, and so blocks of 20 by 20 pixels, before it is compared."""
TOLERANCE: Final = 25
"""How far a block may differ, of 255. In the pictures that are here, versions 3.9 to 3.11 of matplotlib differ by up to
13, a line that runs elsewhere by 24 to 58."""


def execute(path: Path) -> tuple[Any, Any]:
    """The notebook as it is, and as it comes out; an error in a cell is raised."""
    committed = nbformat.read(path, as_version=4)
    fresh = nbformat.from_dict(committed)
    for cell in fresh.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    with tempfile.TemporaryDirectory() as home:
        # Nothing of the user's: no start-up files, no history, no style of plots.
        plots, startup = Path(home, "matplotlibrc"), Path(home, "profile_default", "startup", "figures.py")
        plots.touch()
        startup.parent.mkdir(parents=True)
        startup.write_text(STARTUP, "utf-8")
        settings = {
            **os.environ,
            "IPYTHONDIR": home,
            "MATPLOTLIBRC": str(plots),
            "JUPYTER_PLATFORM_DIRS": "1",
            "PYDEVD_DISABLE_FILE_VALIDATION": "1",
        }
        client = NotebookClient(fresh, timeout=TIMEOUT, kernel_name="python3", resources=_at(FOLDER.parent))
        client.execute(env=settings)
    _tidy(fresh)
    return committed, fresh


def _at(folder: Path) -> dict[str, Any]:
    """The folder that a notebook runs in: the project's, so that what is tested is what is imported."""
    return {"metadata": {"path": str(folder)}}


def _tidy(notebook: Any) -> None:
    """Leaves out what differs from run to run and says nothing, and what would be there twice."""
    notebook.metadata = {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
    }
    for number, cell in enumerate(notebook.cells):
        cell.id = f"cell-{number}"
        cell.metadata = {}
        if cell.cell_type == "code":
            cell.outputs = _joined(cell.outputs)
        for output in cell.get("outputs", ()):
            if "image/svg+xml" in output.get("data", {}):
                output.data.pop("text/html", None)  # the same picture; sites that show notebooks cut SVG out of HTML


def _joined(outputs: Any) -> list[Any]:
    """The outputs, with what was printed in one go in one piece: how it was cut on its way is chance."""
    joined: list[Any] = []
    for output in outputs:
        last = joined[-1] if joined else None
        if last is not None and output.output_type == last.output_type == "stream" and output.name == last.name:
            last.text += output.text
        else:
            joined.append(output)
    return joined


def differences(committed: Any, fresh: Any) -> list[str]:
    """Where what came out is not what is in the notebook: a line each, empty if nowhere."""
    found = []
    for number, (before, after) in enumerate(zip(committed.cells, fresh.cells, strict=True)):
        if before.cell_type != "code":
            continue
        was, now = _comparable(before.outputs), _comparable(after.outputs)
        where = f"cell {number} ({before.source.splitlines()[0]!r}):\n"
        if was != now:
            found.append(f"{where}  was {was}\n  now {now}")
        elif not all(map(_alike, _pictures(before.outputs), _pictures(after.outputs))):
            found.append(f"{where}  the picture looks different")
    return found


def _comparable(outputs: Any) -> list[Any]:
    return [
        (output.output_type, output.get("name"), output.get("text"), _data(output.get("data", {})))
        for output in outputs
    ]


def _data(data: Any) -> dict[str, Any]:
    return {kind: "there" if kind == "image/png" else value for kind, value in sorted(data.items())}


def _pictures(outputs: Any) -> list[str]:
    """The PNGs, as they are in a notebook."""
    return [output.data["image/png"] for output in outputs if "image/png" in output.get("data", {})]


def _alike(before: str, after: str) -> bool:
    """Whether two PNGs show the same, but for how letters are drawn."""
    was, now = _opened(before), _opened(after)
    if any(abs(a - b) > 0.02 * a for a, b in zip(was.size, now.size, strict=True)):
        return False
    shrunk = [picture.resize(SHRUNK, Image.Resampling.BOX) for picture in (was, now)]
    return all(most <= TOLERANCE for _, most in ImageChops.difference(*shrunk).getextrema())


def _opened(png: str) -> Image.Image:
    """On a white page."""
    picture = Image.open(io.BytesIO(base64.b64decode(png))).convert("RGBA")
    page = Image.new("RGBA", picture.size, "white")
    page.alpha_composite(picture)
    return page.convert("RGB")


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m notebooks.execute", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("names", nargs="*", help="parts of the names of notebooks; none: all")
    parser.add_argument("--write", action="store_true", help="keep what comes out")
    arguments = parser.parse_args()
    stale = 0
    for path in NOTEBOOKS:
        if arguments.names and not any(name in path.name for name in arguments.names):
            continue
        committed, fresh = execute(path)
        found = differences(committed, fresh)
        if arguments.write:
            nbformat.write(fresh, path)
        stale += bool(found) and not arguments.write
        print(f"{path.name}: {'changed' if found else 'as it was'}")
        if not arguments.write:
            print(*found, sep="\n")
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main())
