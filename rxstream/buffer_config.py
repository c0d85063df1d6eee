"""What may be asked of a buffer: a capacity and a strategy, by name or by parts. Settings only, checked when built."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any, Final, Literal, TypeAlias, get_args

__all__ = ["BUFFER_PRESETS", "MAX_CAPACITY", "BufferConfig", "BufferLike", "Strategy", "resolve_buffer"]

Strategy: TypeAlias = Literal["sliding", "dropping", "suspend"]

MAX_CAPACITY: Final = 1_000_000
"""The largest capacity that may be asked for: a buffer is a bound, and a bound that is never met is none."""


@dataclass(frozen=True, slots=True)
class BufferConfig:
    """How many items a boundary keeps, and what becomes of an item that finds it full.

    Args:
        capacity: Items, from 1 to `MAX_CAPACITY`.
        strategy: `"sliding"` drops the oldest item, `"dropping"` drops the incoming one, `"suspend"` makes the
            source wait and drops nothing.

    Raises:
        TypeError: The capacity is no `int` (a `bool` is none), or the strategy no `str`.
        ValueError: The capacity is out of range, or the strategy unknown.

    Example:
        >>> BufferConfig(3, "sliding")
        BufferConfig(capacity=3, strategy='sliding')
    """

    capacity: int
    strategy: Strategy

    def __post_init__(self) -> None:
        if not isinstance(self.capacity, int) or isinstance(self.capacity, bool):
            raise TypeError(f"capacity must be an int, not {self.capacity!r}")
        if not 1 <= self.capacity <= MAX_CAPACITY:
            raise ValueError(f"capacity must be from 1 to {MAX_CAPACITY}, not {self.capacity}")
        if not isinstance(self.strategy, str):
            raise TypeError(f"strategy must be a str, not {self.strategy!r}")
        if self.strategy not in get_args(Strategy):
            raise ValueError(f"strategy must be one of {', '.join(get_args(Strategy))}, not {self.strategy!r}")


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
        TypeError: It is none of these, or a mapping with a key that is not `capacity` or `strategy`.
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
        if unknown := set(buffer) - {"capacity", "strategy"}:
            raise TypeError(f"a buffer has a capacity and a strategy, not {', '.join(sorted(map(repr, unknown)))}")
        return replace(BUFFER_PRESETS[default], **buffer)
    raise TypeError(f"a buffer is a preset's name, a BufferConfig or a mapping, not {buffer!r}")
