"""A socket whose every wait has a deadline, and ends at once when another thread says so."""

from __future__ import annotations

import errno
import math
import os
import select
import socket
import ssl
import time
from contextlib import suppress
from typing import Any

from etcd_watcher.stores.tls import explain, refusal

__all__ = ["Interrupted", "TransportFailed", "Waker", "Wire"]

RECEIVE = 1 << 16
"""Bytes received at a time."""

UNDER_WAY = {errno.EINPROGRESS, errno.EWOULDBLOCK}
"""What a connect that does not block says."""


class TransportFailed(Exception):
    """The server did not answer, or not in HTTP, or that it cannot serve for now.

    Attributes
    ----------
    sent : bool
        Whether the server may have got the request, so that a write may have been carried out.
    """

    def __init__(self, reason: str, *, sent: bool) -> None:
        super().__init__(reason)
        self.sent = sent


class Interrupted(Exception):
    """The waker was set during a wait; the same request again takes the wait up where it was."""


class Waker:
    """Ends the waits of other threads: a socket that becomes readable."""

    def __init__(self) -> None:
        self._reader, self._writer = socket.socketpair()
        self._reader.settimeout(0)
        self._writer.settimeout(0)

    def fileno(self) -> int:
        return self._reader.fileno()

    def wake(self) -> None:
        with suppress(BlockingIOError):  # full: it is as awake as can be
            self._writer.send(b"\0")

    def clear(self) -> None:
        with suppress(BlockingIOError):
            while self._reader.recv(RECEIVE):
                pass

    def close(self) -> None:
        self._reader.close()
        self._writer.close()


class Wire:
    """One connection of bytes, with TLS where there is a context for it.

    Parameters
    ----------
    host, port : str, int
        Where to connect to.
    context : ssl.SSLContext or None
        For TLS.
    waker : Waker
        Ends every wait with `Interrupted`; so below, too.
    until : float
        When, on the monotonic clock, it must be connected.

    Raises
    ------
    TransportFailed, Interrupted
    """

    def __init__(
        self, host: str, port: int, context: ssl.SSLContext | None, waker: Waker, until: float
    ) -> None:
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as error:
            raise TransportFailed(f"host {host} not found: {error}", sent=False) from error
        self._advice = "" if context is not None else ": if it speaks TLS, use https://"
        """For a server that goes away without a word."""
        reason = "it has no address"
        for tried, (family, kind, protocol, _, address) in enumerate(found):
            share = (until - time.monotonic()) / (len(found) - tried)
            self._socket = socket.socket(family, kind, protocol)
            try:
                self._socket.settimeout(0)
                self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self._reach(address, waker, time.monotonic() + share)
                if context is not None:
                    self._socket = context.wrap_socket(
                        self._socket, server_hostname=host, do_handshake_on_connect=False
                    )
                    while not self._shakes_hands(self._socket, waker, until):
                        pass
            except (OSError, TransportFailed) as error:
                self.close()
                reason = _reason(error)
            except BaseException:
                self.close()
                raise
            else:
                return
        raise TransportFailed(reason, sent=False)

    def _reach(self, address: Any, waker: Waker, until: float) -> None:
        code = self._socket.connect_ex(address)
        if code in UNDER_WAY:
            if not self._wait(waker, until, writing=True):
                raise TransportFailed("no answer to connecting", sent=False)
            code = self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if code:
            raise OSError(code, os.strerror(code))

    def _shakes_hands(self, secure: ssl.SSLSocket, waker: Waker, until: float) -> bool:
        try:
            secure.do_handshake()
        except ssl.SSLWantReadError:
            ready = self._wait(waker, until)
        except ssl.SSLWantWriteError:
            ready = self._wait(waker, until, writing=True)
        except OSError as error:
            raise TransportFailed(explain(error), sent=False) from error
        else:
            return True
        if not ready:
            raise TransportFailed("no answer to the TLS handshake", sent=False)
        return False

    def _wait(self, waker: Waker, until: float, *, writing: bool = False) -> bool:
        """Wait until the socket is ready; False when it is not in time."""
        seconds = until - time.monotonic()
        ready = _ready(self._socket, waker, seconds, writing=writing) if seconds > 0 else None
        if ready and self._socket.fileno() not in ready:
            raise Interrupted
        return bool(ready)

    def has_ended(self) -> bool:
        """Tell whether the other side has closed a connection that lay idle."""
        return bool(_ready(self._socket, None, 0))

    def send(self, left: memoryview, waker: Waker, until: float) -> None:
        """Send it all."""
        while left:
            try:
                left = left[self._socket.send(left) :]
            except (BlockingIOError, ssl.SSLWantWriteError):
                ready = self._wait(waker, until, writing=True)
            except ssl.SSLWantReadError:
                ready = self._wait(waker, until)
            except OSError as error:
                raise TransportFailed(_reason(error), sent=True) from error
            else:
                continue
            if not ready:
                raise TransportFailed("it does not take the request", sent=True)

    def receive(self, waker: Waker, until: float) -> bytes:
        """Give what comes next; b"" when nothing has come in time."""
        while True:
            try:
                received = self._socket.recv(RECEIVE)
            except (BlockingIOError, ssl.SSLWantReadError):
                ready = self._wait(waker, until)
            except ssl.SSLWantWriteError:
                ready = self._wait(waker, until, writing=True)
            except OSError as error:
                raise TransportFailed(_reason(error) + self._advice, sent=True) from error
            else:
                if not received:
                    raise TransportFailed(f"it closed the connection{self._advice}", sent=True)
                self._advice = ""
                return received
            if not ready:
                return b""

    def end(self) -> None:
        """Say that nothing more will be sent. What the other side has yet to say can be received.

        With TLS too: it is the connection below that is ended, since SSLSocket's own `shutdown`
        would forget that there is something left to decrypt.
        """
        with suppress(OSError):
            socket.socket.shutdown(self._socket, socket.SHUT_WR)

    def close(self) -> None:
        self._socket.close()


def _ready(
    wire: socket.socket, waker: Waker | None, seconds: float, *, writing: bool = False
) -> set[int]:
    """Give the file numbers that are ready: of the socket, the waker, or both."""
    if hasattr(select, "poll"):  # not on Windows; elsewhere `select` takes no number above 1,023
        poll = select.poll()
        poll.register(wire, select.POLLOUT if writing else select.POLLIN)
        if waker is not None:
            poll.register(waker, select.POLLIN)
        return {number for number, _ in poll.poll(math.ceil(seconds * 1000))}
    reading = [each for each in (waker, None if writing else wire) if each is not None]
    readable, writable, _ = select.select(reading, [wire] if writing else [], [], seconds)
    return {each.fileno() for each in (*readable, *writable)}


def _reason(error: Exception) -> str:
    if isinstance(error, ssl.SSLError):
        return refusal(error) or f"TLS: {error.reason or error}"
    return getattr(error, "strerror", None) or str(error)
