"""What the metrics of one stream are at a moment: for the tests that count."""

from __future__ import annotations

from prometheus_client import CollectorRegistry


class Samples:
    """A registry, and the figures of one stream in it."""

    def __init__(self, **labels: str) -> None:
        self.registry = CollectorRegistry()
        self.labels = labels

    def __call__(self, name: str, **more: str) -> float | None:
        """A sample, as it is now."""
        return self.registry.get_sample_value(name, {**self.labels, **more})

    def outcomes(self) -> dict[str, float]:
        """How often streams ended in which way."""
        return {
            outcome: count
            for outcome in ("completed", "empty", "error", "cancelled")
            if (count := self("stream_duration_seconds_count", outcome=outcome))
        }
