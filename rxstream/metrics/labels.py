"""What may be a label's value: words from code, and few of them.

Each new value of a label is a new time series in whatever stores the metrics, for good. So names are checked to look
like constants.
"""

from __future__ import annotations

import re
from typing import Final

__all__ = ["check_name", "is_name"]

_NAME: Final = re.compile(r"[A-Za-z_][\w.:/-]{0,79}", re.ASCII)


def is_name(value: object) -> bool:
    """Whether a value looks like a constant: up to 80 letters, digits and `_.:/-`, a letter or `_` first."""
    return isinstance(value, str) and _NAME.fullmatch(value) is not None


def check_name(value: str) -> str:
    """Checks the name of a stream or a circuit.

    Raises:
        TypeError: It is no str.
        ValueError: It does not look like a constant of the code.
    """
    if not isinstance(value, str):
        raise TypeError(f"name must be a str, not {value!r}")
    if not is_name(value):
        raise ValueError(
            "name must be a constant of your code, such as 'prices': up to 80 letters, digits and _.:/- with a letter "
            f"or _ first, not {value[:100]!r}. Never make it of what a user sent: each name is a time series for good"
        )
    return value
