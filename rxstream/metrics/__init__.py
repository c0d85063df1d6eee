"""Metrics of streams: how many, how much, how fast, and what went wrong.

labels, catalog, backend    what there is to count, and where it goes; no stream, no library for metrics
probe                       what one stream writes to
recorder                    what brings it to the backend
prometheus                  the backend that we bring along, imported when it is used
stream_metrics, operator    what users call
"""

from rxstream.metrics.backend import MetricsBackend
from rxstream.metrics.catalog import METRICS, Metric
from rxstream.metrics.operator import with_metrics
from rxstream.metrics.probe import StreamProbe
from rxstream.metrics.stream_metrics import StreamMetrics

__all__ = ["METRICS", "Metric", "MetricsBackend", "StreamMetrics", "StreamProbe", "with_metrics"]
