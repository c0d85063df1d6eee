"""Executes the notebooks afresh, in kernels of their own, and compares with what is committed.

    python -m notebooks.execute            fails where one fails, or where what comes out is not what is in it
    python -m notebooks.execute --write    keeps what comes out; names of notebooks choose some of them

Text and SVG must come out the same; of PNG, which every version of matplotlib draws a little differently, there must be
one where there was one.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from pathlib import Path
from typing import Any, Final

import nbformat
from nbclient import NotebookClient

__all__ = ["NOTEBOOKS", "differences", "execute", "main"]

FOLDER: Final = Path(__file__).parent
NOTEBOOKS: Final = sorted(FOLDER.glob("[0-9][0-9]-*.ipynb"))
TIMEOUT: Final = 90
"""Seconds that one cell may take, on the slowest machine."""


def execute(path: Path) -> tuple[Any, Any]:
    """The notebook as it is, and as it comes out; an error in a cell is raised."""
    committed = nbformat.read(path, as_version=4)
    fresh = nbformat.from_dict(committed)
    for cell in fresh.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    with tempfile.TemporaryDirectory() as home:
        # Nothing of the user's: no start-up files, no history.
        settings = {
            **os.environ,
            "IPYTHONDIR": home,
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
        if was != now:
            found.append(f"cell {number} ({before.source.splitlines()[0]!r}):\n  was {was}\n  now {now}")
    return found


def _comparable(outputs: Any) -> list[Any]:
    return [
        (output.output_type, output.get("name"), output.get("text"), _data(output.get("data", {})))
        for output in outputs
    ]


def _data(data: Any) -> dict[str, Any]:
    return {kind: "there" if kind == "image/png" else value for kind, value in sorted(data.items())}


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
