"""pydantic models in JSON: their own text, with what pydantic loses found and refused.

A model decides by itself how it is written (serializers, secrets, aliases). As msgspec does, it writes NaN as null,
two keys with one text, and rounded UTC offsets; so here, too, the text is searched for the signs of that, and only a
model that shows one is looked at value by value.
"""

from __future__ import annotations

import re
from typing import Any

import msgspec

from rxstream.formats.base import Refused
from rxstream.formats.json_check import find_fault

__all__ = ["model_json"]

_SIGNS = re.compile(r'null|NaN|Infinity|\+|-\d\d:\d\d"')


def model_json(model: Any, *, nan: bool) -> Any:
    """Give what stands for a model: its JSON, encoded already.

    Args:
        model: A `pydantic.BaseModel`.
        nan: Refuse NaN and Infinity, unless the model's `ser_json_inf_nan` says "strings" or "null".

    Raises:
        Refused: The text is not what the model says.
    """
    text = model.model_dump_json()
    own = 0 if getattr(model, "__pydantic_root_model__", False) else 1  # any further object may be a mapping
    if text.count("{") <= own and _SIGNS.search(text) is None:
        return msgspec.Raw(text)
    chosen = model.model_config.get("ser_json_inf_nan")
    fault = find_fault(model.model_dump(), nan=nan and chosen not in ("strings", "null"))
    if fault is not None:
        raise Refused(fault)
    if chosen == "constants":  # words that are no JSON; as numbers they become null
        return model.model_dump(mode="json")
    return msgspec.Raw(text)
