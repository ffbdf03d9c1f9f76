"""The way to a server: a socket that is connected, through a proxy and within TLS where need be.

Nothing here blocks but `wait`, which somebody else can end: see `Bell`.
"""

from __future__ import annotations

import base64
import os
import select
import socket
import ssl
import threading
import time
from contextlib import suppress
from typing import Any, NamedTuple
from urllib.parse import unquote, urlsplit

from etcd_watcher.deadline import seconds_left
from etcd_watcher.secret import SecretBytes
from etcd_watcher.stores.http2_errors import of_connecting

__all__ = ["Bell", "Link", "NotConnected", "Route", "connect"]

READ_BYTES = 256 * 1024
"""Bytes that are read at once."""

NO_SIGNAL = getattr(socket, "MSG_NOSIGNAL", 0)
"""Have an error where the server has closed the connection, and no SIGPIPE: a program may have let that
end it, so that it ends with the reader of its output."""

ANSWER_BYTES = 16 * 1024
"""Bytes that a proxy's answer may have."""

SHARE = 0.5
"""The part of the time that is left that an address may take of it, where there are others."""


class NotConnected(Exception):
    """There is no way to the server; the text says why."""


class Route(NamedTuple):
    """How to get to a server.

    Attributes
    ----------
    host, port
        The server's.
    context : ssl.SSLContext or None
        None for a server without TLS.
    proxy : str or None
        The URL of a proxy, user and password included.
    """

    host: str
    port: int
    context: ssl.SSLContext | None
    proxy: str | None


class Bell:
    """Wakes a thread that waits for a socket.

    Raises
    ------
    NotConnected
        There can be none: too many files are open.
    """

    def __init__(self) -> None:
        self.over = False
        """Whether who is woken is to give up."""
        try:
            self._ear, self._rope = socket.socketpair()
        except OSError as error:  # no more files may be open
            raise NotConnected(of_connecting(error)) from error
        for end in (self._ear, self._rope):
            end.settimeout(0.0)

    def ring(self) -> None:
        """Wake whoever waits now, or is the next to."""
        with suppress(OSError):  # it rings already, or is no more
            self._rope.send(b"!")

    def fileno(self) -> int:
        return self._ear.fileno()

    def hush(self) -> None:
        """Be ready to ring again."""
        with suppress(OSError):
            self._ear.recv(READ_BYTES)

    def close(self) -> None:
        self._ear.close()
        self._rope.close()


class _Waiter:
    """Waits until a socket can be read from, or written to, or the bell rings."""

    def __init__(self, connection: socket.socket, bell: Bell | None, *, write: bool) -> None:
        self._socket = connection
        self._bell = bell
        self._place = connection.fileno()
        self._write = write
        self._poll = select.poll() if hasattr(select, "poll") else None
        if self._poll is not None:
            self._poll.register(connection, select.POLLOUT if write else select.POLLIN)
            if bell is not None:
                self._poll.register(bell, select.POLLIN)

    def wait(self, seconds: float) -> bool:
        """Wait so long at the most; False where nothing happened."""
        if self._poll is not None:
            happened = self._poll.poll(seconds * 1000)
            if happened and self._bell is not None:
                place = self._place
                for each, _ in happened:
                    if each != place:
                        self._bell.hush()
            return bool(happened)
        return self._select(max(0.0, seconds))

    def _select(self, seconds: float) -> bool:  # Windows has no poll
        bell: list[Bell | socket.socket] = [] if self._bell is None else [self._bell]
        read: list[Bell | socket.socket] = bell if self._write else [*bell, self._socket]
        write = [self._socket] if self._write else []
        readable, *others = select.select(read, write, write, seconds)
        if self._bell is not None and self._bell in readable:
            self._bell.hush()
        return bool(readable or any(others))


class Link:
    """A socket that is connected. One thread reads at a time, and one writes.

    Parameters
    ----------
    connection : socket.socket
        It does not block.
    bell : Bell
        Ends a wait for something to read.
    """

    def __init__(self, connection: socket.socket, bell: Bell) -> None:
        self._socket = connection
        self._bell = bell
        self._to_read = _Waiter(connection, bell, write=False)
        self._to_write = _Waiter(connection, None, write=True)
        self.wait = self._to_read.wait
        self.owes = False
        """Whether there is something to send that nobody has given: a word of TLS."""

    def receive(self) -> bytes | None:
        """Give what has come: b"" where the other side has ended, None where there is nothing yet.

        Raises
        ------
        OSError
        """
        try:
            return self._socket.recv(READ_BYTES)
        except (BlockingIOError, InterruptedError):
            return None

    def send(self, content: bytes, seconds: float) -> None:
        """Send all of it.

        Raises
        ------
        OSError
            A `TimeoutError`, too: nothing was taken for so many seconds.
        """
        try:
            sent = self._socket.send(content, NO_SIGNAL)
        except (BlockingIOError, InterruptedError):
            sent = 0
        while sent < len(content):
            if not self._to_write.wait(seconds):
                raise TimeoutError("nothing is taken")
            with suppress(BlockingIOError, InterruptedError):
                sent += self._socket.send(memoryview(content)[sent:], NO_SIGNAL)

    def end(self) -> None:
        """Have both sides see that it is over, without letting go of the socket yet."""
        with suppress(OSError):  # it is over already
            self._socket.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self._socket.close()


class SecureLink(Link):
    """One within TLS. OpenSSL must not be called by two threads at once: a lock sees to that."""

    def __init__(
        self, connection: socket.socket, bell: Bell, context: ssl.SSLContext, host: str
    ) -> None:
        super().__init__(connection, bell)
        self._lock = threading.Lock()
        """Guards all below."""
        self._come, self._to_go = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._come, self._to_go, server_hostname=host)

    @property
    def protocol(self) -> str | None:
        """What the two sides have agreed on to speak; None where the server says nothing of it."""
        return self._tls.selected_alpn_protocol()

    def shake_hands(self, until: float) -> None:
        """Begin TLS.

        Raises
        ------
        OSError
            `ssl.SSLError` and `TimeoutError`, too.
        NotConnected
            The server speaks something else within TLS.
        """
        while not self._has_shaken_hands(until):
            if time.monotonic() >= until or not self.wait(seconds_left(until)):
                raise TimeoutError("no answer to the TLS handshake")
            if self._bell.over:
                raise NotConnected("it was closed by us")
            raw = super().receive()
            if raw == b"":
                raise ConnectionResetError("it closes the connection in the TLS handshake")
            self._come.write(raw or b"")
        if self.protocol not in {"h2", None}:
            raise NotConnected(f"it speaks {self.protocol}, and not HTTP/2")

    def _has_shaken_hands(self, until: float) -> bool:
        """Go on with the handshake as far as it goes; True at its end."""
        done = False
        try:
            self._tls.do_handshake()
            done = True
        except ssl.SSLWantReadError:
            pass
        finally:  # where it fails, the server is told why
            if words := self._to_go.read():
                super().send(words, seconds_left(until))
        return done

    def receive(self) -> bytes | None:
        raw = super().receive()
        with self._lock:
            if raw == b"":
                self._come.write_eof()
            elif raw:
                self._come.write(raw)
            plain = self._decrypt()
            self.owes = self._to_go.pending > 0
            return plain

    def _decrypt(self) -> bytes | None:
        plain = bytearray()
        try:
            while part := self._tls.read(READ_BYTES):
                plain += part
        except ssl.SSLWantReadError:
            return bytes(plain) or None
        except (ssl.SSLZeroReturnError, ssl.SSLEOFError):  # the end, with a word or without
            pass
        except ssl.SSLError:
            if not plain:  # else it comes again
                raise
        self.wait = _at_once  # nothing more comes that would wake anybody
        return bytes(plain)

    def send(self, content: bytes, seconds: float) -> None:
        with self._lock:
            if content:
                self._tls.write(content)
            words = self._to_go.read()
            self.owes = False
        super().send(words, seconds)


def connect(route: Route, bell: Bell, seconds: float) -> Link:
    """Connect to a server, within so many seconds.

    Raises
    ------
    NotConnected
        It cannot be, or `bell` has rung.
    """
    until = time.monotonic() + seconds
    first = (route.host, route.port) if route.proxy is None else _place_of(route.proxy)
    try:
        addresses = socket.getaddrinfo(*first, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        raise NotConnected(f"the host {first[0]} is not known") from None
    failure = NotConnected("it has no address")
    for number, address in enumerate(addresses, 1):
        if bell.over:
            raise NotConnected("it was closed by us")
        share = 1.0 if number == len(addresses) else SHARE
        try:
            return _connect_to(address, route, bell, time.monotonic() + share * seconds_left(until))
        except NotConnected as error:
            failure = error
    raise failure


def _place_of(proxy: str) -> tuple[str, int]:
    url = urlsplit(proxy)
    return url.hostname or "", url.port or 80


def _connect_to(
    address: tuple[int, int, int, str, Any], route: Route, bell: Bell, until: float
) -> Link:
    family, kind, protocol, _, place = address
    try:
        connection = socket.socket(family, kind, protocol)
    except OSError as error:  # this machine has no such addresses, or no more files
        raise NotConnected(of_connecting(error)) from error
    try:
        connection.settimeout(0.0)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        _reach(connection, place, bell, until)
        if route.proxy is not None:
            _pass_through(connection, route, bell, until)
        if route.context is None:
            return Link(connection, bell)
        secure = SecureLink(connection, bell, route.context, route.host)
        secure.shake_hands(until)
    except OSError as error:
        connection.close()
        raise NotConnected(of_connecting(error)) from error
    except BaseException:
        connection.close()
        raise
    return secure


def _reach(connection: socket.socket, place: Any, bell: Bell, until: float) -> None:
    try:
        connection.connect(place)
    except (BlockingIOError, InterruptedError):
        # A connection that was made can be written to.
        waiter = _Waiter(connection, bell, write=True)
        if not waiter.wait(seconds_left(until)):
            raise TimeoutError from None
        if error := connection.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
            raise OSError(error, os.strerror(error)) from None
        connection.getpeername()  # an error where it was the bell


def _pass_through(connection: socket.socket, route: Route, bell: Bell, until: float) -> None:
    """Ask a proxy for a way to the server."""
    link = Link(connection, bell)
    link.send(_ask_proxy(route), seconds_left(until))
    answer = b""
    while b"\r\n\r\n" not in answer:
        if (
            len(answer) > ANSWER_BYTES
            or time.monotonic() >= until
            or not link.wait(seconds_left(until))
        ):
            raise NotConnected("no answer from the proxy")
        if bell.over:
            raise NotConnected("it was closed by us")
        with suppress(BlockingIOError, InterruptedError):
            # No byte more than the proxy's: the next may be the server's own.
            more = connection.recv(1)
            if not more:
                raise NotConnected("the proxy closed the connection")
            answer += more
    status = answer.split(b"\r\n", 1)[0].decode("latin-1")
    if status.split(" ")[1:2] != ["200"]:
        raise NotConnected(f"the proxy says {status!r}")


def _ask_proxy(route: Route) -> SecretBytes:
    proxy = urlsplit(route.proxy or "")
    place = f"[{route.host}]:{route.port}" if ":" in route.host else f"{route.host}:{route.port}"
    lines = [f"CONNECT {place} HTTP/1.1", f"Host: {place}"]
    if proxy.username is not None:
        who = f"{unquote(proxy.username)}:{unquote(proxy.password or '')}"
        lines.append("Proxy-Authorization: Basic " + base64.b64encode(who.encode()).decode())
    return SecretBytes("".join(f"{each}\r\n" for each in [*lines, ""]).encode())


def _at_once(seconds: float) -> bool:  # noqa: ARG001 - instead of `_Waiter.wait`
    return True
