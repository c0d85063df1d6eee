"""An event stream parser that shares nothing with the encoder, written from the WHATWG HTML standard, section 9.2."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pytest


@dataclass(frozen=True)
class Received:
    """What an EventSource dispatches."""

    type: str
    data: str
    last_event_id: str
    retry: int | None


def parse_event_stream(stream: bytes) -> list[Received]:
    """Interpret an event stream, sentence by sentence as the standard has it."""
    text = stream.decode("utf-8")  # strict: what is not UTF-8 fails the test
    if text.startswith("\ufeff"):
        text = text[1:]
    lines, line, position = [], "", 0
    while position < len(text):
        character = text[position]
        position += 1
        if character == "\r" and text[position : position + 1] == "\n":
            position += 1
        if character in "\r\n":
            lines.append(line)
            line = ""
        else:
            line += character
    received = []
    data, event_type, last_id, retry = "", "", "", None
    for line in lines:  # what comes after the last line end is discarded
        if line == "":
            if data != "":
                received.append(Received(event_type or "message", data.removesuffix("\n"), last_id, retry))
            data, event_type = "", ""
            continue
        if line.startswith(":"):
            continue
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if name == "event":
            event_type = value
        elif name == "data":
            data += value + "\n"
        elif name == "id":
            if "\0" not in value:
                last_id = value
        elif name == "retry" and value and all(digit in "0123456789" for digit in value):
            retry = int(value)
    return received


@pytest.fixture(scope="session")
def parse_sse() -> Callable[[bytes], list[Received]]:
    """The parser."""
    return parse_event_stream
