"""What may be asked of a buffer: capacity, strategy, age; by name or by parts. Settings only, checked when built."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import inf
from types import MappingProxyType
from typing import Any, Final, Literal, TypeAlias, get_args

__all__ = ["BUFFER_PRESETS", "MAX_CAPACITY", "BufferConfig", "BufferLike", "Strategy", "resolve_buffer"]

Strategy: TypeAlias = Literal["sliding", "dropping", "suspend"]

MAX_CAPACITY: Final = 1_000_000
"""The largest capacity that may be asked for: a buffer is a bound, and a bound that is never met is none."""


@dataclass(frozen=True, slots=True)
class BufferConfig:
    """How many items a boundary keeps, for how long, and what becomes of an item that finds it full.

    Args:
        capacity: Items, from 1 to `MAX_CAPACITY`.
        strategy: `"sliding"` drops the oldest item, `"dropping"` drops the incoming one, `"suspend"` makes the
            source wait and drops nothing.
        max_age: Seconds that an item may wait here, with `"sliding"` only: one that has waited for longer when the
            consumer comes for it is dropped as well. None: for as long as nothing newer takes its place.

    Raises:
        TypeError: The capacity is no `int` (a `bool` is none), the strategy no `str`, or the age no number.
        ValueError: The capacity or the age is out of range, the strategy unknown, or none that may have an age.

    Example:
        >>> BufferConfig(3, "sliding", max_age=2.5)
        BufferConfig(capacity=3, strategy='sliding', max_age=2.5)
    """

    capacity: int
    strategy: Strategy
    max_age: float | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.capacity, int) or isinstance(self.capacity, bool):
            raise TypeError(f"capacity must be an int, not {self.capacity!r}")
        if not 1 <= self.capacity <= MAX_CAPACITY:
            raise ValueError(f"capacity must be from 1 to {MAX_CAPACITY}, not {self.capacity}")
        if not isinstance(self.strategy, str):
            raise TypeError(f"strategy must be a str, not {self.strategy!r}")
        if self.strategy not in get_args(Strategy):
            raise ValueError(f"strategy must be one of {', '.join(get_args(Strategy))}, not {self.strategy!r}")
        if self.max_age is not None:
            self._check_age(self.max_age)

    def _check_age(self, max_age: float) -> None:
        if not isinstance(max_age, int | float) or isinstance(max_age, bool):
            raise TypeError(f"max_age must be a number of seconds or None, not {max_age!r}")
        if not 0 < max_age < inf:
            raise ValueError(f"max_age must be more than 0 seconds, or None for no limit, not {max_age!r}")
        if self.strategy != "sliding":
            raise ValueError(
                f'max_age drops items that waited for too long, and "{self.strategy}" keeps those that came first: '
                'ask for strategy="sliding" too, or leave max_age out'
            )


BUFFER_PRESETS: Final[Mapping[str, BufferConfig]] = MappingProxyType(
    {
        "sse": BufferConfig(64, "sliding"),
        "download": BufferConfig(256, "suspend"),
        "export": BufferConfig(128, "suspend"),
        "import": BufferConfig(64, "suspend"),
    }
)
"""The buffers that can be asked for by name."""

BufferLike: TypeAlias = str | BufferConfig | Mapping[str, Any]
"""A preset's name, a `BufferConfig`, or a mapping that overrides parts of the preset of the place it is given to."""


def resolve_buffer(buffer: BufferLike | None, default: str) -> BufferConfig:
    """Turns whatever may be given as a buffer into a `BufferConfig`.

    Args:
        buffer: A preset's name, a config, a mapping such as `{"capacity": 8}`, or None for the default.
        default: The preset that a mapping overrides.

    Raises:
        TypeError: It is none of these, or a mapping with a key that is not `capacity`, `strategy` or `max_age`.
        ValueError: No preset has that name, or a part is out of range.
    """
    if buffer is None:
        return BUFFER_PRESETS[default]
    if isinstance(buffer, BufferConfig):
        return buffer
    if isinstance(buffer, str):
        if buffer not in BUFFER_PRESETS:
            raise ValueError(f"no buffer preset {buffer!r}; there are {', '.join(BUFFER_PRESETS)}")
        return BUFFER_PRESETS[buffer]
    if isinstance(buffer, Mapping):
        if unknown := set(buffer) - {"capacity", "strategy", "max_age"}:
            unknowns = ", ".join(sorted(map(repr, unknown)))
            raise TypeError(f"a buffer has a capacity, a strategy and a max_age, not {unknowns}")
        return replace(BUFFER_PRESETS[default], **buffer)
    raise TypeError(f"a buffer is a preset's name, a BufferConfig or a mapping, not {buffer!r}")
