"""A stage for threads: one acts at a time, in a fixed order. What virtual time needs to come out the same each time.

The director is whoever calls `play`: the event loop. An actor is a worker thread. It is on stage until it waits for a
lock or condition of this room, and is called back, in turn, by whoever releases or notifies it.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from typing import Any, Final

__all__ = ["Stage"]

SLOW: Final = 10
"""How much longer a timed wait takes here: it is for a director who stands still, not for one who is busy."""


class _Actor:
    """A thread that acts when it is called."""

    __slots__ = ("call", "called", "on_stage")

    def __init__(self) -> None:
        self.call = threading.Semaphore(0)
        self.called = False
        self.on_stage = False


class Stage:
    """Who acts, and who is next."""

    def __init__(self) -> None:
        self._mutex = threading.Lock()
        self._called: deque[_Actor] = deque()  # each actor is in there once
        self._left = threading.Semaphore(0)
        self._here = threading.local()
        self._closed = False
        self._director: int | None = None
        self._threads: list[threading.Thread] = []  # those that have not ended, swept when one is added

    # -- the machine's parts

    def lock(self) -> _Lock:
        """What `threading.Lock` is."""
        return _Lock(self)

    def condition(self, lock: Any) -> _Condition:
        """What `threading.Condition` is."""
        return _Condition(self, lock)

    def thread(self, **settings: Any) -> threading.Thread:
        """What `threading.Thread` is."""
        return _Thread(self, **settings)

    # -- the director

    @property
    def is_directed_here(self) -> bool:
        """Whether the caller is the director."""
        return self._director == threading.get_ident() and not self._closed

    def play(self, patience: float) -> bool:
        """Lets each that is called act until it waits. False: one has not come back within `patience` seconds."""
        self._director = threading.get_ident()
        while not self._closed:
            with self._mutex:
                if not self._called:
                    return True
                actor = self._called.popleft()
                actor.called = False
                actor.on_stage = True
            actor.call.release()
            if not self._left.acquire(timeout=patience):
                self.close()
                return False
        return True

    def close(self) -> None:
        """Lets all go: from here on everyone acts when it likes, and nobody waits any more."""
        with self._mutex:
            self._closed = True
            called, self._called = self._called, deque()
        self._left.release()  # the director stops waiting for whoever is on stage
        for actor in called:
            actor.call.release()
        for thread in self._threads:
            if isinstance(thread, _Thread):
                thread.actor.call.release()

    def join(self, patience: float) -> None:
        """Waits for the threads to end."""
        for thread in self._threads:
            thread.join(patience)

    # -- the actors

    @property
    def closed(self) -> bool:
        """Whether nobody directs any more."""
        return self._closed

    @property
    def actor(self) -> _Actor | None:
        """The caller, if it is one of ours."""
        return getattr(self._here, "actor", None)

    def enter(self, thread: _Thread) -> None:
        """A new actor is there, and has been called."""
        with self._mutex:
            self._threads = [known for known in self._threads if known.is_alive() or known.ident is None]
            self._threads.append(thread)
        self.cue(thread.actor)

    def appear(self, actor: _Actor) -> None:
        """On the actor's thread, at its beginning: waits to be called."""
        self._here.actor = actor
        if not self._closed:
            actor.call.acquire()

    def cue(self, actor: _Actor) -> None:
        """Calls an actor: it acts when it is its turn."""
        with self._mutex:
            if not self._closed:
                actor.called = True
                self._called.append(actor)
                return
        actor.call.release()

    def leave(self, actor: _Actor, timeout: float | None = None) -> bool:
        """The actor waits until it is called. False: it was not, in time, and acts beside the play."""
        if actor.on_stage:
            actor.on_stage = False
            self._left.release()
        if self._closed or actor.call.acquire(timeout=timeout):
            return True
        with self._mutex:
            if not (actor.called or actor.on_stage):
                return False
        actor.call.acquire()
        return True

    def exit(self, actor: _Actor) -> None:
        """The actor's thread ends."""
        if actor.on_stage:
            actor.on_stage = False
            self._left.release()


class _Thread(threading.Thread):
    """A thread that acts on a stage."""

    def __init__(self, stage: Stage, **settings: Any) -> None:
        super().__init__(**settings)
        self._stage = stage
        self.actor = _Actor()

    def start(self) -> None:
        """Starts it; it begins when it is its turn."""
        super().start()
        self._stage.enter(self)

    def run(self) -> None:
        """Acts."""
        self._stage.appear(self.actor)
        try:
            super().run()
        finally:
            self._stage.exit(self.actor)


class _Lock:
    """A lock that an actor waits for off stage. Others wait for it as for any lock."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._lock = threading.Lock()
        self._waiting: deque[_Actor] = deque()  # threads that wait: one, as it is used

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
        """As that of `threading.Lock`; a timeout is real, and long."""
        actor = self._stage.actor
        if actor is None or self._stage.closed or not blocking:
            if blocking and timeout >= 0 and self._stage.is_directed_here:
                self._stage.play(SLOW * timeout)  # who stands on stage can only be waited for by letting them act
                return self._lock.acquire(blocking=False)
            return self._lock.acquire(blocking, timeout)
        while not self._lock.acquire(blocking=False):
            self._waiting.append(actor)
            if self._lock.acquire(blocking=False):  # released in between, by one who did not see the actor wait
                if not self._forget(actor):
                    self._stage.leave(actor)
                return True
            if not self._stage.leave(actor, None if timeout < 0 else SLOW * timeout):
                if self._forget(actor):
                    return self._lock.acquire(blocking=False)
                self._stage.leave(actor)
            if self._stage.closed:
                return self._lock.acquire(timeout=timeout)
        return True

    def release(self) -> None:
        """As that of `threading.Lock`."""
        self._lock.release()
        try:
            actor = self._waiting.popleft()
        except IndexError:
            return
        self._stage.cue(actor)

    def _forget(self, actor: _Actor) -> bool:
        try:
            self._waiting.remove(actor)
        except ValueError:  # it is being called
            return False
        return True


class _Condition:
    """A condition that an actor waits for off stage, as long as it takes: timeouts are of real time."""

    def __init__(self, stage: Stage, lock: Any) -> None:
        self._stage = stage
        self._lock = lock
        self._waiting: deque[_Actor] = deque()  # threads that wait: one, as it is used

    def __enter__(self) -> None:
        self._lock.acquire()

    def __exit__(self, *details: object) -> None:
        self._lock.release()

    def wait_for(self, predicate: Callable[[], Any], timeout: float | None = None) -> bool:
        """As that of `threading.Condition`; the stage's end is the timeout."""
        actor = self._stage.actor
        while not predicate():
            if self._stage.closed or actor is None:
                return False
            self._waiting.append(actor)
            self._lock.release()
            try:
                self._stage.leave(actor)
            finally:
                self._lock.acquire()
        return True

    def notify(self) -> None:
        """Calls one that waits."""
        if self._waiting:
            self._stage.cue(self._waiting.popleft())
