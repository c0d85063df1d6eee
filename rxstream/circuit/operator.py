"""`with_circuit`: the operator, and the check of what it is given."""

from __future__ import annotations

from collections.abc import Callable
from math import inf
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from reactivex import Observable, abc

from rxstream.boundary import like
from rxstream.circuit.registry import circuits
from rxstream.circuit.stream import GuardedStream, GuardOptions, HealthyAfter

if TYPE_CHECKING:
    from pybreaker import CircuitBreaker

__all__ = ["with_circuit"]

T = TypeVar("T")


def with_circuit(
    circuit: CircuitBreaker | str,
    *,
    on_open: Literal["terminate", "continue"] = "terminate",
    half_open_permits: int = 1,
    healthy_after: HealthyAfter = "first_item",
    first_item_timeout: float | None = None,
    idle_timeout: float | None = None,
) -> Callable[[Observable[T]], Observable[T]]:
    """Asks a circuit breaker before it subscribes to the source, and tells it what became of the stream.

        source            --1--2--X                           (a failure: after `fail_max` of them in a row ...)
        another stream    -----1-----#                        (... running streams end with `CircuitBreakerError`)
        a subscription              #                         (refused at once; the source is not touched)
        after a while               --1--                     (one is let through; its first item closes the circuit)

    Args:
        circuit: A `pybreaker.CircuitBreaker`, or a name in `rxstream.circuits`.
        on_open: `"terminate"` ends this stream when the circuit opens, `"continue"` lets it run.
        half_open_permits: Streams that a half-open circuit lets through at a time, in each process.
        healthy_after: When such a stream counts as a success: at its `"first_item"`, its `"completion"`, or after so
            many seconds without a failure.
        first_item_timeout: Seconds in which the first item has to come; default: `idle_timeout`.
        idle_timeout: Seconds in which the next item has to come. Time in which the source is made to wait is not
            counted. Running out of either is a failure, and a `TimeoutError` downstream.

    Raises:
        TypeError, ValueError: An argument is wrong.

    A stream that fails counts one failure, one that completes a success, as does one whose consumer leaves after the
    first item; before it, that counts as nothing. Excluded exceptions are as pybreaker has them. A refused stream is a
    `CircuitBreakerError` that has `retry_after`, in seconds. Demand passes through, nothing is buffered or dropped, and
    no lock is held while the stream runs. On dispose a trial's permit is free again. Follows pybreaker and Nygard's
    "Release It!"; permits, as in resilience4j.

    Example:
        >>> circuits.get("inventory", fail_max=5, reset_timeout=30)
        >>> stock = from_async_iterable(rows).pipe(with_circuit("inventory", idle_timeout=10))
    """
    breaker = _breaker(circuit)
    if on_open not in ("terminate", "continue"):
        raise ValueError(f"on_open must be 'terminate' or 'continue', not {on_open!r}")
    options = GuardOptions(
        on_open == "terminate",
        _permits(half_open_permits),
        healthy_after if healthy_after in ("first_item", "completion") else _seconds("healthy_after", healthy_after),
        None if first_item_timeout is None else _seconds("first_item_timeout", first_item_timeout),
        None if idle_timeout is None else _seconds("idle_timeout", idle_timeout),
    )
    from rxstream.circuit.guard import Guard  # brings pybreaker, and with it a Redis client where there is one

    guard = Guard.of(breaker)

    def operator(source: Observable[T]) -> Observable[T]:
        def subscribe(observer: abc.ObserverBase[T], scheduler: abc.SchedulerBase | None = None) -> abc.DisposableBase:
            return GuardedStream(source, observer, scheduler, guard, options).start()

        return like(source, subscribe)

    return operator


def _breaker(circuit: Any) -> CircuitBreaker:
    if isinstance(circuit, str):
        return circuits.get(circuit)
    from pybreaker import CircuitBreaker

    if not isinstance(circuit, CircuitBreaker):
        raise TypeError(f"a circuit is a pybreaker.CircuitBreaker or a name, not {circuit!r}")
    return circuit


def _permits(value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError(f"half_open_permits must be an int, not {value!r}")
    if value < 1:
        raise ValueError(f"half_open_permits must be at least 1, not {value}")
    return value


def _seconds(name: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        words = "'first_item', 'completion' or " if name == "healthy_after" else ""
        raise TypeError(f"{name} must be {words}a number of seconds, not {value!r}")
    if not 0 < value < inf:
        raise ValueError(f"{name} must be a positive number of seconds, not {value}")
    return float(value)
