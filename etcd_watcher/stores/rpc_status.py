"""How a call of gRPC ended: by the server's word, by HTTP/2's, or for want of a connection."""

from __future__ import annotations

from enum import IntEnum
from urllib.parse import unquote

from etcd_watcher.stores import http2_frames as h2
from etcd_watcher.stores.http2_session import CANCELLED, Lost, Stream, is_grpc

__all__ = ["RpcError", "StatusCode", "failure_of", "late"]


class StatusCode(IntEnum):
    """How a call ended."""

    OK = 0
    CANCELLED = 1
    UNKNOWN = 2
    INVALID_ARGUMENT = 3
    DEADLINE_EXCEEDED = 4
    NOT_FOUND = 5
    ALREADY_EXISTS = 6
    PERMISSION_DENIED = 7
    RESOURCE_EXHAUSTED = 8
    FAILED_PRECONDITION = 9
    ABORTED = 10
    OUT_OF_RANGE = 11
    UNIMPLEMENTED = 12
    INTERNAL = 13
    UNAVAILABLE = 14
    DATA_LOSS = 15
    UNAUTHENTICATED = 16


DIGITS = 3
"""Of a status, at the most."""

OF_HTTP = {
    400: StatusCode.INTERNAL,
    401: StatusCode.UNAUTHENTICATED,
    403: StatusCode.PERMISSION_DENIED,
    404: StatusCode.UNIMPLEMENTED,
    429: StatusCode.UNAVAILABLE,
    502: StatusCode.UNAVAILABLE,
    503: StatusCode.UNAVAILABLE,
    504: StatusCode.UNAVAILABLE,
}
"""What it means where somebody answers who does not speak gRPC, by the protocol."""

TRY_AGAIN = {408, 425, 429}
"""Below 500, the answers that say nothing of the request but that it may go better another time."""

SERVER_ERRORS = 500
"""Where HTTP's statuses of that kind begin."""

WAYS_OUT = {
    400: "its log says why; maybe it wants a client certificate: cert= and key=",
    401: "what is on the way to etcd wants a login of its own, which we do not have: let gRPC through "
    "without, or with a client certificate",
    403: "what is on the way to etcd does not let us through",
    413: "what is on the way to etcd takes no request as large as this one (nginx: "
    "client_max_body_size)",
    502: "what is on the way has no etcd behind it, or does not speak HTTP/2 with it (nginx: "
    "grpc_pass, HAProxy: proto h2)",
    503: "what is on the way has no etcd behind it",
    504: "what is on the way had no answer from etcd in its time",
}
"""What to do where somebody answers so who does not speak gRPC."""

NAME = 40
"""Characters of what a server calls itself, at the most."""

OF_RESET = {
    h2.REFUSED_STREAM: StatusCode.UNAVAILABLE,
    h2.STREAM_CANCELLED: StatusCode.CANCELLED,
    h2.ENHANCE_YOUR_CALM: StatusCode.RESOURCE_EXHAUSTED,
}
"""What the errors of HTTP/2 mean by which a server ends a call; the others are its own trouble."""


class RpcError(Exception):
    """A call that failed.

    Attributes
    ----------
    code : StatusCode
    details : str
        What the server says, or why nobody was asked.
    sent : bool
        Whether the server may have carried it out.
    lost : bool
        Whether it failed on the way, and not by the word of who was asked: another time it may not.
    page : bool
        Whether it was answered by somebody on the way who does not speak gRPC.
    """

    def __init__(
        self,
        code: StatusCode,
        details: str,
        *,
        sent: bool = True,
        lost: bool = False,
        page: bool = False,
    ) -> None:
        super().__init__(code, details)
        self.code, self.details, self.sent = code, details, sent
        self.lost, self.page = lost, page

    @property
    def by_us(self) -> bool:
        """Whether we have cancelled it ourselves."""
        return self.code is StatusCode.CANCELLED and self.details == CANCELLED

    @property
    def over_a_limit(self) -> bool:
        """Whether it was more than we, or who was asked, take."""
        return self.code is StatusCode.RESOURCE_EXHAUSTED and not self.lost

    def __str__(self) -> str:
        return f"{self.code.name}: {self.details}"


def late() -> RpcError:
    """Give the error of a request whose time was over before it was sent."""
    return RpcError(StatusCode.DEADLINE_EXCEEDED, "no answer in time", sent=False)


def failure_of(stream: Stream) -> RpcError | None:
    """Give why a call has failed that is over; None where it has not."""
    if stream.too_large:
        return RpcError(
            StatusCode.RESOURCE_EXHAUSTED, f"an answer of {stream.too_large:,} bytes is too large"
        )
    if stream.lost is not None:
        return _failure_by(stream.lost)
    headers = stream.headers or {}
    # What is on the way may have put the end of headers that are all of an answer into a frame of data.
    ending = stream.trailers if stream.trailers or stream.has_data else headers
    told = ending.get("grpc-status", b"")
    if told.isdigit():
        code = _code(told)
        if code == StatusCode.OK:
            return None
        known = StatusCode(code) if code in StatusCode._value2member_map_ else StatusCode.UNKNOWN
        return RpcError(known, unquote(ending.get("grpc-message", b"").decode("latin-1")))
    if is_grpc(headers):
        return RpcError(StatusCode.UNKNOWN, "an answer that stops without a status", lost=True)
    return _failure_by_page(headers)


def _failure_by_page(headers: dict[str, bytes]) -> RpcError:
    status = headers.get(":status", b"")
    code = _code(status)
    name = headers.get("server", b"").decode("latin-1")[:NAME]
    by = f" by {name}" if name.isprintable() and name else ""
    details = f"an answer that is not gRPC's (HTTP {status[:DIGITS].decode('latin-1')}{by})"
    if code in WAYS_OUT:
        details += f": {WAYS_OUT[code]}"
    lost = code >= SERVER_ERRORS or code in TRY_AGAIN
    return RpcError(OF_HTTP.get(code, StatusCode.UNKNOWN), details, lost=lost, page=True)


def _code(written: bytes) -> int:
    """Give a number of few digits, and for what is none or has more of them one that means nothing."""
    return int(written) if written.isdigit() and len(written) <= DIGITS else -1


def _failure_by(lost: Lost) -> RpcError:
    if lost.reason == CANCELLED:
        return RpcError(StatusCode.CANCELLED, lost.reason, sent=lost.sent)
    code = StatusCode.UNAVAILABLE
    if lost.code is not None:
        code = OF_RESET.get(lost.code, StatusCode.INTERNAL)
    return RpcError(code, lost.reason, sent=lost.sent, lost=True)
