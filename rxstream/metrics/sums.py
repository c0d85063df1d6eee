"""What streams have come to since the last report. Streams only leave word here; whoever reports adds it up.

Nothing on a stream's side waits, takes a lock that somebody else may hold, or grows without a bound: a stream may begin
and end on any thread, also in a finalizer that runs in the middle of anything.
"""

from __future__ import annotations

import logging
import threading
from collections import defaultdict, deque
from typing import Final, NamedTuple

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
    Metric,
)
from rxstream.metrics.probe import StreamProbe, Totals

__all__ = ["INBOX", "MAX_NAMES", "OTHER", "VALUES", "Labels", "Report", "Sums"]

logger = logging.getLogger("rxstream")

Labels = tuple[str, ...]

MAX_NAMES: Final = 200
"""Names of streams, or values of another label, that are told apart; what comes after them is counted as `OTHER`."""

OTHER: Final = "(other)"

INBOX: Final = 1000
"""Streams that have ended, and are not added up, above which whoever ends one more adds them up."""

VALUES: Final = 10_000
"""Values for histograms that are kept for a backend that is busy; the oldest are let go of."""


class Report(NamedTuple):
    """What a backend is to be told."""

    counts: dict[tuple[Metric, Labels], float]
    gauges: dict[tuple[Metric, Labels], float]
    values: deque[tuple[Metric, Labels, float]]


class Sums:
    """The streams that are open, those that have ended since they were added up, and the sums."""

    def __init__(self) -> None:
        self._live: set[StreamProbe] = set()  # changed and copied in one step each
        self._inbox: deque[StreamProbe | tuple[Metric, float, Labels]] = deque(maxlen=100 * INBOX)
        self._lock = threading.Lock()  # over what follows; a stream only takes it if nobody else has it
        self._counts: defaultdict[tuple[Metric, Labels], float] = defaultdict(float)
        self._gauges: dict[tuple[Metric, Labels], float] = {}
        self._values: deque[tuple[Metric, Labels, float]] = deque(maxlen=VALUES)
        self._shown: set[Labels] = set()  # streams whose gauges are not zero
        self._known: defaultdict[str, set[str]] = defaultdict(set)  # the values of each label

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to report, and no stream that could make something."""
        return not (self._live or self._inbox or self._counts or self._values)

    # -- the streams' side

    def label(self, kind: str, value: str) -> str:
        """The value, if it is one of the first `MAX_NAMES`."""
        known = self._known[kind]
        if value in known:
            return value
        if len(known) < MAX_NAMES:
            known.add(value)
            return value
        if OTHER not in known:
            known.add(OTHER)
            logger.error(
                "metrics: more than %d values of the label %r; all further ones are counted as %r. Are names made of "
                "what users send? They are to be constants of the code",
                MAX_NAMES,
                kind,
                OTHER,
            )
        return OTHER

    def opened(self, probe: StreamProbe) -> None:
        """A stream is open."""
        self._live.add(probe)

    def closes(self, probe: StreamProbe) -> bool:
        """Takes a stream out of the open ones; False: it was none."""
        try:
            self._live.remove(probe)  # in one step: of two threads one is first
        except KeyError:
            return False
        return True

    def post(self, news: StreamProbe | tuple[Metric, float, Labels]) -> None:
        """A stream is over, or a counter has grown."""
        self._inbox.append(news)
        if len(self._inbox) > INBOX and self._lock.acquire(blocking=False):
            try:
                self._empty_inbox()
            finally:
                self._lock.release()

    # -- adding up

    def set(self, metric: Metric, value: float, labels: Labels) -> None:
        """Sets a gauge."""
        with self._lock:
            self._gauges[metric, labels] = value

    def take(self) -> Report:
        """Adds everything up, and hands it over."""
        with self._lock:
            self._empty_inbox()
            self._look_at_the_live()
            report = Report(self._counts, self._gauges, self._values)
            self._counts, self._gauges, self._values = defaultdict(float), {}, deque(maxlen=VALUES)
        return report

    def _look_at_the_live(self) -> None:
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
            news = self._inbox.popleft()
            if isinstance(news, StreamProbe):
                self._fold(news)
                self._fold_end(news)
            else:
                metric, amount, labels = news
                self._counts[metric, labels] += amount

    def _fold(self, probe: StreamProbe) -> Totals:
        """Adds what a stream has come to since it was last looked at."""
        before, now, labels = probe.folded, probe.totals(), probe.labels
        # Looked at while it ends or resumes, a stream may seem to have come to less than before; a counter must not.
        now = now._replace(
            overflows=max(before.overflows, now.overflows), suspended=max(before.suspended, now.suspended)
        )
        probe.folded = now
        self._counts[ELEMENTS, labels] += now.elements - before.elements
        self._counts[BYTES, labels] += now.bytes - before.bytes
        self._counts[ERRORS, labels] += 0  # known from the start, so that an alert sees the first
        if probe.strategy is not None or now.overflows:
            self._counts[OVERFLOWS, (*labels, probe.strategy or "suspend")] += now.overflows - before.overflows
        if probe.strategy == "suspend":
            self._counts[SUSPENDED, labels] += now.suspended - before.suspended
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
