"""How far a stream is: lines in the log, a bar, reports for a function of one's own, events for a browser.

report       one report, and the line that says it
events       reports as server-sent events
outlets      where reports go, and how a stream does not feel it
stream       one counted subscription
operator     with_progress
"""

from rxstream.progress.events import ProgressEvents, progress_events
from rxstream.progress.operator import with_progress
from rxstream.progress.report import Progress

__all__ = ["Progress", "ProgressEvents", "progress_events", "with_progress"]
