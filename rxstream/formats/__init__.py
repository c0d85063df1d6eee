"""Formats: how items become bytes. Encoders only frame and encode; they know neither Rx nor I/O."""

from rxstream.formats.base import Encoder, Serialize
from rxstream.formats.csv import CSVEncoder
from rxstream.formats.json_array import JSONArrayEncoder
from rxstream.formats.ndjson import NDJSONEncoder
from rxstream.formats.sse import ServerSentEvent, SSEEncoder

__all__ = [
    "CSVEncoder",
    "Encoder",
    "JSONArrayEncoder",
    "NDJSONEncoder",
    "SSEEncoder",
    "Serialize",
    "ServerSentEvent",
]
