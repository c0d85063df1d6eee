"""What a `DemandScheduler` runs at a time: once it is due and, in front of a buffer that makes wait, there is room."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from reactivex import abc
from reactivex.scheduler import VirtualTimeScheduler

if TYPE_CHECKING:
    from rxstream.demand import DemandScheduler

__all__ = ["TimedAction", "as_action", "virtual_now"]


class TimedAction:
    """A timed action that is due, or not yet, or waits for room."""

    def __init__(self, scheduler: DemandScheduler, run: Callable[[], object], is_over: Callable[[], bool]) -> None:
        self._scheduler = scheduler
        self._run = run
        self._is_over = is_over

    def fire(self) -> None:
        """It is due: waits for room, without a thread, then runs."""
        scheduler = self._scheduler
        if scheduler.waits and scheduler.buffer.watch(self._has_room):
            return
        if scheduler.blocks or scheduler.off_loop or (scheduler.loop is None and scheduler.base is None):
            scheduler.run_off_loop(self._take_turn, self._is_over)
        else:
            self._take_turn()

    def _has_room(self) -> None:
        scheduler = self._scheduler
        if scheduler.blocks:
            # It may wait there again, behind others that were told.
            scheduler.run_off_loop(self._take_turn, self._is_over)
        elif scheduler.base is not None:
            scheduler.base.schedule(as_action(self.fire))

    def _take_turn(self) -> None:
        self._scheduler.guarded(self._run)
        self._scheduler.buffer.pass_on()

    def cancel(self) -> None:
        """Takes it out of the queue for room."""
        self._scheduler.buffer.withdraw(self._has_room)


def as_action(function: Callable[[], object]) -> abc.ScheduledAction[Any]:
    """A function as what a scheduler runs."""

    def action(scheduler: abc.SchedulerBase, state: Any = None) -> None:
        function()

    return action


def virtual_now(scheduler: VirtualTimeScheduler) -> float:
    """The seconds that a virtual time of RxPY's shows."""
    return scheduler.to_seconds(scheduler.now)
