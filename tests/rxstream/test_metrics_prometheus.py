"""The backend for Prometheus: names and types as they are scraped, one registry, many processes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import reactivex
from prometheus_client import CollectorRegistry, Counter, generate_latest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from rxstream import BufferConfig, StreamMetrics
from rxstream.buffer import Buffer
from rxstream.metrics import METRICS, with_metrics
from rxstream.metrics.prometheus import sweep
from tests.rxstream.metered import of
from tests.rxstream.support import DEADLINE

NAMES = {
    "stream_elements_total",
    "stream_bytes_total",
    "stream_duration_seconds",
    "stream_buffer_overflows_total",
    "stream_buffer_utilization_ratio",
    "stream_buffer_high_water_ratio",
    "stream_active",
    "stream_errors_total",
    "stream_time_to_first_element_seconds",
    "stream_suspended_seconds_total",
    "stream_upload_rejections_total",
    "stream_circuit_state",
    "stream_circuit_rejections_total",
    "stream_circuit_transitions_total",
}


@pytest.fixture
def registry() -> CollectorRegistry:
    """One for each test."""
    return CollectorRegistry()


def run(metrics: StreamMetrics, stream: str = "s") -> None:
    """A stream with a little of everything."""
    probe = metrics.probe(stream, "items", "internal").open()
    probe.watch(Buffer(BufferConfig(4, "suspend")))
    probe.count(b"abc")
    probe.completed()
    probe.close()


def test_the_names_are_those_that_are_documented() -> None:
    """No more, and no fewer."""
    assert {metric.name for metric in METRICS} == NAMES


def test_duration_has_the_documented_buckets(registry: CollectorRegistry) -> None:
    """In seconds: 0.1, 1, 10, 60, 300, and all."""
    run(StreamMetrics(registry=registry))
    (family,) = [f for f in registry.collect() if f.name == "stream_duration_seconds"]
    bounds = [sample.labels["le"] for sample in family.samples if sample.name.endswith("_bucket")]
    assert bounds == ["0.1", "1.0", "10.0", "60.0", "300.0", "+Inf"]


def test_what_is_scraped_is_what_its_own_parser_reads(registry: CollectorRegistry) -> None:
    """Both formats, with the types and the labels of the catalog."""
    metrics = StreamMetrics(registry=registry)
    run(metrics)
    text, plain = metrics.render()
    open_text, open_type = metrics.render("application/openmetrics-text; version=1.0.0")
    assert plain.startswith("text/plain; version=0.0.4")
    assert open_type.startswith("application/openmetrics-text; version=1.0.0")
    for families in (parse_text(text.decode()), parse_openmetrics(open_text.decode())):
        found = {family.name: family for family in families}
        for metric in METRICS:
            family = found[metric.name.removesuffix("_total")]
            assert family.type == metric.kind, metric.name
            for sample in family.samples:
                assert set(sample.labels) - {"le"} == set(metric.labels), metric.name
        (active,) = found["stream_active"].samples
        assert (active.labels, active.value) == (of("s"), 0)


def test_a_scrape_may_ask_for_some(registry: CollectorRegistry) -> None:
    """By name."""
    metrics = StreamMetrics(registry=registry)
    run(metrics)
    text, _ = metrics.render("", ["stream_elements_total"])
    assert [family.name for family in parse_text(text.decode())] == ["stream_elements"]


def test_whoever_reads_the_registry_reads_what_is_true_now(registry: CollectorRegistry) -> None:
    """Not only our own route: an exporter of the user's that was there before knows nothing of us."""
    metrics = StreamMetrics(registry=registry)
    reactivex.of(1, 2).pipe(with_metrics("s", metrics)).subscribe()
    assert b'stream_elements_total{direction="internal",format="items",stream="s"} 2.0' in generate_latest(registry)
    reactivex.of(1, 2).pipe(with_metrics("s", metrics)).subscribe()
    assert registry.get_sample_value("stream_elements_total", of("s")) == 4


def test_errors_are_there_before_the_first(registry: CollectorRegistry) -> None:
    """A rate over a counter that appears with its first error would miss it."""
    run(StreamMetrics(registry=registry))
    assert registry.get_sample_value("stream_errors_total", of("s")) == 0


def test_a_namespace_goes_in_front(registry: CollectorRegistry) -> None:
    """Of every name."""
    run(StreamMetrics(registry=registry, namespace="shop"))
    assert registry.get_sample_value("shop_stream_elements_total", of("s")) == 1
    assert all(family.name.startswith("shop_stream_") for family in registry.collect())


def test_the_same_registry_is_the_same_metrics(registry: CollectorRegistry) -> None:
    """Made twice, as by an app factory, it is one: nothing is registered twice, no gauge is set by two."""
    first, second = StreamMetrics(registry=registry), StreamMetrics(registry=registry)
    one, other = (metrics.probe("s", "items", "internal").open() for metrics in (first, second))
    assert registry.get_sample_value("stream_active", of("s")) == 2
    one.close()
    other.close()
    assert registry.get_sample_value("stream_active", of("s")) == 0


def test_two_namespaces_in_a_registry_are_two(registry: CollectorRegistry) -> None:
    """Each has its own figures."""
    run(StreamMetrics(registry=registry, namespace="a"))
    StreamMetrics(registry=registry, namespace="b")
    assert registry.get_sample_value("a_stream_elements_total", of("s")) == 1
    assert registry.get_sample_value("b_stream_elements_total", of("s")) is None


def test_a_name_that_is_taken_is_an_error_and_leaves_nothing_behind(registry: CollectorRegistry) -> None:
    """The registry is as it was."""
    mine = Counter("stream_errors", "mine", registry=registry)
    with pytest.raises(ValueError, match="stream_errors"):
        StreamMetrics(registry=registry)
    registry.unregister(mine)
    run(StreamMetrics(registry=registry))
    assert registry.get_sample_value("stream_elements_total", of("s")) == 1


# -- several processes

CHILD = """
import sys
from rxstream import StreamMetrics
metrics = StreamMetrics()
probe = metrics.probe("s", "items", "internal").open()
probe.count(b"abc")
if sys.argv[1] == "ends":
    probe.completed()
    probe.close()
elif sys.argv[1] == "dies":
    metrics.flush()
    import os
    os.kill(os.getpid(), 9)
else:
    print(metrics.render()[0].decode())
    print([thread.name for thread in __import__("threading").enumerate()])
    probe.close()
"""


def child(folder: Path, how: str) -> str:
    """A process that shares its metrics in a folder: it ends, dies with a stream open, or prints what is scraped."""
    done = subprocess.run(
        [sys.executable, "-c", CHILD, how],
        env={**os.environ, "PROMETHEUS_MULTIPROC_DIR": str(folder)},
        capture_output=True,
        text=True,
        timeout=DEADLINE,
        check=False,
    )
    assert done.returncode == (-9 if how == "dies" else 0), done.stderr
    return done.stdout


def scraped(text: str, name: str, **labels: str) -> float:
    """A sample of what was scraped."""
    for family in parse_text(text):
        for sample in family.samples:
            if sample.name == name and labels.items() <= sample.labels.items():
                return float(sample.value)
    raise AssertionError(f"no {name} in {text}")


def test_processes_share_what_they_count(tmp_path: Path) -> None:
    """Also those that have ended without a word: the last report comes with the end of the process."""
    for how in ("ends", "ends", "dies"):
        child(tmp_path, how)
    text = child(tmp_path, "scrapes").rpartition("\n[")[0]
    assert scraped(text, "stream_elements_total", stream="s") == 4
    assert scraped(text, "stream_bytes_total", stream="s") == 12
    assert scraped(text, "stream_duration_seconds_count", outcome="completed") == 2


def test_the_gauges_of_a_process_that_was_killed_are_swept(tmp_path: Path) -> None:
    """Only the stream of the process that scrapes is active."""
    child(tmp_path, "dies")
    assert list(tmp_path.glob("gauge_livesum_*.db"))
    text = child(tmp_path, "scrapes").rpartition("\n[")[0]
    assert scraped(text, "stream_active", stream="s") == 1


def test_the_sweep_spares_the_living_and_what_they_counted(tmp_path: Path) -> None:
    """This process lives; the other one is gone, and its counters stay."""
    child(tmp_path, "dies")
    mine = tmp_path / f"gauge_livesum_{os.getpid()}.db"
    mine.touch()
    sweep(str(tmp_path))
    assert list(tmp_path.glob("gauge_live*.db")) == [mine]
    assert list(tmp_path.glob("counter_*.db"))


@pytest.mark.parametrize(
    ("before", "expected"),
    [
        ("import os, prometheus_client; os.environ['PROMETHEUS_MULTIPROC_DIR'] = '.'", "before the server starts"),
        ("import os; os.environ['PROMETHEUS_MULTIPROC_DIR'] = '/nowhere'", "no folder"),
    ],
    ids=["too late", "no folder"],
)
def test_a_multiprocess_mode_that_cannot_work_is_refused(before: str, expected: str) -> None:
    """In place of figures that are silently those of one process."""
    program = (
        f"{before}\nfrom rxstream import StreamMetrics\ntry:\n    StreamMetrics()\nexcept RuntimeError as e: print(e)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=DEADLINE, check=True)
    assert expected in done.stdout
