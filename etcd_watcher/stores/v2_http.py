"""The HTTP under python-etcd: one kept connection whose waits can be ended and taken up again.

python-etcd makes the requests and reads the answers; this carries them, in urllib3's stead. Three
things that urllib3 cannot do made it necessary, and a fourth came with them:

- A blocked long poll has to end within milliseconds when another thread says so. Closing urllib3's
  pool does not end it.
- A poll that was left can be taken up again without another request, so that one more key in a
  range that is polled anyway costs the server nothing.
- Our end of a connection can be closed on its own. That makes etcd end a poll in an orderly way,
  and how it ends tells whether there was a change (`Poll._doubt`).
- Its requests take under half the time of urllib3's, and several can be sent at once: so bursts are
  followed that python-etcd's own loop falls behind.
"""

from __future__ import annotations

import base64
import ssl
import time
from collections import deque
from collections.abc import Iterable
from urllib.parse import urlsplit

from etcd_watcher.endpoints import Credentials
from etcd_watcher.secret import Secret
from etcd_watcher.stores.v2_wire import TransportFailed, Waker, Wire

__all__ = ["Connection", "Reply", "Silence"]

LONGEST_HEAD = 1 << 16
"""Bytes of headers beyond which it is not etcd that answers."""

LAST_CHUNK = b"\r\n0\r\n\r\n"
"""What ends the answer to a poll, and is in none: JSON has no line breaks of its own."""

NOT_HTTP = "its answer is not HTTP"


class Silence(Exception):
    """A poll that the server has acknowledged brought nothing within its patience; it goes on."""


class Reply:
    """An answer, with as much of urllib3's response as python-etcd looks at."""

    __slots__ = ("data", "headers", "status")

    def __init__(self, status: int, headers: dict[str, str]) -> None:
        self.status = status
        self.headers = headers
        self.data = b""

    def getheaders(self) -> dict[str, str]:
        return self.headers


class Connection:
    """One HTTP/1.1 connection, used by one thread at a time. It connects when it is asked.

    Parameters
    ----------
    url : str
        An endpoint, `http://host:port`.
    credentials : Credentials
        The user to be.
    context : ssl.SSLContext or None
        For https.
    waker : Waker
        Ends every wait with `Interrupted`. The connection's next user may set another.

    Attributes
    ----------
    deadline : float
        When, on the monotonic clock, a request fails; for a poll, when its headers must be here.
    answer_by : float
        A later moment until which an answer is waited for, once the request is sent; 0 for none.
    patience : float
        Seconds that a poll waits, once its headers are here, until it raises `Silence`.
    acknowledged : float
        When the headers of the poll under way came, or a later moment to be patient from; 0 before.
    """

    def __init__(
        self, url: str, credentials: Credentials, context: ssl.SSLContext | None, waker: Waker
    ) -> None:
        parts = urlsplit(url)
        self.url = url
        self.waker = waker
        self.deadline = self.answer_by = self.patience = self.acknowledged = 0.0
        self._host, self._port = parts.hostname or "", parts.port or 0
        self._context = context if parts.scheme == "https" else None
        self._common = Secret(f"Host: {parts.netloc}\r\n")
        if credentials.user is not None:
            # python-etcd would encode this as Latin-1, which not every name and password has.
            pair = f"{credentials.user}:{credentials.password or ''}".encode()
            login = f"Authorization: Basic {base64.b64encode(pair).decode()}\r\n"
            self._common = Secret(self._common + login)
        self._wire: Wire | None = None
        self._begin_anew()

    def _begin_anew(self) -> None:
        self._asked: deque[tuple[str, str]] = deque()
        """The requests under way: the one whose answer comes next, and those sent ahead."""
        self._reused = False
        """Whether the connection is older than these requests."""
        self._reply: Reply | None = None
        """The answer that comes, once its headers are here."""
        self._buffer = bytearray()
        self._body = bytearray()
        self._half_closed = False
        self.acknowledged = 0.0

    @property
    def busy(self) -> bool:
        """Whether a request is under way."""
        return bool(self._asked)

    @property
    def is_ahead(self) -> bool:
        """Whether there are requests under way behind the first."""
        return len(self._asked) > 1

    @property
    def has_answer(self) -> bool:
        """Whether the answer to a poll is here, so that it takes no waiting."""
        return bool(self._asked) and LAST_CHUNK in self._buffer

    def close(self) -> None:
        if self._wire is not None:
            self._wire.close()
            self._wire = None
        self._begin_anew()

    clear = close  # as python-etcd's client calls it when it is collected

    def half_close(self) -> None:
        """Tell the server that we have nothing more to say: it then ends the poll under way.

        Not if others were sent ahead. (And the first byte of a next request does not end it.)
        """
        self._half_closed = True
        if self._wire is not None:
            self._wire.end()

    def exchange(
        self,
        method: str,
        target: str,
        body: str | None = None,
        *,
        polls: bool = False,
        ahead: Iterable[str] = (),
    ) -> Reply:
        """Send a request, or take up the wait for its answer, and give the answer.

        Parameters
        ----------
        method, target, body : str
            The request.
        polls : bool
            Whether it is a long poll.
        ahead : iterable of str
            Targets of the next requests, to be sent with this one. Answers that nobody has asked
            for when another's turn comes are dropped.

        Raises
        ------
        TransportFailed
            The connection is then closed.
        Interrupted, Silence
            The request is then still under way.
        """
        request = (method, target)
        if request not in self._asked:
            # Polls that were sent ahead of a change that has passed them have their answers at
            # once, and are dropped below. Any other request under way was given up.
            if self._wire is not None and (not polls if self.busy else self._wire.has_ended()):
                self.close()
            self._ask([request, *((method, each) for each in ahead)], body)
        try:
            while self._asked[0] != request:
                self._answer(polls=polls)
            reply = self._answer(polls=polls)
        except TransportFailed:
            unheard = self._reused and self._reply is None and not self._buffer
            self.close()
            if method == "GET" and unheard and time.monotonic() < self.deadline:
                # The server left while the connection lay idle, just when we spoke up.
                return self.exchange(method, target, polls=polls)
            raise
        if self._half_closed or reply.headers.get("connection", "").lower() == "close":
            self.close()
        return reply

    def _ask(self, requests: list[tuple[str, str]], body: str | None) -> None:
        if not self.busy:
            self.acknowledged = 0.0
        try:
            if self._wire is None:
                self._wire = Wire(self._host, self._port, self._context, self.waker, self.deadline)
            else:
                self._reused = True
            # In a memoryview, which does not show in a traceback what it is of: the login.
            self._wire.send(memoryview(self._text(requests, body)), self.waker, self.deadline)
            self.deadline = max(self.deadline, self.answer_by)
        except BaseException:
            self.close()
            raise
        self._asked.extend(requests)

    def _text(self, requests: list[tuple[str, str]], body: str | None) -> bytes:
        text: str = self._common
        if body is not None:
            text += (
                "Content-Type: application/x-www-form-urlencoded\r\n"
                f"Content-Length: {len(body)}\r\n"
            )
        text += f"\r\n{body or ''}"
        text = "".join(f"{method} {target} HTTP/1.1\r\n{text}" for method, target in requests)
        return text.encode("ascii")

    def _receive(self, *, polls: bool) -> None:
        """Add what comes next to the buffer."""
        if self._wire is None:
            raise TransportFailed("the connection is closed", sent=True)
        patient = polls and self.acknowledged
        until = self.acknowledged + self.patience if patient else self.deadline
        received = self._wire.receive(self.waker, until)
        if received:
            self._buffer += received
        elif patient:
            raise Silence
        else:
            raise TransportFailed("no answer in time", sent=True)

    def _answer(self, *, polls: bool) -> Reply:
        """Give the next answer."""
        reply = self._reply
        if reply is None:
            while (end := self._buffer.find(b"\r\n\r\n")) < 0:
                if len(self._buffer) > LONGEST_HEAD:
                    raise TransportFailed(NOT_HTTP, sent=True)
                self._receive(polls=polls)
            reply = self._reply = _parse_head(self._buffer[:end])
            del self._buffer[: end + 4]
            self.acknowledged = time.monotonic()
        if reply.headers.get("transfer-encoding") == "chunked":
            while self._read_chunk(polls=polls):
                pass
        else:
            length = int(reply.headers.get("content-length", 0))
            while len(self._buffer) < length:
                self._receive(polls=polls)
            self._body += self._buffer[:length]
            del self._buffer[:length]
        reply.data = bytes(self._body)
        self._body.clear()
        self._reply, self.acknowledged = None, 0.0
        self._asked.popleft()
        self._reused = False
        return reply

    def _read_chunk(self, *, polls: bool) -> bool:
        """Move one chunk from the buffer to the body; False at the last."""
        while (end := self._buffer.find(b"\r\n")) < 0:
            self._receive(polls=polls)
        try:
            size = int(self._buffer[:end], 16)
        except ValueError as error:
            raise TransportFailed(NOT_HTTP, sent=True) from error
        begin = end + 2
        while len(self._buffer) < begin + size + 2:
            self._receive(polls=polls)
        self._body += self._buffer[begin : begin + size]
        del self._buffer[: begin + size + 2]
        return size > 0


def _parse_head(head: bytearray) -> Reply:
    first, *lines = head.decode("latin-1").split("\r\n")
    protocol, _, rest = first.partition(" ")
    if not protocol.startswith("HTTP/") or not rest[:3].isdigit():
        raise TransportFailed(NOT_HTTP, sent=True)
    pairs = (line.partition(":") for line in lines)
    return Reply(int(rest[:3]), {name.lower(): value.strip() for name, _, value in pairs})
