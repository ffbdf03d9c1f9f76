"""Calls of gRPC, on connections of our own: see `http2`.

What is spoken is https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md: a request of HTTP/2
for each call, messages with their lengths, and a status behind them.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from etcd_watcher.errors import StoreClosed
from etcd_watcher.secret import SecretBytes
from etcd_watcher.stores import http2_frames as h2
from etcd_watcher.stores.forks import keep_from_forks
from etcd_watcher.stores.http2 import Connection
from etcd_watcher.stores.http2_link import Bell, NotConnected, Route
from etcd_watcher.stores.http2_session import MESSAGE_HEAD, Stream
from etcd_watcher.stores.rpc_status import RpcError, StatusCode, failure_of, late

__all__ = ["Call", "Channel", "ChannelClosed", "Metadata", "RpcError", "StatusCode"]

Metadata = Sequence[tuple[str, str]]
"""Names and values that go with a request."""

FOREVER = 1e9
"""Seconds for what has no end."""

TRIES = 3
"""Connections that are tried for a call, where a server takes no more requests on those that it has
just taken: it may be going, and a proxy before it may not know that yet."""

LONGEST = 99_999_999
"""Milliseconds that the protocol can write."""


class ChannelClosed(StoreClosed):
    """A channel was closed before a call."""

    def __init__(self) -> None:
        super().__init__("the connection was closed before a request")


class Call:
    """One call that is under way. One thread reads its answers, any may cancel it.

    Parameters
    ----------
    connection, stream
        None where it failed before it was sent, by `failure`.
    until : float
        The end of its time, by the monotonic clock.
    """

    def __init__(
        self,
        connection: Connection | None,
        stream: Stream | None,
        decode: Callable[[bytes], Any],
        until: float,
        failure: RpcError | None = None,
    ) -> None:
        self._connection, self._stream = connection, stream
        self._decode = decode
        self._until = until
        self._failure = failure
        self._sending = threading.Lock()

    def send(self, request: Any) -> None:
        """Send one more message, from any thread. What keeps it from coming is told by reading."""
        stream = self._stream
        if self._connection is not None and stream is not None and not stream.ended:
            with self._sending:
                self._connection.send(stream, _framed(request))

    def read(self, seconds: float = FOREVER) -> Any:
        """Give the next answer; None where none has come in so many seconds, or `wake` was called.

        Raises
        ------
        StopIteration
            There are no more.
        RpcError
        """
        connection, stream = self._connection, self._stream
        if self._failure is not None or connection is None or stream is None:
            raise self._failure or StopIteration
        until = time.monotonic() + seconds
        message = connection.receive(stream, min(until, self._until))
        if message is not None:
            return self._decode(message)
        if stream.ended and stream.messages:  # others have read them since
            return self.read(0.0)
        if not stream.ended:
            if time.monotonic() < self._until:
                return None
            connection.cancel(stream)
            failure: RpcError | None = RpcError(StatusCode.DEADLINE_EXCEEDED, "no answer in time")
        else:
            failure = failure_of(stream)
        self._failure = failure
        raise failure or StopIteration

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        while (answer := self.read()) is None:
            pass
        return answer

    def wake(self) -> None:
        """Have a `read` that waits give nothing, now."""
        if self._connection is not None and self._stream is not None:
            self._connection.wake(self._stream)

    def done(self) -> bool:
        """Tell whether all of the answer has come, as far as somebody has read."""
        return self._stream is None or self._stream.ended

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
        if self._connection is not None and self._stream is not None:
            self._connection.cancel(self._stream)


class Channel:
    """Calls to one server, on one connection that is made when it is needed, and again.

    Parameters
    ----------
    connecting : float
        Seconds for making a connection, TLS and all.
    bound : int
        Bytes that an answer may have. For one that is larger its call fails: RESOURCE_EXHAUSTED.
    """

    def __init__(self, route: Route, *, connecting: float, bound: int) -> None:
        self._route = route
        self._connecting = connecting
        self._bound = bound
        self._begin()
        keep_from_forks(self)
        self._closed = False
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

    def _begin(self) -> None:
        self._lock = threading.RLock()
        """Guards all below. It is taken by itself: an interrupt may leave a `Condition` locked."""
        self._tried = threading.Condition(self._lock)
        """Notified when a try to connect is over."""
        self._connection: Connection | None = None
        self._old: list[Connection] = []
        """Those that take no more requests, and may have answers to give."""
        self._bell: Bell | None = None
        """While somebody connects: to tell them to give up."""
        self._failure: RpcError | None = None
        """Why there is no connection, where the last try failed."""

    def abandon(self) -> None:
        """See `forks.Inherited`."""
        self._begin()

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
        for _ in range(TRIES):
            connection = self._connected(until)
            if isinstance(connection, RpcError):
                return Call(None, None, decode, until, connection)
            stream = connection.open(
                _with(headers, metadata, None if timeout is None else until),
                None if request is None else _framed(request),
                until=until,
                bound=self._bound,
            )
            if stream is not None:
                return Call(connection, stream, decode, until)
        failure = RpcError(StatusCode.UNAVAILABLE, "the server takes no requests", sent=False)
        return Call(None, None, decode, until, failure)

    def _connected(self, until: float) -> Connection | RpcError:
        """Give a connection that takes requests, or why there is none; one thread makes it."""
        present = self._connection
        if present is not None and present.is_open and not self._closed:
            return present
        bell: Bell | None = None
        try:
            with self._lock:
                if (found := self._found(present, until)) is not None:
                    return found
                self._bell = bell = Bell()
            found = Connection(self._route, bell, min(self._connecting, until - time.monotonic()))
            self._end_try(bell, found)
        except NotConnected as error:
            if time.monotonic() < until:
                found = RpcError(StatusCode.UNAVAILABLE, str(error), sent=False)
                self._end_try(bell, found)
            else:
                found = late()
                # Who waited has more time, maybe, and tries by themselves.
                self._end_try(bell, None)
        except BaseException:  # an interrupt
            self._end_try(bell, None)  # who waited tries by themselves
            raise
        if self._closed:
            raise ChannelClosed
        return found

    def _found(self, present: Connection | None, until: float) -> Connection | RpcError | None:
        """Give what another's try has come to; None where it is for us to try."""
        if self._bell is not None:
            if not self._tried.wait_for(lambda: self._bell is None, until - time.monotonic()):
                return late()
            if self._failure is not None and not self._closed:
                return self._failure
        if self._closed:
            raise ChannelClosed
        if self._connection not in {None, present}:
            return self._connection
        if present is not None:
            self._old = [each for each in [*self._old, present] if not each.is_over]
        self._connection = self._failure = None
        return None

    def _end_try(self, bell: Bell | None, made: Connection | RpcError | None) -> None:
        """Say how a try to connect has ended, once."""
        with self._lock:
            if bell is None or self._bell is not bell:
                return
            self._bell = None
            self._tried.notify_all()
            if isinstance(made, Connection):
                self._connection = made
                if self._closed:
                    made.close()
            else:
                self._failure = made
                bell.close()

    def close(self) -> None:
        """End all calls, from any thread; idempotent."""
        with self._lock:
            self._closed = True
            if self._bell is not None:
                self._bell.over = True
                self._bell.ring()
            connections = [*self._old, self._connection]
        for each in connections:
            if each is not None:
                each.close()


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
