"""Where reports go: the log, a bar, a callback. None of them may hurt the stream, whatever it does."""

from __future__ import annotations

import contextvars
import logging
import sys
import threading
import warnings
from collections.abc import Callable
from importlib import import_module
from typing import Any, Final, Protocol

from rxstream.progress.report import Progress
from rxstream.worker import Worker

__all__ = ["Bar", "Call", "Log", "Outlet", "Thread", "load_bar"]

logger = logging.getLogger("rxstream.progress")

GRACE: Final = 0.02
"""Seconds that the end of a stream waits for the callback to return from its last report, so that whoever sees the end
has seen that report."""


class Outlet(Protocol):
    """Takes reports, from any thread; after the last one, none: a thread that made one before may come late with it."""

    def report(self, progress: Progress, *, wait: bool) -> None:
        """Takes one. `wait`: whether it may take a moment, so that it is through when this returns."""


class Log:
    """A line for each report, at level INFO; the last one of a stream that failed at level WARNING."""

    def __init__(self, *, last_only: bool) -> None:
        self._last_only = last_only  # and once that is written, nothing

    def report(self, progress: Progress, *, wait: bool) -> None:
        """Writes the line."""
        if progress.done or not self._last_only:
            self._last_only |= progress.done
            logger.log(logging.WARNING if progress.outcome == "error" else logging.INFO, "%s", progress)


class Call:
    """Calls a function on the spot: one that returns at once."""

    def __init__(self, function: Callable[[Progress], object]) -> None:
        self._function = function
        self._lock = threading.RLock()  # the function may end the stream
        self._done = False

    def report(self, progress: Progress, *, wait: bool) -> None:
        """Calls it."""
        with self._lock:
            if not self._done:
                self._done = progress.done
                self._function(progress)


class Thread:
    """Calls a function on a thread, which is there while there is work for it: it may block as long as it likes.

    While it does, only the latest report is kept.
    """

    def __init__(self, function: Callable[[Progress], object]) -> None:
        self._function = function
        self._changed = threading.Condition(threading.Lock())
        self._latest: Progress | None = None
        self._busy = False
        self._done = False
        self._failed = False
        self._worker = Worker(contextvars.copy_context(), on_idle=_nothing, on_error=self._went_wrong)

    def report(self, progress: Progress, *, wait: bool) -> None:
        """Has it called, after the call that runs."""
        with self._changed:
            if self._done:
                return
            self._latest, self._done = progress, progress.done
            idle, self._busy = not self._busy, True
        if idle:
            self._worker.submit(self._run)
        if wait:
            with self._changed:
                self._changed.wait_for(lambda: not self._busy, GRACE)

    def _run(self) -> None:
        while True:
            with self._changed:
                progress, self._latest = self._latest, None
                if progress is None:
                    self._busy = False
                    self._changed.notify_all()
                    return
            try:
                self._function(progress)
            except BaseException as error:
                self._went_wrong(error)

    def _went_wrong(self, error: BaseException) -> None:
        if not self._failed:
            self._failed = True
            logger.error(
                "on_progress failed; it is still called, but what it raises is not logged again", exc_info=error
            )


class Bar:
    """A bar of tqdm, in a terminal or a notebook."""

    def __init__(self, name: str, total: int | None, unit: str) -> None:
        words: dict[str, Any] = {"unit": "B", "unit_scale": True, "unit_divisor": 1024} if unit == "bytes" else {}
        if type(sys.stdout).__module__ == "ipykernel.iostream":  # a notebook shows the standard error in red
            words["file"] = sys.stdout
        self._bar = load_bar()(total=total, desc=name, **words)
        self._lock = threading.RLock()  # the consumer may leave while another thread draws

    def report(self, progress: Progress, *, wait: bool) -> None:
        """Draws it."""
        with self._lock:
            if progress.done:
                self._end(progress)
            else:
                self._bar.update(progress.passed - self._bar.n)  # a closed one ignores it

    def _end(self, progress: Progress) -> None:
        """Draws it for good. tqdm tells a failure by the total, which may be wrong; we know."""
        bar, completed = self._bar, progress.outcome == "completed"
        bar.n = progress.passed
        if completed and bar.total is not None:
            bar.total = bar.n  # all there was
        elif not completed:
            bar.set_postfix_str(progress.outcome, refresh=False)
        bar.close()
        if (box := getattr(bar, "container", None)) is not None:
            widget = box.children[1]
            if completed:
                widget.max = widget.value = bar.n or 1
            widget.bar_style = {"completed": "success", "error": "danger"}.get(progress.outcome, "warning")


def load_bar() -> Any:
    """tqdm's class for where we run.

    Raises:
        ImportError: It is not installed.
    """
    try:
        if "tqdm.auto" not in sys.modules:  # once: the filters of warnings are everybody's
            from tqdm import TqdmWarning  # type: ignore[import-untyped, unused-ignore]

            with warnings.catch_warnings():
                warnings.simplefilter("ignore", TqdmWarning)  # a notebook without ipywidgets: it draws with text
                import_module("tqdm.auto")
        from tqdm.auto import tqdm  # type: ignore[import-untyped, unused-ignore]
    except ImportError as error:
        raise ImportError("with_progress(bar=True) draws with tqdm: pip install 'rxstream[progress]'") from error

    # Without a monitor, which is a thread that never ends: it would redraw bars that stand still.
    return type("Bar", (tqdm,), {"monitor_interval": 0})


def _nothing() -> None:
    pass
