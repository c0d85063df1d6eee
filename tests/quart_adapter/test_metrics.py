"""What responses count: each builder, each way out, and the route that is scraped."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
import reactivex
from prometheus_client import CollectorRegistry
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text
from quart import Quart, Response, request
from reactivex.subject import Subject

from quart_adapter import RxStream, StreamCutOff, download, export, response, sse, sse_tracked
from quart_adapter.testing import BodyCutOff, stream
from rxstream import ServerSentEvent, StreamMetrics
from tests.quart_adapter.routes import ALL, make, served
from tests.quart_adapter.samples import Samples
from tests.rxstream.metered import Blocks, Kept, Raises
from tests.rxstream.support import Source, until

FORMATS = {"sse": "sse", "response": "bytes", "download": "bytes", "export": "json"}
ITEMS: dict[str, tuple[Any, ...]] = {
    "sse": ("a", "b"),
    "response": (b"aa", b"bb"),
    "download": (b"aa", b"bb"),
    "export": (1, 2),
}


class Counts(Samples):
    """A registry, and the figures of the stream `route` of an app that `served` makes."""

    def __init__(self, builder: str = "sse") -> None:
        super().__init__(stream="route", format=FORMATS[builder], direction="out")
        self.metrics = StreamMetrics(registry=self.registry)

    def gauges(self) -> set[float | None]:
        """Active, utilization and high-water mark."""
        return {
            self("stream_active"),
            self("stream_buffer_utilization_ratio"),
            self("stream_buffer_high_water_ratio"),
        }


@pytest.fixture
def counts(request: pytest.FixtureRequest) -> Counts:
    """Where the test counts."""
    builder = request.node.callspec.params.get("builder", "sse") if hasattr(request.node, "callspec") else "sse"
    return Counts(builder)


# -- the ways out


@pytest.mark.parametrize("builder", ALL)
async def test_a_stream_that_completes(builder: str, counts: Counts) -> None:
    """Items, bytes, the outcome, the time to the first; and nothing is active afterwards."""
    client = served(make(builder, Source(*ITEMS[builder])), metrics=counts.metrics)
    async with stream(client, "/") as reader:
        body = await reader.body()
    assert counts("stream_elements_total") == 2
    assert counts("stream_bytes_total") == len(body)
    assert counts.outcomes() == {"completed": 1}
    assert counts("stream_time_to_first_element_seconds_count") == 1
    assert counts("stream_errors_total") == 0
    assert counts.gauges() == {0}


@pytest.mark.parametrize("builder", ALL)
async def test_an_empty_stream(builder: str, counts: Counts) -> None:
    """Its outcome is its own; what frames it is bytes all the same."""
    client = served(make(builder, Source()), metrics=counts.metrics)
    async with stream(client, "/") as reader:
        body = await reader.body()
    assert (counts.outcomes(), counts("stream_elements_total")) == ({"empty": 1}, 0)
    assert counts("stream_bytes_total") == len(body)
    assert counts("stream_time_to_first_element_seconds_count") is None
    assert counts.gauges() == {0}


@pytest.mark.parametrize("builder", ALL)
async def test_a_failure_after_the_first_item(builder: str, counts: Counts) -> None:
    """An error; the items before it are counted."""
    client = served(make(builder, Source(*ITEMS[builder], then=ValueError("broken"))), metrics=counts.metrics)
    async with stream(client, "/") as reader:
        try:
            await reader.body()
        except BodyCutOff:
            assert builder != "sse"
    assert (counts.outcomes(), counts("stream_elements_total")) == ({"error": 1}, 2)
    assert counts("stream_errors_total") == 1
    assert counts.gauges() == {0}


@pytest.mark.parametrize("builder", ALL)
async def test_a_failure_before_the_first_item(builder: str, counts: Counts) -> None:
    """A 500 is an error, too."""
    client = served(make(builder, Source(then=ValueError("broken"))), metrics=counts.metrics)
    assert (await client.get("/")).status_code == 500
    assert (counts.outcomes(), counts("stream_elements_total")) == ({"error": 1}, 0)
    assert counts.gauges() == {0}


async def test_an_item_that_cannot_be_encoded(counts: Counts) -> None:
    """The encoder's failure is the stream's."""
    counts.labels["format"] = "ndjson"
    client = served(lambda: export(Source(1, object()), filename="x", format="ndjson"), metrics=counts.metrics)
    async with stream(client, "/") as reader:
        with pytest.raises(BodyCutOff):
            await reader.body()
    assert (counts.outcomes(), counts("stream_elements_total")) == ({"error": 1}, 1)


@pytest.mark.parametrize("builder", ALL)
async def test_a_client_that_leaves(builder: str, counts: Counts) -> None:
    """Cancelled, and no error; while it was there, it was active."""
    client = served(make(builder, Source(*ITEMS[builder], then="wait")), metrics=counts.metrics)
    async with stream(client, "/") as reader:
        await reader.read(1)
        assert counts("stream_active") == 1
    assert (counts.outcomes(), counts("stream_errors_total")) == ({"cancelled": 1}, 0)
    assert counts.gauges() == {0}


async def test_a_client_that_stalls(counts: Counts) -> None:
    """It is cut off, which is its own doing: the stream has not failed."""
    source = Source(*[b"x" * 100_000] * 10, then="wait")
    client = served(lambda: response(source, content_type="text/plain"), metrics=counts.metrics, send_timeout=0.01)
    counts.labels["format"] = "bytes"
    with pytest.raises((StreamCutOff, ExceptionGroup)):  # Quart 0.23 groups it
        async with stream(client, "/", stalled=True) as reader:
            await reader.closed()  # a client that has left by then is not cut off
    assert (counts.outcomes(), counts("stream_errors_total"), counts.gauges()) == ({"cancelled": 1}, 0, {0})


@pytest.mark.parametrize("builder", ALL)
async def test_a_server_that_stops(builder: str, counts: Counts) -> None:
    """The stream would have gone on: it was cancelled."""
    client = served(make(builder, Source(*ITEMS[builder], then="wait")), metrics=counts.metrics, shutdown_grace=0.01)
    async with stream(client, "/") as reader:
        await reader.read(1)
        client.app.extensions["rxstream"].stop()
        try:
            await reader.body()
        except BodyCutOff:
            assert builder != "sse"
    assert (counts.outcomes(), counts.gauges()) == ({"cancelled": 1}, {0})


@pytest.mark.parametrize("builder", ALL)
async def test_a_response_that_is_never_sent(builder: str, counts: Counts) -> None:
    """The handler makes it and answers with something else."""
    app = Quart(__name__)
    RxStream(app, metrics=counts.metrics)

    @app.get("/")
    async def route() -> str:
        await make(builder, Source(*ITEMS[builder], then="wait"))()
        return "another"

    assert (await app.test_client().get("/")).status_code == 200
    assert (counts.outcomes(), counts.gauges()) == ({"cancelled": 1}, {0})


async def test_a_response_that_is_closed_before_it_is_sent(counts: Counts) -> None:
    """The client sees a failure; the stream itself has not failed."""
    counts.labels["format"] = "json"
    app = Quart(__name__)
    streams = RxStream(app, metrics=counts.metrics)

    @app.get("/")
    async def route() -> Response:
        built = await export(Source(1, 2, then="wait"), filename="x")
        for body in list(streams._live):
            body.abandon()
        return built

    with pytest.raises((StreamCutOff, ExceptionGroup)):  # Quart 0.23 groups it
        await app.test_client().get("/")
    assert (counts.outcomes(), counts("stream_errors_total")) == ({"cancelled": 1}, 0)


async def test_a_download_of_the_wrong_size_has_failed(counts: Counts) -> None:
    """It is not as long as was announced."""
    counts.labels["format"] = "bytes"
    client = served(lambda: download(Source(b"ab"), filename="x", size=3), metrics=counts.metrics)
    async with stream(client, "/") as reader:
        with pytest.raises(BodyCutOff) as caught:
            await reader.body()
    assert isinstance(caught.value.__cause__, StreamCutOff | ExceptionGroup)
    assert counts.outcomes() == {"error": 1}


async def test_a_head_request_is_no_stream(counts: Counts) -> None:
    """Nothing is subscribed to, and nothing counted."""
    client = served(make("export", Source(1)), metrics=counts.metrics)
    assert (await client.head("/")).status_code == 200
    assert list(counts.registry.collect())
    assert counts("stream_active") is None


# -- the buffer


async def test_what_the_buffer_drops_is_counted(counts: Counts) -> None:
    """By strategy; the time to the first item comes with the first, and not with the response."""
    subject: Subject[int] = Subject()
    client = served(lambda: sse(subject, buffer={"capacity": 2, "strategy": "sliding"}), metrics=counts.metrics)
    async with stream(client, "/") as reader:
        assert counts("stream_time_to_first_element_seconds_count") is None
        assert counts("stream_buffer_overflows_total", strategy="sliding") == 0
        for number in range(10):
            subject.on_next(number)
        assert counts("stream_buffer_utilization_ratio") == 1
        assert counts("stream_buffer_overflows_total", strategy="sliding") == 8
        assert [event.data for event in await reader.events(2)] == ["8", "9"]
        assert counts("stream_buffer_utilization_ratio") == 0
        assert counts("stream_buffer_high_water_ratio") == 1
    assert counts("stream_time_to_first_element_seconds_count") == 1
    assert counts("stream_elements_total") == 2


async def test_a_source_that_waits_for_a_slow_client(counts: Counts) -> None:
    """The seconds grow while the client reads nothing."""
    counts.labels["format"] = "bytes"

    async def endless() -> Any:
        while True:
            yield b"x" * 10_000

    client = served(lambda: response(endless, content_type="text/plain"), metrics=counts.metrics)
    async with stream(client, "/", stalled=True):
        await until(lambda: (counts("stream_suspended_seconds_total") or 0) > 0.01)
        before = counts("stream_suspended_seconds_total") or 0
        await until(lambda: (counts("stream_suspended_seconds_total") or 0) > before)


# -- where, and under which name


@pytest.mark.parametrize("builder", ALL)
async def test_each_builder_takes_a_name_and_metrics(builder: str, counts: Counts) -> None:
    """In place of the route's and the app's."""
    other = Counts(builder)
    client = served(make(builder, Source(*ITEMS[builder]), name="mine", metrics=other.metrics), metrics=counts.metrics)
    await (await client.get("/")).get_data()
    assert counts.outcomes() == {}
    other.labels["stream"] = "mine"
    assert other.outcomes() == {"completed": 1}


@pytest.mark.parametrize("builder", ALL)
async def test_a_stream_can_be_left_out(builder: str, counts: Counts) -> None:
    """`metrics=None`, where the app has some."""
    client = served(make(builder, Source(*ITEMS[builder]), metrics=None), metrics=counts.metrics)
    await (await client.get("/")).get_data()
    assert (counts.outcomes(), counts("stream_elements_total")) == ({}, None)


@pytest.mark.parametrize("builder", ALL)
async def test_metrics_of_another_kind_are_refused(builder: str) -> None:
    """Before anything is subscribed to."""
    source = Source()
    async with Quart(__name__).test_request_context("/"):
        with pytest.raises(TypeError, match="must be a StreamMetrics"):
            await make(builder, source, metrics="prometheus")()
    assert source.started == 0


def test_an_app_takes_no_other_kind_either() -> None:
    """A registry is no `StreamMetrics`."""
    with pytest.raises(TypeError, match="must be a StreamMetrics"):
        RxStream(metrics=CollectorRegistry())  # type: ignore[arg-type]


async def test_sse_tracked_is_sse_under_a_name(counts: Counts) -> None:
    """With the options of `sse`."""
    client = served(
        lambda: sse_tracked(Source(1, 2), name="prices", serialize=lambda n: ServerSentEvent(str(n), event="price")),
        metrics=counts.metrics,
    )
    async with stream(client, "/") as reader:
        assert [(event.event, event.data) for event in await reader.events()] == [("price", "1"), ("price", "2")]
    counts.labels["stream"] = "prices"
    assert (counts.outcomes(), counts("stream_elements_total")) == ({"completed": 1}, 2)


async def test_sse_tracked_without_metrics_is_the_same_stream() -> None:
    """An app whose metrics are off answers as before."""
    async with stream(served(lambda: sse_tracked(Source(1), name="prices")), "/") as reader:
        assert [event.data for event in await reader.events()] == ["1"]


async def test_labels_come_from_code(counts: Counts) -> None:
    """Whatever the client sends, in the path, the query, the headers or the body, none of it is a label."""
    app = Quart(__name__)
    RxStream(app, metrics=counts.metrics)
    secret = "mallory"

    @app.route("/<tenant>/<path:rest>", methods=["GET", "POST"])
    async def route(tenant: str, rest: str) -> Response:
        name = request.args["name"]
        if request.method == "POST":
            await request.get_data()
        return await export(Source({name: tenant}), filename=f"{name}.csv", format="csv")

    @app.errorhandler(404)
    async def missing(error: Exception) -> Response:
        return await export(Source(1), filename="x")

    client = app.test_client()
    headers = {"X-Tenant": secret, "User-Agent": secret, "Cookie": f"id={secret}", "Last-Event-ID": secret}
    for _ in range(2):
        secret += "y"
        for path in (f"/{secret}/{secret}?name={secret}", f"/{secret}"):
            await (await client.get(path, headers=headers)).get_data()
        await (await client.post(f"/{secret}/x?name={secret}", headers=headers, data=secret)).get_data()
    seen = {v for family in counts.registry.collect() for s in family.samples for v in s.labels.values()}
    assert not [value for value in seen if "mallory" in value]
    assert {v for f in counts.registry.collect() for s in f.samples if (v := s.labels.get("stream"))} == {
        "route",
        "unnamed",
    }


# -- backends that misbehave


@pytest.mark.parametrize("builder", ALL)
async def test_a_backend_that_raises(builder: str) -> None:
    """The response is the same, byte for byte."""
    plain = await (await served(make(builder, Source(*ITEMS[builder]))).get("/")).get_data()
    metrics = StreamMetrics(backend=Raises())
    client = served(make(builder, Source(*ITEMS[builder])), metrics=metrics)
    for _ in range(2):
        assert await (await client.get("/")).get_data() == plain
        metrics.flush()


@pytest.mark.parametrize("builder", ALL)
async def test_a_backend_that_blocks(builder: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """So is this; a scrape is a 503 after its deadline, and further ones do not pile up."""
    monkeypatch.setattr("quart_adapter.exposition.DEADLINE", 0.01)
    plain = await (await served(make(builder, Source(*ITEMS[builder]))).get("/")).get_data()
    backend = Blocks()
    client = served(make(builder, Source(*ITEMS[builder])), metrics=StreamMetrics(backend=backend))
    said = []
    try:
        for _ in range(12):
            assert await (await client.get("/")).get_data() == plain
            answer = await client.get("/metrics")
            assert answer.status_code == 503
            said.append(await answer.get_data())
        async with asyncio.timeout(20):
            while b"does not answer" not in said[-1]:  # on a slow machine even this may come after the deadline
                said.append(await (await client.get("/metrics")).get_data())
        assert b"no answer in time" in said[0]
    finally:
        backend.released.set()


# -- the route


async def test_the_route_is_scraped_and_parsed(counts: Counts) -> None:
    """In the format that is asked for, by the library's own parsers."""
    client = served(make("sse", Source("a", "b")), metrics=counts.metrics)
    await (await client.get("/")).get_data()
    answer = await client.get("/metrics")
    assert answer.headers["Content-Type"].startswith("text/plain; version=0.0.4")
    plain = {family.name: family for family in parse_text((await answer.get_data()).decode())}
    answer = await client.get("/metrics", headers={"Accept": "application/openmetrics-text; version=1.0.0"})
    assert answer.headers["Content-Type"].startswith("application/openmetrics-text; version=1.0.0")
    modern = {family.name: family for family in parse_openmetrics((await answer.get_data()).decode())}
    for families in (plain, modern):
        totals = [s for s in families["stream_elements"].samples if s.name == "stream_elements_total"]
        assert [(s.labels["stream"], s.labels["format"], s.value) for s in totals] == [("route", "sse", 2)]


async def test_a_scrape_for_some_names(counts: Counts) -> None:
    """As Prometheus' own servers have it."""
    client = served(make("sse", Source("a")), metrics=counts.metrics)
    await (await client.get("/")).get_data()
    body = await (await client.get("/metrics?name[]=stream_errors_total&name[]=stream_active")).get_data()
    assert {family.name for family in parse_text(body.decode())} == {"stream_errors", "stream_active"}


@pytest.mark.parametrize(("path", "found"), [("/metrics", 404), ("/internal/metrics", 200)])
async def test_the_path_can_be_another(path: str, found: int, counts: Counts) -> None:
    """Then there is none under the usual one."""
    client = served(make("sse", Source()), metrics=counts.metrics, metrics_path="/internal/metrics")
    assert (await client.get(path)).status_code == found


async def test_there_need_not_be_a_route(counts: Counts) -> None:
    """For those who serve the registry elsewhere."""
    client = served(make("sse", Source()), metrics=counts.metrics, metrics_path=None)
    assert (await client.get("/metrics")).status_code == 404


@pytest.mark.parametrize("settings", [{}, {"metrics": StreamMetrics(backend=Kept())}], ids=["none", "not for scrapes"])
async def test_without_anything_to_scrape_there_is_no_route(settings: dict[str, Any]) -> None:
    """No metrics, or a backend that sends them elsewhere."""
    client = served(make("sse", Source()), **settings)
    assert (await client.get("/metrics")).status_code == 404


async def test_a_scrape_does_not_wait_for_streams_nor_they_for_it(counts: Counts) -> None:
    """A slow collector of the user's holds nobody up."""
    entered, leave = asyncio.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()

    class Slow:
        def describe(self) -> list[Any]:
            return []

        def collect(self) -> list[Any]:
            loop.call_soon_threadsafe(entered.set)
            asyncio.run_coroutine_threadsafe(leave.wait(), loop).result(20)
            return []

    counts.registry.register(Slow())
    client = served(lambda: sse(reactivex.interval(0.001)), metrics=counts.metrics)
    scrape = asyncio.create_task(client.get("/metrics"))
    await entered.wait()
    async with stream(client, "/") as reader:
        assert len(await reader.events(5)) == 5
    leave.set()
    assert (await scrape).status_code == 200


async def test_without_metrics_nothing_looks_at_the_buffer() -> None:
    """No probe, no observer: a stream is as it was."""
    client = served(make("export", Source(1, then="wait")))
    async with stream(client, "/") as reader:
        await reader.read(1)
        (body,) = client.app.extensions["rxstream"]._live
        assert body._probe is None
        assert body._boundary.buffer._observers == ()
