"""Brings what streams have counted to the backend: on a thread of its own, about once a second.

Streams and the backend meet in here and nowhere else. The backend may take as long as it likes, and raise: only this
thread sees it.
"""

from __future__ import annotations

import atexit
import logging
import os
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any, Final, TypeVar
from weakref import WeakKeyDictionary, WeakSet

from rxstream.circuit.registry import circuits
from rxstream.metrics.backend import MetricsBackend
from rxstream.metrics.catalog import Direction, Metric
from rxstream.metrics.probe import StreamProbe
from rxstream.metrics.sums import Labels, Sums

if TYPE_CHECKING:
    from pybreaker import CircuitBreaker

    from rxstream.metrics.circuits import CircuitCounter

__all__ = ["Recorder"]

R = TypeVar("R")

logger = logging.getLogger("rxstream")

INTERVAL: Final = 1.0
"""Seconds from one report to the next, while there is something to report."""

SHARE: Final = 0.01
"""How much of a processor's time the reports may take: with very many streams there are fewer of them."""

ROUNDS: Final = 5
"""Reports without news after which the thread ends."""

JOBS: Final = 8
"""Jobs that may wait for the thread, such as scrapes."""


class Recorder:
    """One backend, what there is to report to it, and the thread that does so."""

    def __init__(self, backend: MetricsBackend) -> None:
        self.backend = backend
        self._troubled = False
        self._watched: WeakKeyDictionary[CircuitBreaker, CircuitCounter] = WeakKeyDictionary()
        self.begin()
        _recorders.add(self)
        circuits.tell(self)

    def begin(self) -> None:
        """Begins with nothing; so does a process that was forked off. What there was is reported by the other one."""
        self._sums = Sums()
        self._reporting = threading.Lock()  # the backend is called by one thread at a time
        self._thread: threading.Thread | None = None
        self._starting = threading.Lock()
        self._wake = threading.Event()
        self._jobs: deque[tuple[Callable[[], Any], Future[Any]]] = deque(maxlen=2 * JOBS)

    # -- the streams' side: nothing in here waits for the backend

    def probe(
        self, name: str, format: str, direction: Direction, clock: Callable[[], float] = time.monotonic
    ) -> StreamProbe:
        """A probe for a stream that is about to begin."""
        labels = (self.label("stream", name), self.label("format", format), direction)
        return StreamProbe(self, labels, clock)

    def label(self, kind: str, value: str) -> str:
        """The value of a label, or what stands for those that are too many."""
        return self._sums.label(kind, value)

    def opened(self, probe: StreamProbe) -> None:
        """A stream is open."""
        self._sums.opened(probe)
        self._see_to_the_thread()

    def closes(self, probe: StreamProbe) -> bool:
        """Takes a stream out of the open ones; False: it was none."""
        return self._sums.closes(probe)

    def closed(self, probe: StreamProbe) -> None:
        """A stream is over. A finalizer may call this, anywhere: it takes no lock. The thread is there: it was open."""
        self._sums.post(probe)

    def count(self, metric: Metric, amount: float, labels: Labels) -> None:
        """Adds to a counter."""
        self._sums.post((metric, amount, labels))
        self._see_to_the_thread()

    # -- circuits

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

    def show(self, metric: Metric, value: float, labels: Labels) -> None:
        """Sets a gauge."""
        self._sums.set(metric, value, labels)

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

    def _report(self) -> None:
        for breaker, counter in list(self._watched.items()):
            self._guarded(counter.report, breaker)
        counts, gauges, values = self._sums.take()
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
        idle, pause = 0, INTERVAL
        while idle < ROUNDS or not self._may_end():
            self._wake.wait(pause)
            self._wake.clear()
            idle = idle + 1 if self._is_idle() else 0
            before = time.thread_time()
            self._guarded(self.flush)
            pause = max(INTERVAL, (time.thread_time() - before) / SHARE)
            while self._jobs:
                _do(*self._jobs.popleft())

    def _is_idle(self) -> bool:
        return not self._jobs and self._sums.is_empty

    def _may_end(self) -> bool:
        with self._starting:  # whoever comes after this starts another
            if self._is_idle():
                self._thread = None
            return self._thread is None

    def last_report(self) -> bool:
        """Waits a moment for the thread to report what is left, at the end of a server or of the process.

        Returns:
            Whether it did.
        """
        thread = self._thread
        if thread is None or not thread.is_alive() or self._is_idle():
            return True
        try:
            self.run(lambda: None).result(timeout=INTERVAL)
        except (TimeoutError, RuntimeError):
            logger.warning("metrics: the backend did not take the last report in time")
            return False
        return True


def _do(job: Callable[[], R], future: Future[R]) -> None:
    if future.set_running_or_notify_cancel():
        try:
            future.set_result(job())
        except BaseException as error:
            future.set_exception(error)


_recorders: WeakSet[Recorder] = WeakSet()


@atexit.register
def _last_reports() -> None:
    for recorder in list(_recorders):
        recorder.last_report()


def _forked() -> None:
    for recorder in list(_recorders):
        recorder.begin()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forked)
