"""The distribution as it is installed: what is in it, and that it is what the tests run on."""

from __future__ import annotations

import importlib
import importlib.metadata
import os
import sysconfig
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("rxstream", "quart_adapter")
# The Makefile says so: then the working tree must be out of reach. Without it the tests run on the tree.
INSTALLED = os.environ.get("RXSTREAM_TESTS") == "installed"


@pytest.mark.parametrize("name", PACKAGES)
def test_the_tests_run_on_the_package_that_is_meant(name: str) -> None:
    """`make test` runs on the installed one, whatever lies around; else it is the working tree's."""
    place = Path(str(importlib.import_module(name).__file__)).resolve().parent
    expected = Path(sysconfig.get_path("purelib")) if INSTALLED else ROOT
    assert place == (expected / name).resolve()


@pytest.mark.parametrize("name", PACKAGES)
def test_packages_are_typed(name: str) -> None:
    """Type checkers look for this file."""
    package = importlib.import_module(name)
    assert Path(str(package.__file__)).with_name("py.typed").is_file()


@pytest.mark.skipif(not INSTALLED, reason="of the installed wheel; `make test` tests that")
def test_the_wheel_holds_the_two_packages_and_nothing_else() -> None:
    """No tests, examples or benchmarks land in the user's environment."""
    files = importlib.metadata.files("rxstream") or []
    tops = {file.parts[0] for file in files if "dist-info" not in file.parts[0]}
    assert tops == set(PACKAGES)
    assert any(file.name == "LICENSE" for file in files)


@pytest.mark.parametrize("name", PACKAGES)
def test_every_public_name_is_there(name: str) -> None:
    """`__all__` has no repeats, and each name in it exists and is documented, if it can be."""
    package = importlib.import_module(name)
    names: list[str] = package.__all__
    assert len(set(names)) == len(names)
    for public in names:
        value = getattr(package, public)
        assert not callable(value) or value.__doc__, public
