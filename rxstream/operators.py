"""Every operator, under one name: `from rxstream import operators`. Each is defined in the room of its concern."""

from rxstream.buffering import with_buffer
from rxstream.concurrency import map_async
from rxstream.encoding import encode_csv, encode_json_array, encode_ndjson, encode_sse

__all__ = ["encode_csv", "encode_json_array", "encode_ndjson", "encode_sse", "map_async", "with_buffer"]
