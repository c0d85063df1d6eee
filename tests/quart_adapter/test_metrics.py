"""What the adapter counts: each builder, each way out, the route that is scraped."""

from __future__ import annotations

import pytest
from prometheus_client import CollectorRegistry

from quart_adapter.testing import stream
from rxstream import StreamMetrics
from tests.quart_adapter.routes import ALL, Source, make, served

FORMATS = {"sse": "sse", "response": "bytes", "download": "bytes", "export": "json"}


@pytest.fixture
def registry() -> CollectorRegistry:
    """One for each test."""
    return CollectorRegistry()


@pytest.fixture
def metrics(registry: CollectorRegistry) -> StreamMetrics:
    """What counts."""
    return StreamMetrics(registry=registry)


def value(registry: CollectorRegistry, name: str, builder: str, **more: str) -> float | None:
    """A sample of the stream `route` of an app that is made by `served`."""
    registry.collect()
    list(registry.collect())  # what is read is of now
    return registry.get_sample_value(name, {"stream": "route", "format": FORMATS[builder], "direction": "out", **more})


@pytest.mark.parametrize("builder", ALL)
async def test_a_stream_that_completes_is_counted(
    builder: str, registry: CollectorRegistry, metrics: StreamMetrics
) -> None:
    """Items, bytes, the outcome, the time to the first; and nothing is active afterwards."""
    client = served(
        make(builder, Source(b"a" * 10, b"b" * 10) if builder != "export" else Source(1, 2)), metrics=metrics
    )
    async with stream(client, "/") as reader:
        body = await reader.body()
    assert value(registry, "stream_elements_total", builder) == 2
    assert value(registry, "stream_bytes_total", builder) == len(body)
    assert value(registry, "stream_duration_seconds_count", builder, outcome="completed") == 1
    assert value(registry, "stream_time_to_first_element_seconds_count", builder) == 1
    assert value(registry, "stream_errors_total", builder) == 0
    assert value(registry, "stream_active", builder) == 0
