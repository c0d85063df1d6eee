"""Lets the site show the `Example:` of a docstring as code. mkdocs.yml names this file to Griffe, its reader.

Griffe knows the section `Examples:` alone; any other title is a box of prose to it, in which `>>>` is a quotation.
"""

from __future__ import annotations

import re
import textwrap
from typing import Any

import griffe

# The title, and all that stands deeper than it.
_EXAMPLE = re.compile(r"^(?P<margin> *)Example:\n(?P<code>(?:(?P=margin) +\S.*\n?|[ ]*\n)+)", re.MULTILINE)


class Examples(griffe.Extension):
    """Renames the section, and fences what has no prompts."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        """Called with each module, class, function and attribute that was read."""
        if obj.docstring is not None:
            obj.docstring.value = _EXAMPLE.sub(_section, obj.docstring.value)


def _section(found: re.Match[str]) -> str:
    code = textwrap.dedent(found["code"]).strip("\n")
    if not code.startswith(">>>"):
        code = f"```python\n{code}\n```"
    return textwrap.indent(f"Examples:\n{textwrap.indent(code, '    ')}\n", found["margin"])
