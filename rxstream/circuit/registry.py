"""Circuit breakers by name. pybreaker is imported with the first of them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from math import inf
from typing import TYPE_CHECKING, Any, Final, Protocol
from weakref import WeakSet

if TYPE_CHECKING:
    from pybreaker import CircuitBreaker, CircuitBreakerListener
    from pybreaker import CircuitBreakerStorage as Storage

__all__ = ["CircuitRegistry", "circuits"]


class BreakerFollower(Protocol):
    """Wants to know of each breaker of a registry, such as metrics."""

    def follow(self, breaker: CircuitBreaker) -> None:
        """Here is one. Returns at once, and does not call the registry."""


class CircuitRegistry:
    """Circuit breakers by name, one for each; iterates over those that there are. `rxstream.circuits` is one.

    Example:
        >>> registry = CircuitRegistry()
        >>> registry.get("inventory", fail_max=3, reset_timeout=10).fail_max
        3
        >>> [breaker.name for breaker in registry]
        ['inventory']
    """

    def __init__(self) -> None:
        self._breakers: dict[str, CircuitBreaker] = {}  # names come from code
        self._followers: WeakSet[BreakerFollower] = WeakSet()
        self._lock = threading.Lock()

    def get(
        self,
        name: str,
        *,
        fail_max: int | None = None,
        reset_timeout: float | None = None,
        success_threshold: int | None = None,
        exclude: Iterable[type[BaseException] | Callable[[Any], bool]] | None = None,
        listeners: Sequence[CircuitBreakerListener] | None = None,
        state_storage: Storage | None = None,
    ) -> CircuitBreaker:
        """The breaker of this name, made at the first call.

        Args:
            name: From your code, not from a request: breakers are kept for good.
            fail_max: Failures in a row that open the circuit; 5.
            reset_timeout: Seconds for which it then stays open; 30.
            success_threshold: Successes in a row that close it again; 1.
            exclude: Exceptions, or functions of one, that are no failures of the source. pybreaker counts them as
                successes.
            listeners: pybreaker's listeners, to be told of failures, successes and changes of state; on the thread
                where they happen, with the breaker's lock held. One with a method `rejected(breaker)` has it called
                for each stream that is refused, with no lock held.
            state_storage: Where the state is; default: this process's memory. A `CircuitRedisStorage` talks to Redis
                as it is made: make it before you serve, with a client that has a `socket_timeout`.

        Raises:
            TypeError, ValueError: A setting is wrong.
            ValueError: The breaker exists already, with another setting than this one: set it up where it is made
                first, and only name it elsewhere.

        Example:
            >>> circuits.get("inventory", fail_max=5, reset_timeout=30) is circuits.get("inventory")
            True
        """
        if not isinstance(name, str):
            raise TypeError(f"a circuit's name is text, not {name!r}")
        if not name:
            raise ValueError("a circuit's name must not be empty")
        numbers = {"fail_max": fail_max, "reset_timeout": reset_timeout, "success_threshold": success_threshold}
        _check(numbers)
        with self._lock:
            breaker = self._breakers.get(name)
            if breaker is None:
                breaker = self._breakers[name] = _make(name, numbers, exclude, listeners, state_storage)
                for follower in list(self._followers):
                    follower.follow(breaker)
                return breaker
        for setting, value in numbers.items():
            if value is not None and value != getattr(breaker, setting):
                raise ValueError(
                    f"the circuit {name!r} exists already, with {setting}={getattr(breaker, setting)!r}; "
                    "set it up at its first use, and only name it elsewhere"
                )
        if state_storage not in (None, breaker._state_storage) or exclude is not None or listeners is not None:
            raise ValueError(
                f"the circuit {name!r} exists already; give it its storage, exclusions and listeners at its first use"
            )
        return breaker

    def tell(self, follower: BreakerFollower) -> None:
        """Shows somebody, who is not kept alive for it, each breaker that there is, and each that is made later."""
        with self._lock:
            self._followers.add(follower)
            breakers = list(self._breakers.values())
        for breaker in breakers:  # which may wait for the storage of one: the others are to be had meanwhile
            follower.follow(breaker)

    def __iter__(self) -> Iterator[CircuitBreaker]:
        with self._lock:
            return iter(list(self._breakers.values()))

    def __len__(self) -> int:
        return len(self._breakers)

    def __contains__(self, name: object) -> bool:
        return name in self._breakers


def _check(numbers: dict[str, float | None]) -> None:
    for setting, value in numbers.items():
        kind: Any = int | float if setting == "reset_timeout" else int
        if value is None:
            continue
        if isinstance(value, bool) or not isinstance(value, kind):
            raise TypeError(f"{setting} must be {'an int' if kind is int else 'a number of seconds'}, not {value!r}")
        if not (0 < value < inf):
            raise ValueError(f"{setting} must be positive, not {value!r}")


def _make(
    name: str, numbers: dict[str, Any], exclude: Any, listeners: Any, state_storage: Storage | None
) -> CircuitBreaker:
    from pybreaker import CircuitBreaker

    given = {setting: value for setting, value in numbers.items() if value is not None}
    settings = {"fail_max": 5, "reset_timeout": 30, "success_threshold": 1, **given}
    return CircuitBreaker(name=name, exclude=exclude, listeners=listeners, state_storage=state_storage, **settings)


circuits: Final = CircuitRegistry()
"""The circuits of this process, by name."""
