"""Every error of the adapter. All are below `RxStreamError`; those of uploads are responses as well.

RxStreamError
├── StreamCutOff         a response ended before its stream did
└── UploadError          a request body cannot be used      .status .code; answers the request by itself
    └── UploadAborted    the client went before it had sent all of it
"""

from __future__ import annotations

import json
import sys
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from werkzeug.exceptions import HTTPException, ServiceUnavailable
from werkzeug.wrappers import Response

from rxstream.errors import RxStreamError

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

__all__ = ["StreamCutOff", "UploadAborted", "UploadError", "as_response"]


class StreamCutOff(RxStreamError):
    """A response was cut off, so that its client sees a failure; the message says by what.

    A client that stalled, a server that stopped, a stream that is not as long as was announced.
    """


class UploadError(RxStreamError, HTTPException):
    """A request body that cannot be used. Raised in a handler it is the response, with a JSON body.

    `{"error": "file_too_large", "message": "the part 'photo' is larger than 16777216 bytes"}`; the message never
    quotes what the client sent, but for names of parts.

    Args:
        status: The HTTP status.
        code: A word for programs. It takes the place of werkzeug's number of that name, which is `status` here: handle
            these errors with `@app.errorhandler(UploadError)`, not by number.
        message: A sentence for people.

    Example:
        >>> UploadError(413, "file_too_large", "the file is too large").status
        413
    """

    code: str  # type: ignore[assignment]  # the class has werkzeug's None: Quart finds handlers by the class's number
    status: int
    message: str

    def __init__(self, status: int, code: str, message: str) -> None:
        HTTPException.__init__(self, message)
        self.args = (status, code, message)
        self.status = status
        self.code = code
        self.message = message

    @property
    def name(self) -> str:
        """The words of the status."""
        return HTTPStatus(self.status).phrase

    def __str__(self) -> str:
        return f"{self.status} {self.code}: {self.message}"

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(map(repr, self.args))})"

    def get_body(self, environ: WSGIEnvironment | None = None, scope: dict[str, Any] | None = None) -> str:
        """The response's body: JSON."""
        return json.dumps({"error": self.code, "message": self.message})

    def get_headers(
        self, environ: WSGIEnvironment | None = None, scope: dict[str, Any] | None = None
    ) -> list[tuple[str, str]]:
        """The response's headers. The length is among them: a client that still sends then knows the whole answer."""
        return [("Content-Type", "application/json"), ("Content-Length", str(len(self.get_body(environ, scope))))]

    def get_response(self, environ: Any = None, scope: Any = None) -> Response:
        """The response."""
        return Response(self.get_body(environ, scope), self.status, self.get_headers(environ, scope))


class UploadAborted(UploadError):
    """The client closed the connection, or reset the stream, before it had sent the whole body.

    Nobody is left to read the response; what matters is that the upload does not look complete.
    """

    def __init__(self) -> None:
        super().__init__(400, "upload_aborted", "the client went before it had sent the whole body")
        self.args = ()


def as_response(error: Exception) -> Exception:
    """What a handler raises for a stream that failed before its first byte: an open circuit is a 503."""
    pybreaker = sys.modules.get("pybreaker")  # who has not imported it cannot have met an open circuit
    if pybreaker is not None and isinstance(error, pybreaker.CircuitBreakerError):
        unavailable = ServiceUnavailable(retry_after=getattr(error, "retry_after", None))
        unavailable.__cause__ = error
        return unavailable
    return error
