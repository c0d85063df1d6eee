"""Every operator, under one name: `from rxstream import operators`. Each is defined in the room of its concern."""

from rxstream.buffering import with_buffer
from rxstream.circuit import with_circuit
from rxstream.concurrency import map_async
from rxstream.decoding import decode_csv, decode_json_array, decode_ndjson, decode_sse
from rxstream.encoding import encode_csv, encode_json_array, encode_ndjson, encode_sse
from rxstream.metrics import with_metrics
from rxstream.progress import with_progress

__all__ = [
    "decode_csv",
    "decode_json_array",
    "decode_ndjson",
    "decode_sse",
    "encode_csv",
    "encode_json_array",
    "encode_ndjson",
    "encode_sse",
    "map_async",
    "with_buffer",
    "with_circuit",
    "with_metrics",
    "with_progress",
]
