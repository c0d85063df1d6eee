"""Observables as streamed Quart responses."""

from quart_adapter.errors import StreamCutOff
from quart_adapter.extension import RxStream
from quart_adapter.headers import content_disposition, last_event_id
from quart_adapter.responses import download, export, response, sse

__all__ = ["RxStream", "StreamCutOff", "content_disposition", "download", "export", "last_event_id", "response", "sse"]
