"""Observables as streamed Quart responses, and request bodies as Observables."""

from quart_adapter.errors import StreamCutOff, UploadAborted, UploadError
from quart_adapter.extension import RxStream
from quart_adapter.headers import content_disposition, last_event_id
from quart_adapter.info import StreamInfo
from quart_adapter.limits import BodyLimits, MultipartLimits
from quart_adapter.multipart import Part, from_multipart
from quart_adapter.requests import from_request
from quart_adapter.responses import download, export, response, sse, sse_tracked

__all__ = [
    "BodyLimits",
    "MultipartLimits",
    "Part",
    "RxStream",
    "StreamCutOff",
    "StreamInfo",
    "UploadAborted",
    "UploadError",
    "content_disposition",
    "download",
    "export",
    "from_multipart",
    "from_request",
    "last_event_id",
    "response",
    "sse",
    "sse_tracked",
]
