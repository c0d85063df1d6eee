"""After each test of the core: no thread of ours is left, and nobody had to shout at the event loop.

And metrics that are kept where a test can look.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest

from rxstream import StreamMetrics
from tests.rxstream.metered import Kept
from tests.rxstream.support import until_now, workers


@pytest.fixture(autouse=True)
def nothing_left(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Fails the test that leaves a worker thread, or whose failure ended in the loop's exception handler."""
    before = set(workers())  # what another test has left is that one's failure alone
    yield
    until_now(lambda: not set(workers()) - before)
    shouts = [r for phase in ("setup", "call") for r in caplog.get_records(phase) if r.name == "asyncio"]
    assert [r.getMessage() for r in shouts if r.levelno >= logging.ERROR] == []


@pytest.fixture
def kept() -> Kept:
    """Where it is counted."""
    return Kept()


@pytest.fixture
def metrics(kept: Kept) -> StreamMetrics:
    """What counts."""
    return StreamMetrics(backend=kept)
