"""Calls of gRPC, on connections of our own: see `http2`.

What is spoken is https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md: a request of HTTP/2
for each call, messages with their lengths, and a status behind them.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

from etcd_watcher.secret import SecretBytes
from etcd_watcher.stores import http2_frames as h2
from etcd_watcher.stores.http2 import Connection
from etcd_watcher.stores.http2_link import NotConnected, Route
from etcd_watcher.stores.http2_pool import ChannelClosed, Pool
from etcd_watcher.stores.http2_session import MESSAGE_HEAD, Stream
from etcd_watcher.stores.rpc_status import RpcError, StatusCode, failure_of, late

__all__ = ["Call", "Channel", "ChannelClosed", "Metadata", "RpcError", "StatusCode"]

Metadata = Sequence[tuple[str, str]]
"""Names and values that go with a request."""

Begun = tuple[Connection, Stream]

FOREVER = 1e9
"""Seconds for what has no end."""

LONGEST = 99_999_999
"""Milliseconds that the protocol can write."""


class Call:
    """One call that is under way. One thread reads its answers, any may cancel it.

    Parameters
    ----------
    begun : tuple of Connection and Stream
        None where it failed before it was sent, by `failure`.
    until : float
        The end of its time, by the monotonic clock.
    again : callable, optional
        Begins it once more.
    """

    def __init__(
        self,
        begun: Begun | None,
        decode: Callable[[bytes], Any],
        until: float,
        *,
        failure: RpcError | None = None,
        again: Callable[[], Begun] | None = None,
    ) -> None:
        self._begun = begun
        self._decode = decode
        self._until = until
        self._failure = failure
        self._again = again
        self._cancelled = False
        self._sending = threading.Lock()

    def send(self, request: Any) -> None:
        """Send one more message, from any thread. What keeps it from coming is told by reading."""
        if self._begun is not None and not self._begun[1].ended:
            connection, stream = self._begun
            with self._sending:
                connection.send(stream, _framed(request))

    def read(self, seconds: float = FOREVER) -> Any:
        """Give the next answer; None where none has come in so many seconds, or `wake` was called.

        Raises
        ------
        StopIteration
            There are no more.
        RpcError
        """
        until = min(time.monotonic() + seconds, self._until)
        while True:
            if self._failure is not None or self._begun is None:
                raise self._failure or StopIteration
            connection, stream = self._begun
            message = connection.receive(stream, until)
            if message is not None:
                return self._decode(message)
            if stream.ended and stream.messages:  # others have read them since
                continue
            if not stream.ended and time.monotonic() < self._until:
                return None
            if not self._is_begun_again(stream):
                self._failure = self._end(connection, stream)
                raise self._failure or StopIteration

    @staticmethod
    def _end(connection: Connection, stream: Stream) -> RpcError | None:
        """Give how it has ended: None where all is well."""
        if stream.ended:
            return failure_of(stream)
        connection.cancel(stream)
        return RpcError(StatusCode.DEADLINE_EXCEEDED, "no answer in time")

    def _is_begun_again(self, stream: Stream) -> bool:
        """Begin it once more where it was passed over: others may have been before us, repeatedly."""
        if self._again is None or stream.lost is None or not stream.lost.passed_over:
            return False
        try:
            self._begun = self._again()
        except (NotConnected, ChannelClosed, TimeoutError):
            return False
        if self._cancelled:
            self.cancel()
        return True

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        while (answer := self.read()) is None:
            pass
        return answer

    def wake(self) -> None:
        """Have a `read` that waits give nothing, now."""
        if self._begun is not None:
            connection, stream = self._begun
            connection.wake(stream)

    def done(self) -> bool:
        """Tell whether all of the answer has come, as far as somebody has read."""
        return self._begun is None or self._begun[1].ended

    def result(self) -> Any:
        """Wait for the one answer of a call that has one.

        Raises
        ------
        RpcError
        """
        answer = None
        try:
            for each in self:
                answer = each
        except KeyboardInterrupt:  # nobody waits for it any more
            self.cancel()
            raise
        if answer is None:
            raise RpcError(StatusCode.INTERNAL, "an answer without a message")
        return answer

    def cancel(self) -> None:
        """End it, from any thread: who reads it has an `RpcError`, CANCELLED."""
        self._cancelled = True
        if self._begun is not None:
            connection, stream = self._begun
            connection.cancel(stream)


class Channel:
    """Calls to one server, on connections that are made when they are needed, and again.

    Parameters
    ----------
    connecting : float
        Seconds for making a connection, TLS and all.
    bound : int
        Bytes that an answer may have. For one that is larger its call fails: RESOURCE_EXHAUSTED.
    """

    def __init__(self, route: Route, *, connecting: float, bound: int) -> None:
        self._pool = Pool(route, connecting=connecting)
        self._bound = bound
        scheme = "http" if route.context is None else "https"
        host = f"[{route.host}]" if ":" in route.host else route.host
        self._head = h2.header(":method", "POST") + h2.header(":scheme", scheme)
        self._foot = b"".join(
            h2.header(*each)
            for each in (
                (":authority", f"{host}:{route.port}"),
                ("te", "trailers"),
                ("content-type", "application/grpc"),
                ("user-agent", "etcd_watcher"),
            )
        )
        self.retire, self.close = self._pool.retire, self._pool.close

    @property
    def is_over(self) -> bool:
        """Whether all calls have ended, once it was closed or retired."""
        return self._pool.is_over

    def method(self, path: str, decode: Callable[[bytes], Any]) -> Method:
        """Give a method of the server by its path; `decode` makes answers of bytes."""
        return Method(self, self._head + h2.header(":path", path) + self._foot, decode)

    def begin(
        self,
        headers: bytes,
        decode: Callable[[bytes], Any],
        request: Any,
        timeout: float | None,
        metadata: Metadata,
    ) -> Call:
        """Begin a call; without a request it is for `Call.send` to make some.

        Raises
        ------
        ChannelClosed
        """
        until = time.monotonic() + (FOREVER if timeout is None else timeout)
        message = None if request is None else _framed(request)

        def open_on(connection: Connection) -> Stream | None:
            asked = _with(headers, metadata, None if timeout is None else until)
            return connection.open(asked, message, until=until, bound=self._bound)

        begin = partial(self._pool.begin, open_on, until)
        try:
            begun = begin()
        except NotConnected as error:
            failure = RpcError(StatusCode.UNAVAILABLE, str(error), sent=False)
            return Call(None, decode, until, failure=failure)
        except TimeoutError:
            return Call(None, decode, until, failure=late())
        return Call(begun, decode, until, again=None if request is None else begin)


class Method:
    """A method of a server."""

    def __init__(self, channel: Channel, headers: bytes, decode: Callable[[bytes], Any]) -> None:
        self._channel = channel
        self._headers = headers
        self._decode = decode

    def __call__(self, request: Any, timeout: float | None = None, metadata: Metadata = ()) -> Any:
        """Ask, and wait for the one answer.

        Raises
        ------
        RpcError, ChannelClosed
        """
        return self.begin(request, timeout, metadata).result()

    def begin(
        self, request: Any = None, timeout: float | None = None, metadata: Metadata = ()
    ) -> Call:
        """Ask, and do not wait: see `Channel.begin`."""
        return self._channel.begin(self._headers, self._decode, request, timeout, metadata)


def _framed(request: Any) -> SecretBytes:
    message = request if isinstance(request, bytes) else request.SerializeToString()
    return SecretBytes(MESSAGE_HEAD.pack(0, len(message)) + message)


def _with(headers: bytes, metadata: Metadata, until: float | None) -> SecretBytes:
    """Add to a request's headers what goes with it, and how much time is left for it."""
    more = b"".join(h2.header(*each) for each in metadata)
    if until is not None:
        left = int((until - time.monotonic()) * 1000)
        more += h2.header("grpc-timeout", f"{max(1, min(left, LONGEST))}m")
    return SecretBytes(headers + more)
