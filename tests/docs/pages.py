"""The code blocks of a page of Markdown."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]
PAGES: Final = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]

_FENCE = re.compile(
    r"^(?P<margin> *)```(?P<language>[\w-]+)(?: title=\"(?P<title>[\w./-]+)\")?\n(?P<code>.*?)^(?P=margin)```$",
    re.DOTALL | re.MULTILINE,
)


@dataclass(frozen=True)
class Block:
    """A fenced block: `title` is the file that it is, `continues` says that the block before is part of its program."""

    page: Path
    line: int
    language: str
    title: str | None
    code: str
    continues: bool

    @property
    def place(self) -> str:
        """Where it stands, for messages."""
        return f"{self.page.relative_to(ROOT)}:{self.line}"


def blocks(page: Path) -> Iterator[Block]:
    """The blocks of a page in order. A fence that is none of the forms that are known is an error."""
    text = page.read_text("utf-8")
    found = list(_FENCE.finditer(text))
    fences = re.findall(r"^ *(?:```|~~~).*$", text, re.MULTILINE)
    assert len(fences) == 2 * len(found), f"{page.name}: a block without a language, or a fence that nobody closes"
    for match in found:
        before = text[: match.start()].rstrip().rpartition("\n")[2].strip()
        yield Block(
            page,
            text.count("\n", 0, match.start()) + 2,
            match["language"],
            match["title"],
            textwrap.dedent(match["code"]),
            before == "<!-- continues -->",
        )
