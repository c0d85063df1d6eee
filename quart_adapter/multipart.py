"""Forms with files as streams: the parts of a multipart/form-data body, one after the other, as they are used."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterable
from typing import Final

from quart import Request
from reactivex import Observable, abc
from reactivex.disposable import CompositeDisposable, Disposable

from quart_adapter._form import Form, body_too_large
from quart_adapter._form_parser import FormParser, find_boundary
from quart_adapter._media import AllowedTypes, load_sniffer
from quart_adapter._parts import MIB, Part
from quart_adapter.limits import MultipartLimits, whole_number
from quart_adapter.measure import MetricsLike, counted, upload_probe
from rxstream.async_boundary import AsyncBoundary
from rxstream.boundary import Source
from rxstream.demand import DemandScheduler
from rxstream.errors import RxStreamError
from rxstream.sources import from_async_iterable

__all__ = ["Part", "from_multipart"]

TOGETHER: Final = 32
"""Small fields that are handed on before their consumer comes back: a wait for it costs more than to read a field."""


def from_multipart(
    request: Request,
    *,
    max_size: int = 16 * MIB,
    allowed_types: Iterable[str] | None = None,
    sniff: bool = False,
    limits: MultipartLimits | None = None,
    name: str | None = None,
    metrics: MetricsLike = "default",
) -> Observable[Part]:
    """The parts of a form with files, in the order in which they were sent, each as a stream of its own.

    Args:
        request: The request of the handler. Its app has an `RxStream`, or Quart keeps what is not read yet.
        max_size: Bytes of each file. `MAX_CONTENT_LENGTH`, 16 MiB in Quart's defaults, is above it: raise it for one
            route by setting `request.max_content_length`.
        allowed_types: The types that files may declare: exact ones, or `image/*`, which leaves SVG out. None: any.
        sniff: Also compare the content with the declared type, by its first 8 KiB. It finds a mistake and a clumsy
            lie. It does not prove that a file is harmless, nor whole, nor that nothing follows its first bytes.
        limits: The other limits, such as the number of parts.
        name: What the upload is called in metrics: a constant of your code. Default: the route's endpoint.
        metrics: Where it is counted; None: nowhere. Default: where `RxStream(app, metrics=...)` says.

    Raises:
        TypeError, ValueError: An argument is wrong.
        RuntimeError: `sniff` without the library that it needs, the extra `[sniff]`.

    A part is to be read before the next one can come. One that a consumer has not begun to read when it comes back for
    more, or that an operator has left out, is skipped; to read it later is an error. So: `flat_map(lambda part:
    part.stream)`, or `async for` and `for_each` with one call at a time. With `max_concurrent` above one, only what a
    call begins to read before its first await is there. Parts are always read one after the other: whoever needs two
    at once, as `zip` does, waits for ever.

    Fails with an `UploadError`, see there; `UploadAborted` when the client goes. A part that is open then fails with
    it, too. On dispose no further part is read; the one received last may still be.
    Follows RFC 7578; `filename*` and transfer encodings are not decoded, as browsers send neither.

    Example:
        >>> @app.post("/photos")
        ... async def photos():
        ...     async for part in to_async_iterable(from_multipart(request, allowed_types=["image/*"]), "import"):
        ...         if part.is_file:
        ...             await part.save(folder / f"{uuid4()}.jpg")
        ...     return "", 204
    """
    whole_number("max_size", max_size)
    limits = limits or MultipartLimits()
    if not isinstance(limits, MultipartLimits):
        raise TypeError(f"limits must be MultipartLimits, not {limits!r}")
    total = limits.total or max_size + MIB
    allowed = None if allowed_types is None else AllowedTypes(allowed_types)
    fits = load_sniffer() if sniff else None
    body, length, content_types = request.body, request.content_length, request.headers.getlist("Content-Type")
    probe = upload_probe(metrics, name, "multipart", request)
    taken = False

    def open_form() -> Form:
        nonlocal taken
        if taken:
            raise RxStreamError("the body of a request can be read once: share the parts, as with operators.share()")
        taken = True
        boundary = find_boundary(content_types)
        if length is not None and length > total:
            raise body_too_large(total)
        parser = FormParser(boundary, limits, max_size)
        return Form(body, parser, limits.field, max_size, total, allowed, fits, probe)

    def subscribe(observer: abc.ObserverBase[Part], scheduler: abc.SchedulerBase | None = None) -> abc.DisposableBase:
        left = Disposable()
        demand = scheduler if isinstance(scheduler, DemandScheduler) and scheduler.loop is not None else None
        parts = _parts(open_form, demand, left, TOGETHER if _pulls(observer, demand) else 1)
        source = from_async_iterable(parts) if probe is None else counted(parts, probe)
        return CompositeDisposable(left, source.subscribe(observer, scheduler=scheduler))

    return Source(subscribe)


def _pulls(observer: abc.ObserverBase[Part], demand: DemandScheduler | None) -> bool:
    """Whether the parts go to nobody but a consumer that asks for each when it is done with the one before.

    Operators must not get two parts at once: `concat_map` would let the second wait while it is skipped.
    """
    return isinstance(observer, AsyncBoundary) and demand is not None and demand.blocks and demand.below is None


async def _parts(
    open_form: Callable[[], Form], demand: DemandScheduler | None, left: Disposable, most: int
) -> AsyncGenerator[Part, None]:
    form = open_form()
    while parts := await form.next_parts(most):
        for part in parts:
            yield part
        if not all(part.claimed for part in parts) and not left.is_disposed:
            if demand is not None:
                await demand.consumed()
            if not all(part.claimed for part in parts):
                await asyncio.sleep(0)  # for a consumer that has started a task, which begins to read at once
        if left.is_disposed:
            return  # with the part in hand, perhaps
        for part in parts:
            await part.pass_by()
