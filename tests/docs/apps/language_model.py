"""Plays a language model behind `/v1/chat/completions`: it can count, and it fails when asked to."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator

from quart import Quart, Response, request

app = Quart(__name__)


@app.post("/v1/chat/completions")
async def completions() -> Response:
    """Counts to the last word of the question, a token each; `Fail at 3` fails after two."""
    *verb, last = (await request.get_json())["messages"][-1]["content"].split()
    fails = verb[0] == "Fail"

    async def events() -> AsyncIterator[bytes]:
        yield _event({"role": "assistant"})
        for number in range(1, int(last) + 1 - fails):
            yield _event({"content": f" {number}" if number > 1 else "1"})
        if fails:
            raise RuntimeError("the model fails, as asked")
        yield _event({})
        yield b"data: [DONE]\n\n"

    return Response(events(), content_type="text/event-stream")


def _event(delta: dict[str, str]) -> bytes:
    return b"data: " + json.dumps({"choices": [{"index": 0, "delta": delta}]}).encode() + b"\n\n"
