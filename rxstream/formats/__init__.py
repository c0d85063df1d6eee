"""Formats: how items become bytes, and bytes items. Encoders and decoders know neither Rx nor I/O."""

from rxstream.formats.base import Encoder, Serialize
from rxstream.formats.csv import CSVEncoder
from rxstream.formats.csv_decoder import CSVDecoder
from rxstream.formats.decoder import Decoder
from rxstream.formats.json_array import JSONArrayEncoder
from rxstream.formats.json_array_decoder import JSONArrayDecoder
from rxstream.formats.ndjson import NDJSONEncoder
from rxstream.formats.ndjson_decoder import NDJSONDecoder
from rxstream.formats.sse import ServerSentEvent, SSEEncoder
from rxstream.formats.sse_decoder import ReceivedEvent, SSEDecoder

__all__ = [
    "CSVDecoder",
    "CSVEncoder",
    "Decoder",
    "Encoder",
    "JSONArrayDecoder",
    "JSONArrayEncoder",
    "NDJSONDecoder",
    "NDJSONEncoder",
    "ReceivedEvent",
    "SSEDecoder",
    "SSEEncoder",
    "Serialize",
    "ServerSentEvent",
]
