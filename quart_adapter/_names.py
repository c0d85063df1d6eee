"""Names of files that may come from anybody, made safe to write to a disk and to put into a header."""

from __future__ import annotations

import re
import unicodedata

__all__ = ["FALLBACK_NAME", "safe_name"]

FALLBACK_NAME = "download"
"""What a file is called when nothing usable is left of the name given."""

# File systems allow 255 bytes; browsers add " (1)", ".crdownload" and the like.
_MAX_NAME_BYTES = 200
_MAX_SUFFIX_BYTES = 24
# Separators, and what Windows refuses. ":" is a drive letter, or a second stream of a file on NTFS.
_RESERVED_CHARACTERS = re.compile(r'[/\\:*?"<>|]')
_RESERVED_NAME = re.compile(
    r"(?:con|prn|aux|nul|conin\$|conout\$|clock\$|(?:com|lpt)[0-9\u00b9\u00b2\u00b3]) *(?:\.|$)", re.IGNORECASE
)
_JOINERS = "\u200c\u200d"  # of category Cf, but letters of Persian and of emoji need them


def safe_name(name: str, fallback: str = FALLBACK_NAME) -> str:
    """A name that is one file name on every system, and can be shown; `fallback` if nothing is left of it."""
    name = "".join(map(_safe_character, name)).lstrip("./\\ ")  # the start of a path says nothing
    name = _cut(_strip(_RESERVED_CHARACTERS.sub("_", name)))
    stem, dot, suffix = name.rpartition(".")
    if not dot:
        stem, suffix = suffix, ""
    if not _strip(stem.replace("_", "")):
        suffix = suffix if suffix.strip("_") else ""
        name = f"{fallback}.{suffix}" if suffix else fallback
    return f"_{name}" if _RESERVED_NAME.match(name) else name


def _safe_character(character: str) -> str:
    category = unicodedata.category(character)
    if category == "Cf" and character not in _JOINERS:
        return ""
    if category in ("Zl", "Zp"):
        return " "
    return "_" if category in ("Cc", "Cs") else character


def _strip(name: str) -> str:
    return re.sub(r"^[\s.]+|[\s.]+$", "", name)


def _cut(name: str) -> str:
    if len(name.encode()) <= _MAX_NAME_BYTES:
        return name
    stem, dot, suffix = name.rpartition(".")
    if not dot or len(suffix.encode()) > _MAX_SUFFIX_BYTES:
        return _strip(_first_bytes(name, _MAX_NAME_BYTES))
    room = _MAX_NAME_BYTES - len(suffix.encode()) - 1
    return f"{_strip(_first_bytes(stem, room))}.{suffix}"


def _first_bytes(text: str, limit: int) -> str:
    return text.encode()[:limit].decode(errors="ignore")
