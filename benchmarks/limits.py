"""The one limit of the system that the benchmarks raise: open files, one for each SSE client."""

from __future__ import annotations

import resource


def raise_file_limit() -> None:
    """Raise this process's soft limit of open files to its hard limit; children inherit it."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
