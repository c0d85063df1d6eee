"""What can end a response before its stream does. Below `RxStreamError`, as all errors of ours."""

from rxstream.errors import RxStreamError

__all__ = ["StreamCutOff"]


class StreamCutOff(RxStreamError):
    """A response was cut off, so that its client sees a failure; the message says by what.

    A client that stalled, a server that stopped, a stream that is not as long as was announced.
    """
