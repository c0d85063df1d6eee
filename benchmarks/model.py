"""The words of the benchmarks: contenders, rows of the table, how large a run is, what one measurement gives."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

Sample = dict[str, float]


@dataclass(frozen=True)
class Scale:
    """How much work each contender gets."""

    items: int = 500_000
    rows: int = 200_000
    clients: int = 500
    events: int = 200
    idle_clients: int = 1_000
    few: int = 100_000
    many: int = 10_000_000
    upload: int = 256 << 20
    fields: int = 10_000


FULL = Scale()
QUICK = Scale(
    items=50_000,
    rows=20_000,
    clients=50,
    events=200,
    idle_clients=200,
    few=10_000,
    many=1_000_000,
    upload=32 << 20,
    fields=1_000,
)


@dataclass(frozen=True)
class Contender:
    """One way to do the work: a name, and a function that does it once in fresh processes.

    `max_rounds` bounds the rounds of what is slow and hardly varies (memory).
    """

    name: str
    run: Callable[[Scale], Sample]
    max_rounds: int = 100


@dataclass(frozen=True)
class Row:
    """One line of the table: two contenders and the figure that has to hold between them.

    A `"speedup"` is the peer's median over ours, at least `target`. An `"excess"` is our median less the peer's, at
    most `target`. Without a target the line is for information.
    """

    name: str
    work: str
    ours: str
    peer: str
    target: float | None
    metric: str = "seconds"
    unit: str = "s"
    kind: Literal["speedup", "excess"] = "speedup"


@dataclass(frozen=True)
class Group:
    """Contenders that run interleaved with each other, and the rows that compare them."""

    contenders: tuple[Contender, ...]
    rows: tuple[Row, ...]
