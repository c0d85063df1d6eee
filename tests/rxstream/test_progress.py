"""`with_progress`: what it reports, where to, and that the stream does not feel it."""

from __future__ import annotations

import reactivex as rx

from rxstream.operators import with_progress
from rxstream.progress import Progress
from tests.rxstream.support import everything, until


async def test_reports_come_every_so_many_items_and_at_the_end() -> None:
    """One each `log_interval`, and a last one that says it is the last."""
    reports: list[Progress] = []
    items = await everything(rx.range(7).pipe(with_progress("x", log_interval=3, on_progress=reports.append)))
    assert items == list(range(7))
    await until(lambda: reports and reports[-1].done)
    assert reports[-1].elements == 7
    assert [report.elements for report in reports if not report.done][:2] in ([3, 6], [6], [])
