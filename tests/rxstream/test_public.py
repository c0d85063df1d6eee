"""The public surface: its names, its documentation, and what it must not offer."""

from __future__ import annotations

import ast
import dataclasses
import doctest
import inspect
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import quart_adapter
import rxstream
from rxstream import operators
from rxstream.errors import BackpressureError, DecodeError, EncodeError, RxStreamError

PACKAGES = [Path(str(package.__file__)).parent for package in (rxstream, quart_adapter)]
FILES = [path for package in PACKAGES for path in sorted(package.rglob("*.py"))]


def test_nothing_offers_an_endless_buffer() -> None:
    """There is no way to ask for one, and no word of one."""
    assert len(FILES) > 10
    assert [path.name for path in FILES if "unbounded" in path.read_text("utf-8").lower()] == []
    core = [path for path in FILES if path.is_relative_to(PACKAGES[0])]
    for keyword in ("maxsize=0", "maxsize = 0", "SimpleQueue", "Queue()"):
        assert [path.name for path in core if keyword in path.read_text("utf-8")] == []


@pytest.mark.parametrize("module", [rxstream, operators], ids=["rxstream", "operators"])
def test_all_names_are_there_and_documented(module: ModuleType) -> None:
    """What `__all__` promises exists, and says what it does."""
    assert sorted(module.__all__) == sorted(set(module.__all__))
    for name in module.__all__:
        thing: Any = getattr(module, name)
        if inspect.isfunction(thing) or inspect.isclass(thing):
            assert inspect.getdoc(thing), name


def test_options_are_keyword_only() -> None:
    """Beyond what is obviously first and second, arguments are named."""
    expected: list[tuple[Callable[..., Any], list[str]]] = [
        (rxstream.to_async_iterable, ["observable", "buffer"]),
        (rxstream.for_each, ["observable", "async_fn"]),
        (rxstream.from_file, ["path"]),
        (rxstream.from_async_iterable, ["source"]),
        (operators.with_buffer, ["buffer"]),
        (operators.map_async, ["fn"]),
        (operators.with_circuit, ["circuit"]),
        (operators.with_progress, ["name"]),
        (rxstream.circuits.get, ["name"]),
        (rxstream.progress_events, []),
    ]
    for function, positional in expected:
        parameters = inspect.signature(function).parameters.values()
        assert [p.name for p in parameters if p.kind is not p.KEYWORD_ONLY] == positional


def test_public_functions_have_examples() -> None:
    """Each shows how it is used, in code that parses."""
    for function in (
        rxstream.to_async_iterable,
        rxstream.for_each,
        rxstream.from_file,
        rxstream.from_async_iterable,
        operators.with_buffer,
        operators.map_async,
        operators.with_circuit,
        operators.with_progress,
        rxstream.circuits.get,
        rxstream.progress_events,
    ):
        examples = doctest.DocTestParser().get_examples(inspect.getdoc(function) or "")
        assert examples, function.__name__
        for example in examples:
            if example.source.startswith("await "):
                ast.parse("async def main():\n    " + example.source)
            else:
                ast.parse(example.source)


def test_the_example_of_to_async_iterable_runs() -> None:
    """The first example that a reader pastes works as printed."""
    import asyncio

    import reactivex

    names = {"asyncio": asyncio, "reactivex": reactivex, "to_async_iterable": rxstream.to_async_iterable}
    parsed = doctest.DocTestParser().get_doctest(
        inspect.getdoc(rxstream.to_async_iterable) or "", names, "to_async_iterable", None, 0
    )
    assert doctest.DocTestRunner().run(parsed).failed == 0


def test_the_tree_of_errors() -> None:
    """All errors are `RxStreamError`s, and say where they happened."""
    for error in (BackpressureError, EncodeError, DecodeError):
        assert issubclass(error, RxStreamError)
    assert EncodeError("bad", index=3).index == 3
    assert str(EncodeError("bad", index=3)) == "item 3: bad"
    assert DecodeError("bad", position=4).position == 4
    assert str(DecodeError("line 5 is bad", position=4)) == "line 5 is bad"


def test_statistics_have_the_documented_fields() -> None:
    """In the documented order."""
    assert [field.name for field in dataclasses.fields(rxstream.BufferStatistics)] == [
        "capacity",
        "strategy",
        "length",
        "high_water",
        "pushed",
        "delivered",
        "dropped",
        "discarded",
    ]


def test_the_core_does_not_import_the_adapter() -> None:
    """Imports go downwards only; what moves bytes and state knows no Rx."""
    for path in FILES:
        if path.is_relative_to(PACKAGES[0]):
            names = imported(path)
            assert not any(name.split(".")[0] in ("quart", "quart_adapter", "hypercorn") for name in names), path
            if path.name in ("buffer.py", "errors.py") or path.parent.name == "formats":
                assert not any(name.split(".")[0] in ("reactivex", "asyncio") for name in names), path


def imported(path: Path) -> list[str]:
    """The modules that a file imports."""
    found: list[str] = []
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.append(node.module)
    return found
