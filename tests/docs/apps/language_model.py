"""Plays a language model behind `/v1/chat/completions`: it can count, and it fails when asked to."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator

from quart import Quart, Response, request

app = Quart(__name__)
answering = 0


@app.post("/v1/chat/completions")
async def completions() -> Response:
    """Counts to the last word of the question, a token each; `Fail at 3` fails after two."""
    *verb, last = (await request.get_json())["messages"][-1]["content"].split()
    fails = verb[0] == "Fail"

    async def events() -> AsyncIterator[bytes]:
        global answering
        answering += 1
        try:
            yield _event({"role": "assistant"})
            for number in range(1, int(last) + 1 - fails):
                yield _event({"content": f" {number}" if number > 1 else "1"})
                if number % 10 == 0:
                    await asyncio.sleep(0)
            if fails:
                raise RuntimeError("the model fails, as asked")
            yield _event({})
            yield b"data: [DONE]\n\n"
        finally:
            answering -= 1

    return Response(events(), content_type="text/event-stream")


@app.get("/answering")
async def how_many() -> dict[str, int]:
    """The answers that are under way."""
    return {"answers": answering}


def _event(delta: dict[str, str]) -> bytes:
    return b"data: " + json.dumps({"choices": [{"index": 0, "delta": delta}]}).encode() + b"\n\n"
