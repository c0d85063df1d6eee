"""Our contender with metrics on: the same routes, counted as the docs say."""

from __future__ import annotations

from benchmarks.apps.ours import make_app
from rxstream import StreamMetrics

app = make_app(StreamMetrics())
