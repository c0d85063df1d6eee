"""Files of samples on their way in: upload, decoder, validation, batches, archive; and how far each one is."""

from __future__ import annotations

import asyncio
import re
import sqlite3
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Literal
from uuid import uuid4

from quart import Request

from quart_adapter import MultipartLimits, Part, UploadAborted, UploadError, from_multipart
from rxstream import DecodeError, Progress, to_async_iterable
from rxstream.operators import with_progress

from .archive import Archive, History, NewHistory
from .formats import SUFFIXES, decoder_for

MIB = 1024 * 1024
BATCH = {"capacity": 1024}  # rows that wait for SQLite, which takes all that are there at once
AT_ONCE = 2
HISTORIES = 50
REMEMBERED = 20
REPORT_EVERY = 0.2  # seconds

State = Literal["running", "done", "failed"]


@dataclass(slots=True)
class Import:
    """One import, as the page shows it. `bytes` are those of the request, whose number is `size` where it is known."""

    id: str
    name: str
    size: int | None
    bytes: int = 0
    eta: float | None = None
    samples: int = 0
    state: State = "running"
    error: str | None = None
    history: str | None = None
    started: float = field(default_factory=time.monotonic)
    seconds: float = 0.0


class Imports:
    """Takes uploads in, a bounded number at a time.

    Args:
        archive: Where they go.
        max_size: Bytes of a file.
        report: Is called with an import when there is news of it, some times a second at most, and at its end.
    """

    def __init__(self, archive: Archive, *, max_size: int, report: Callable[[Import], object]) -> None:
        self._archive = archive
        self._max_size = max_size
        self._report = report
        self.recent: OrderedDict[str, Import] = OrderedDict()

    async def take(self, request: Request) -> History:
        """Imports the one file of a form, all of it or nothing.

        Raises:
            UploadError: The file, or the form, is not what can be imported; the message says where.
        """
        with self._reported(request) as job:
            await self._check_room()
            # The form is no larger than a file and a few fields; where that limit lies is for this route to say.
            request.max_content_length = self._max_size + MIB
            form = from_multipart(request, max_size=self._max_size, limits=MultipartLimits(parts=10))
            async with self._archive.add() as history, to_async_iterable(form, "import") as parts:
                async for part in parts:
                    if part.is_file:
                        if history.samples:
                            raise UploadError(422, "several_files", "one file at a time, please: the form has several")
                        job.name = part.filename or job.name
                        await self._fill(history, part, job)
                if not history.samples:
                    raise UploadError(422, "no_samples", "there is no sample in it")
                # Here the end of the form has been seen: what was cut off never comes so far.
                done = await history.commit(job.name)
            job.history = done.id
            return done

    async def _fill(self, history: NewHistory, part: Part, job: Import) -> None:
        """Decodes a file and appends its samples, as many at once as are there; SQLite's pace is felt by the client."""
        decode = decoder_for(part.filename or "")
        if decode is None:
            raise UploadError(415, "unknown_format", f"the name of the file must end with {', '.join(SUFFIXES)}")
        loop = asyncio.get_running_loop()

        def report(progress: Progress) -> None:  # on a thread
            with suppress(RuntimeError):  # the server has stopped
                loop.call_soon_threadsafe(self._progressed, job, progress)

        counted = with_progress("import", total=job.size, unit="bytes", every=REPORT_EVERY, on_progress=report)
        try:
            async with to_async_iterable(part.stream.pipe(counted, decode), BATCH) as rows:
                async for batch in rows.batches():
                    await history.append(batch)
                    job.samples = history.samples
        except DecodeError as error:
            raise UploadError(422, "bad_sample", str(error)) from error
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_FULL:
                raise
            raise UploadError(507, "disk_full", "there is no room left on the disk for it") from error

    async def _check_room(self) -> None:
        if sum(job.state == "running" for job in self.recent.values()) > AT_ONCE:
            raise UploadError(503, "busy", f"{AT_ONCE} imports are running; wait until one is through")
        if len(await self._archive.all()) >= HISTORIES:
            raise UploadError(409, "archive_full", f"there are {HISTORIES} imported histories; remove one first")

    @contextmanager
    def _reported(self, request: Request) -> Iterator[Import]:
        """Whatever becomes of an import, those who watch it are told."""
        job = Import(_job_id(request), "an upload", request.content_length)
        if job.id in self.recent:
            raise UploadError(409, "job_taken", "there is an import of that id already")
        self.recent[job.id] = job
        self._tell(job)
        try:
            yield job
            job.state = "done"
            job.bytes = job.size or job.bytes
        except BaseException as error:
            job.state, job.error = "failed", _reason(error)
            raise
        finally:
            self._tell(job)
            over = [known.id for known in self.recent.values() if known.state != "running"]
            for id in over[:-REMEMBERED]:
                del self.recent[id]

    def _progressed(self, job: Import, progress: Progress) -> None:
        if job.state == "running":  # a report may be on its way for a moment
            job.bytes, job.eta = progress.bytes, progress.eta
            self._tell(job)

    def _tell(self, job: Import) -> None:
        job.seconds = time.monotonic() - job.started
        self._report(job)


def _job_id(request: Request) -> str:
    """The id that the client chose, so that it can watch its own import; or one that nobody waits for."""
    chosen = request.args.get("job", "")
    return chosen if re.fullmatch(r"[0-9a-f-]{8,36}", chosen) else uuid4().hex


def _reason(error: BaseException) -> str:
    if isinstance(error, UploadAborted) or not isinstance(error, Exception):
        return "the upload was cut off"
    return error.message if isinstance(error, UploadError) else "the monitor could not take it in; its log says why"
