"""What is imported when: pictures, frames and notebooks cost nothing to those who do not use them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
OPTIONAL = ("IPython", "ipykernel", "matplotlib", "numpy", "pandas", "polars", "prometheus_client", "tqdm")


def modules(code: str) -> set[str]:
    """What a fresh process has imported after this."""
    command = [sys.executable, "-c", f"{code}\nimport sys; print(*sys.modules)"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_rxstream_does_not_import_it() -> None:
    """Nor does the adapter."""
    found = modules("import rxstream, quart_adapter")
    assert not [name for name in found if name.startswith("rxstream.explore") or name == "rxstream.virtual"]
    assert found.isdisjoint(OPTIONAL)


@pytest.mark.parametrize(
    "code",
    [
        "import rxstream.explore",
        "import reactivex; from rxstream.explore import simulate; simulate(reactivex.of(1)).svg()",
    ],
    ids=["import", "picture"],
)
def test_a_picture_needs_nothing(code: str) -> None:
    """Neither matplotlib nor IPython."""
    assert modules(code).isdisjoint(OPTIONAL)


def test_a_plot_imports_matplotlib() -> None:
    """When it is drawn."""
    code = "import matplotlib; matplotlib.use('agg'); from rxstream.explore import Trace; Trace().plot_rates()"
    assert "matplotlib.pyplot" in modules(code)
