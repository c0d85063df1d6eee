"""Brings what streams have counted to the backend: on a thread of its own, about once a second.

Streams and the backend meet in here and nowhere else. A stream adds itself to a set and to a queue, which never waits;
the backend may take as long as it likes, and raise: only this thread sees it.
"""

from __future__ import annotations

import atexit
import logging
import threading
import time
from collections import defaultdict, deque
from collections.abc import Callable
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any, Final, TypeVar
from weakref import WeakKeyDictionary, WeakSet

from rxstream.circuit.registry import circuits
from rxstream.metrics.backend import MetricsBackend
from rxstream.metrics.catalog import (
    ACTIVE,
    BYTES,
    DURATION,
    ELEMENTS,
    ERRORS,
    FIRST_ELEMENT,
    HIGH_WATER,
    OVERFLOWS,
    REJECTED_UPLOADS,
    SUSPENDED,
    UTILIZATION,
    Direction,
    Metric,
)
from rxstream.metrics.probe import StreamProbe, Totals

if TYPE_CHECKING:
    from pybreaker import CircuitBreaker

    from rxstream.metrics.circuits import CircuitCounter

__all__ = ["MAX_NAMES", "OTHER", "Recorder"]

R = TypeVar("R")
Labels = tuple[str, ...]

logger = logging.getLogger("rxstream")

INTERVAL: Final = 1.0
"""Seconds from one report to the next, while there is something to report."""

ROUNDS: Final = 5
"""Reports without news after which the thread ends."""

MAX_NAMES: Final = 200
"""Names of streams, or values of another label, that are told apart; what comes after them is counted as `OTHER`."""

OTHER: Final = "(other)"

INBOX: Final = 1000
"""Streams that have ended, and are not added up, above which whoever ends one more adds them up."""

VALUES: Final = 10_000
"""Values for histograms that are kept for a backend that is busy; the oldest are let go of."""

JOBS: Final = 8
"""Jobs that may wait for the thread, such as scrapes."""


class Recorder:
    """The live streams of one backend, what they have come to since the last report, and the thread that reports."""

    def __init__(self, backend: MetricsBackend) -> None:
        self.backend = backend
        self._live: set[StreamProbe] = set()  # changed and copied in one step each: no lock that a stream could wait at
        self._inbox: deque[StreamProbe | tuple[Metric, float, Labels]] = deque(maxlen=100 * INBOX)
        self._adding_up = threading.Lock()  # over what follows; never while the backend is called
        self._counts: defaultdict[tuple[Metric, Labels], float] = defaultdict(float)
        self._gauges: dict[tuple[Metric, Labels], float] = {}
        self._values: deque[tuple[Metric, Labels, float]] = deque(maxlen=VALUES)
        self._shown: set[Labels] = set()  # streams whose gauges are not zero
        self._known: defaultdict[str, set[str]] = defaultdict(set)  # the values of each label
        self._reporting = threading.Lock()  # the backend is called by one thread at a time
        self._troubled = False
        self._thread: threading.Thread | None = None
        self._starting = threading.Lock()
        self._wake = threading.Event()
        self._jobs: deque[tuple[Callable[[], Any], Future[Any]]] = deque(maxlen=JOBS + 1)
        self._watched: WeakKeyDictionary[CircuitBreaker, CircuitCounter] = WeakKeyDictionary()
        _recorders.add(self)
        circuits.tell(self)

    # -- the streams' side: nothing in here waits

    def probe(
        self, name: str, format: str, direction: Direction, clock: Callable[[], float] = time.monotonic
    ) -> StreamProbe:
        """A probe for a stream that is about to begin."""
        return StreamProbe(self, (self.label("stream", name), self.label("format", format), direction), clock)

    def label(self, kind: str, value: str) -> str:
        """The value, if it is one of the first `MAX_NAMES`."""
        known = self._known[kind]
        if value in known:
            return value
        if len(known) >= MAX_NAMES:
            if OTHER not in known:
                known.add(OTHER)
                logger.error(
                    "metrics: more than %d values of the label %r; all further ones are counted as %r. Are names made "
                    "of what users send? They are to be constants of the code",
                    MAX_NAMES,
                    kind,
                    OTHER,
                )
            return OTHER
        known.add(value)
        return value

    def opened(self, probe: StreamProbe) -> None:
        """A stream is open."""
        self._live.add(probe)
        self._see_to_the_thread()

    def closes(self, probe: StreamProbe) -> bool:
        """Takes a stream out of the live ones; False: it was none."""
        try:
            self._live.remove(probe)  # in one step: of two threads one is first
        except KeyError:
            return False
        return True

    def closed(self, probe: StreamProbe) -> None:
        """A stream is over. This may be called by a finalizer, anywhere: so it takes no lock that it would wait for."""
        self._post(probe)

    def count(self, metric: Metric, amount: float, labels: Labels) -> None:
        """Adds to a counter."""
        self._post((metric, amount, labels))
        self._see_to_the_thread()

    def watch(self, breaker: CircuitBreaker, name: str) -> None:
        """Counts a circuit's transitions and rejections, and shows its state; once, however often it is asked."""
        from rxstream.metrics.circuits import CircuitCounter  # whoever has a breaker has imported its library

        with self._starting:
            if breaker in self._watched:
                return
            self._watched[breaker] = counter = CircuitCounter(self, name)
        breaker.add_listener(counter)

    def follow(self, breaker: CircuitBreaker) -> None:
        """A circuit of `circuits`: watched under its own name."""
        self.watch(breaker, str(breaker.name))

    def _post(self, news: StreamProbe | tuple[Metric, float, Labels]) -> None:
        self._inbox.append(news)
        if len(self._inbox) > INBOX and self._adding_up.acquire(blocking=False):
            try:
                self._empty_inbox()
            finally:
                self._adding_up.release()

    # -- adding up

    def _add_up(self) -> None:
        with self._adding_up:
            self._empty_inbox()
            active: defaultdict[Labels, int] = defaultdict(int)
            utilization: defaultdict[Labels, float] = defaultdict(float)
            high_water: defaultdict[Labels, float] = defaultdict(float)
            for probe in self._live.copy():
                now = self._fold(probe)
                labels: Labels = probe.labels
                active[labels] += 1
                utilization[labels] = max(utilization[labels], now.utilization)
                high_water[labels] = max(high_water[labels], now.high_water)
            for labels in self._shown | set(active):  # a stream that has ended leaves zeros
                self._gauges[ACTIVE, labels] = active[labels]
                self._gauges[UTILIZATION, labels] = utilization[labels]
                self._gauges[HIGH_WATER, labels] = high_water[labels]
            self._shown = {labels for labels, count in active.items() if count}

    def _empty_inbox(self) -> None:
        for _ in range(len(self._inbox)):
            try:
                news = self._inbox.popleft()
            except IndexError:
                return
            if isinstance(news, StreamProbe):
                self._fold(news)
                self._fold_end(news)
            else:
                metric, amount, labels = news
                self._counts[metric, labels] += amount

    def _fold(self, probe: StreamProbe) -> Totals:
        """Adds what a stream has come to since it was last looked at."""
        before, now, labels = probe.folded, probe.totals(), probe.labels
        probe.folded = now
        self._counts[ELEMENTS, labels] += now.elements - before.elements
        self._counts[BYTES, labels] += now.bytes - before.bytes
        self._counts[ERRORS, labels] += 0  # known from the start, so that an alert sees the first
        if probe.strategy is not None or now.overflows:
            # Looked at while it ends, a stream may seem to go back a little; a counter must not.
            self._counts[OVERFLOWS, (*labels, probe.strategy or "suspend")] += max(0, now.overflows - before.overflows)
        if probe.strategy == "suspend":
            self._counts[SUSPENDED, labels] += max(0.0, now.suspended - before.suspended)
        return now

    def _fold_end(self, probe: StreamProbe) -> None:
        labels = probe.labels
        self._shown.add(labels)
        self._values.append((DURATION, (*labels, probe.outcome), probe.seconds))
        if probe.first is not None:
            self._values.append((FIRST_ELEMENT, labels, probe.first))
        if probe.outcome == "error":
            self._counts[ERRORS, labels] += 1
        if probe.refused is not None:
            self._counts[REJECTED_UPLOADS, (*labels, self.label("code", probe.refused))] += 1

    # -- the backend's side

    def flush(self, timeout: float = 5.0) -> bool:
        """Reports all that there is, on this thread. False: the backend is busy with an earlier report."""
        if not self._reporting.acquire(timeout=timeout):
            return False
        try:
            self._report()
        finally:
            self._reporting.release()
        return True

    def set(self, metric: Metric, value: float, labels: Labels) -> None:
        """Sets a gauge."""
        with self._adding_up:
            self._gauges[metric, labels] = value

    def _report(self) -> None:
        for breaker, counter in list(self._watched.items()):
            self._guarded(counter.report, breaker)
        self._add_up()
        with self._adding_up:
            counts, self._counts = self._counts, defaultdict(float)
            gauges, self._gauges = self._gauges, {}
            values, self._values = self._values, deque(maxlen=VALUES)
        backend = self.backend
        for (metric, labels), amount in counts.items():
            self._guarded(backend.add, metric, amount, dict(zip(metric.labels, labels, strict=True)))
        for (metric, labels), value in gauges.items():
            self._guarded(backend.set, metric, value, dict(zip(metric.labels, labels, strict=True)))
        for metric, labels, value in values:
            self._guarded(backend.observe, metric, value, dict(zip(metric.labels, labels, strict=True)))

    def _guarded(self, call: Callable[..., object], *arguments: Any) -> None:
        try:
            call(*arguments)
        except Exception:  # arbitrary code
            if not self._troubled:
                self._troubled = True
                logger.exception("metrics: the backend failed; streams go on, and its further failures are not logged")

    # -- the thread

    def run(self, job: Callable[[], R]) -> Future[R]:
        """Runs a job on the thread, after a report: a scrape.

        Raises:
            RuntimeError: Through the future: too many wait already.
        """
        future: Future[R] = Future()
        if len(self._jobs) >= JOBS:
            future.set_exception(RuntimeError("too many wait for the metrics already; the backend does not answer"))
            return future
        self._jobs.append((job, future))
        self._see_to_the_thread()
        self._wake.set()
        return future

    def _see_to_the_thread(self) -> None:
        if self._thread is not None and self._thread.is_alive():
            return
        with self._starting:
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._work, name="rxstream-metrics", daemon=True)
                self._guarded(self._thread.start)  # where there are no threads left, a stream runs without metrics

    def _work(self) -> None:
        idle = 0
        while idle < ROUNDS or not self._may_end():
            self._wake.wait(INTERVAL)
            self._wake.clear()
            self._guarded(self.flush)
            idle = 0 if self._has_news() or self._jobs else idle + 1
            while self._jobs:
                job, future = self._jobs.popleft()
                if future.set_running_or_notify_cancel():
                    try:
                        future.set_result(job())
                    except BaseException as error:
                        future.set_exception(error)

    def _has_news(self) -> bool:
        return bool(self._live or self._inbox)

    def _may_end(self) -> bool:
        with self._starting:  # whoever comes after this starts another
            if self._has_news() or self._jobs:
                return False
            self._thread = None
            return True

    def last_report(self) -> None:
        """Waits a moment for the thread to report, at the end of the process."""
        thread = self._thread
        if thread is not None and thread.is_alive() and self._has_news():
            try:
                self.run(lambda: None).result(timeout=INTERVAL)
            except Exception:
                logger.warning("metrics: the backend did not take the last report")


_recorders: WeakSet[Recorder] = WeakSet()


@atexit.register
def _last_reports() -> None:
    for recorder in list(_recorders):
        recorder.last_report()
