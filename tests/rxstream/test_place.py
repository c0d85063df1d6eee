"""Circuits and progress in a simulated machine, where the same happens each time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
import reactivex as rx
from reactivex import operators as ops

from rxstream import Progress, from_async_iterable
from rxstream.explore import probe, simulate
from rxstream.operators import with_circuit, with_progress
from tests.rxstream.circuits import breaker


def test_a_simulated_source_falls_silent() -> None:
    """Its timeout follows the simulated clock, to the moment."""

    async def items() -> AsyncIterator[int]:
        for number in range(3):
            yield number
            await asyncio.sleep(1)
        await asyncio.sleep(3600)

    circuit = breaker()
    guarded = from_async_iterable(items).pipe(with_circuit(circuit, idle_timeout=100), probe("out"))
    trace = simulate(guarded, duration=1000)
    ends = [(round(event.at, 3), event.kind) for event in trace.events if event.kind == "error"]
    assert ends and all(at == 102 for at, _ in ends)
    assert circuit.fail_counter == 1


@pytest.mark.parametrize("strategy", ["suspend", "sliding"])
def test_a_consumer_that_stalls_makes_no_simulated_source_silent(strategy: str) -> None:
    """An item a minute is all that it takes."""
    circuit = breaker()
    buffer = {"capacity": 1, "strategy": strategy}
    guarded = rx.range(8).pipe(with_circuit(circuit, idle_timeout=5))
    simulate(guarded, consumer_delay=60, duration=3600, buffer=buffer)
    assert circuit.fail_counter == 0


def test_a_source_that_was_just_let_go_of_has_its_time() -> None:
    """From then on, although most of what it makes never gets here: a timer held back for 29 s of each 30."""
    circuit = breaker()
    every_tenth = rx.interval(1).pipe(ops.filter(lambda number: number % 10 == 0))
    guarded = every_tenth.pipe(with_circuit(circuit, idle_timeout=15))
    simulate(guarded, consumer_delay=29, duration=600, buffer={"capacity": 1})
    assert circuit.fail_counter == 0


def test_simulated_reports_are_made_on_the_spot() -> None:
    """No thread of the real machine's, and its time."""
    runs = []
    for _ in range(3):
        reports: list[Progress] = []
        counted = rx.range(6).pipe(with_progress("x", log_interval=2, on_progress=reports.append))
        simulate(counted, consumer_delay=10, duration=3600, buffer={"capacity": 1})
        runs.append([(report.elements, round(report.elapsed)) for report in reports])
    assert runs[0] == runs[1] == runs[2]
    assert runs[0][-1][0] == 6 and runs[0][-1][1] >= 30
