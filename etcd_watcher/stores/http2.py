"""A connection of HTTP/2 that has no thread: whoever waits for an answer reads for all.

With gRPC's library an event goes from a thread of its own to Python's, and from there to the one that
waits, each with a wake-up and Python's lock: of 0.8 ms from a put to its callback, on a machine of
two cores, that was 0.25, and 0.37 ms of work. Here the thread that waits for the event reads the
socket itself.

Of all that wait one *reads*: it sorts what comes into the streams, and ends when its own has something
or time is up. Then another of those that wait does. Who waits for nothing reads nothing: what comes
meanwhile stays with the system, and, where that has no more room for it, with the server.
"""

from __future__ import annotations

import struct
import threading
import time
from collections.abc import Callable

from hpack.exceptions import HPACKError

from etcd_watcher.deadline import seconds_left
from etcd_watcher.secret import SecretBytes
from etcd_watcher.stores import http2_frames as h2
from etcd_watcher.stores.forks import keep_from_forks
from etcd_watcher.stores.http2_errors import of_connection
from etcd_watcher.stores.http2_link import Bell, NotConnected, Route, connect
from etcd_watcher.stores.http2_pulse import Pulse
from etcd_watcher.stores.http2_session import CANCELLED, Lost, Session, Stream, part, reset

__all__ = ["Connection"]

TAKEN = 7.0
"""Seconds in which the other side has to take something of what is sent."""

LOOK_UP = 5.0
"""Seconds for which who waits for another to read does so at the most."""


class Connection:
    """A connection to a server, for any thread.

    Parameters
    ----------
    bell : Bell
        Wakes who reads, or connects; ours from now on.

    Raises
    ------
    NotConnected
        It could not be made within `seconds`.
    """

    def __init__(self, route: Route, bell: Bell, seconds: float) -> None:
        until = time.monotonic() + seconds
        self._bell = bell
        self._link = connect(route, bell, seconds)
        self._begin_locks()
        self._session = Session()
        self._in_hand = False
        """Whether it has what was read, and nobody else."""
        self._lost: Lost | None = None
        """Why it is over."""
        self._released = False
        self._pulse = Pulse()
        keep_from_forks(self)
        try:
            self._greet(until)
        except BaseException:
            self._link.close()
            raise

    def _begin_locks(self) -> None:
        self._sending = threading.Lock()
        """Held by who sends."""
        self._lock = threading.RLock()
        """Guards the rest. Taken within `_sending`. An RLock: `wait` takes it again before an
        interrupt gets through, and nobody can release somebody else's."""
        self._news = threading.Condition(self._lock)
        """Notified when something has come, by whoever read it."""
        self._reader: int | None = None
        """The thread that reads."""
        self._waiting = 0
        """How many wait for who reads."""

    def _greet(self, until: float) -> None:
        """Begin, and wait for the server to: else nobody could say whether a request has left."""
        try:
            self._link.send(self._session.hello(), seconds_left(until))
        except OSError as error:
            raise NotConnected(of_connection(error)) from error
        while not self._session.met:
            if self._lost is not None:
                raise NotConnected(self._lost.reason)
            if time.monotonic() >= until or self._bell.over:
                raise NotConnected("no answer to connecting")
            self._reader = threading.get_ident()
            self._read(until)

    @property
    def is_open(self) -> bool:
        """Whether it takes requests: looks at what has come, where nobody else does."""
        try:
            with self._lock:
                if not self._takes_requests:
                    return False
                if self._reader is not None:
                    return True
                self._reader = threading.get_ident()
            self._read(0.0)
        except BaseException:  # an interrupt
            self._pass_turn_on()
            raise
        return self._takes_requests

    @property
    def was_used(self) -> bool:
        """Whether it has ever taken a request."""
        return self._session.has_begun

    @property
    def _takes_requests(self) -> bool:
        return self._lost is None and self._session.takes_requests

    # Sending.

    def open(
        self, headers: bytes, message: bytes | None, *, until: float, bound: int
    ) -> Stream | None:
        """Begin a request.

        Parameters
        ----------
        message : bytes or None
            The only one, with its length; None where `send` gives them.
        until, bound
            As a `Stream` has them.

        Returns
        -------
        The stream; None where the server takes no more requests on this connection.
        """
        try:
            return self._open(headers, message, until, bound)
        except BaseException:  # an interrupt: what was counted as sent may not be
            self._lose(Lost("sending was interrupted"))
            raise
        finally:
            self._let_go_if_lost()

    def _open(
        self, headers: bytes, message: bytes | None, until: float, bound: int
    ) -> Stream | None:
        with self._sending:
            with self._lock:
                if not self._takes_requests:
                    return None
                stream = self._session.open(bound, until)
                room = self._session.room(stream, len(message or b""))
            frames = SecretBytes(h2.ask_headers(stream.number, headers))
            if message is not None and room:
                first = part(stream, message[:room], ends=room == len(message))
                frames = SecretBytes(frames + first)
            self._write(frames)
        if message is not None and room < len(message):
            self._send(stream, SecretBytes(message[room:]), end=True)
        return stream

    def send(self, stream: Stream, message: bytes) -> None:
        """Send a message, with its length. No two threads may send on one stream at once.

        It waits for the server to let us, and gives up where the stream or its time is over.
        """
        try:
            self._send(stream, message, end=False)
        except BaseException:  # as in `open`
            self._lose(Lost("sending was interrupted"))
            raise
        finally:
            self._let_go_if_lost()

    def _send(self, stream: Stream, message: bytes, *, end: bool) -> None:
        begin, size = 0, len(message)
        while begin < size and not stream.ended:
            with self._sending:
                with self._lock:
                    room = self._session.room(stream, size - begin)
                if room:
                    ends = end and begin + room == size
                    self._write(part(stream, message[begin : begin + room], ends=ends))
                    begin += room
            if not (room or self._wait_for_room(stream)):
                return

    def _wait_for_room(self, stream: Stream) -> bool:
        """Wait until more may be sent, or the stream is over; False where its time is."""

        def ready() -> bool:
            return stream.ended or min(stream.window, self._session.window) > 0

        taken = time.monotonic() + TAKEN
        if self._wait(ready, min(stream.until, taken)):
            return True
        if taken <= stream.until:
            self._lose(Lost("it takes no more of a request"))
        return False

    def _write(self, frames: bytes) -> None:
        """Send frames, holding `_sending`. Where that fails, all streams are lost."""
        if self._lost is None:
            try:
                self._link.send(frames, TAKEN)
            except OSError as error:
                self._lose(Lost(of_connection(error)))
            except BaseException:  # an interrupt: half a frame may be gone
                self._lose(Lost("sending was interrupted"))
                raise

    def _send_apart(self, frames: bytes) -> None:
        try:
            with self._sending:
                self._write(frames)
        finally:
            self._let_go_if_lost()

    def _let_go_if_lost(self) -> None:
        if self._lost is not None or self._session.going:
            self._let_go()

    def cancel(self, stream: Stream) -> None:
        """End a stream: whoever waits for it sees that, and the server, too."""
        with self._lock:
            if stream.ended:
                return
            self._session.end(stream, Lost(CANCELLED))
            self._wake_all()
        self._send_apart(reset(stream.number))

    def wake(self, stream: Stream) -> None:
        """Have a `receive` that waits, or else the next, give nothing."""
        with self._lock:
            stream.woken = True
            self._wake_all()

    def _wake_all(self) -> None:
        self._news.notify_all()
        if self._reader is not None:
            self._bell.ring()

    # Reading.

    def receive(self, stream: Stream, until: float) -> bytes | None:
        """Give a stream's next message; None where it has ended, was woken, or time is up."""
        try:
            while True:
                with self._lock:
                    if stream.messages:
                        message = stream.pop()
                        break
                    if stream.ended or stream.woken or not self._take_a_turn(until):
                        stream.woken = False
                        return None
                self._read(until)
        except BaseException:  # an interrupt
            self._pass_turn_on()
            raise
        if stream.owes_much:
            with self._lock:
                credit = self._session.credit(stream)
            self._send_apart(credit)
        return message

    def _wait(self, ready: Callable[[], bool], until: float) -> bool:
        """Wait until something is so; False where time is up."""
        try:
            while True:
                with self._lock:
                    if ready():
                        return True
                    if not self._take_a_turn(until):
                        return False
                self._read(until)
        except BaseException:  # an interrupt
            self._pass_turn_on()
            raise

    def _take_a_turn(self, until: float) -> bool:
        """Become the one who reads, or wait until something has come; False where time is up."""
        left = until - time.monotonic()
        if left <= 0:
            return False
        if self._reader is None:
            self._reader = threading.get_ident()
        else:
            self._waiting += 1
            try:
                self._news.wait(min(left, LOOK_UP))
            finally:
                self._waiting -= 1
        return True

    def _pass_turn_on(self) -> None:
        with self._lock:
            if self._reader == threading.get_ident():
                self._reader = None
                if self._waiting:
                    self._news.notify_all()

    def _read(self, until: float) -> None:
        """Read once, where it is our turn."""
        if self._reader != threading.get_ident():
            return
        replies, self._in_hand = b"", False
        try:
            replies = self._read_once(until)
        except OSError as error:
            self._lose(Lost(of_connection(error)))
        except (ValueError, struct.error, HPACKError) as error:
            self._lose(Lost(f"it does not speak HTTP/2 as it should: {error}"))
        except BaseException:
            if self._in_hand:  # what we have read may be lost
                self._lose(Lost("reading was interrupted"))
            raise
        finally:
            self._pass_turn_on()
            self._let_go_if_lost()
        if self._lost is None and (replies or self._link.owes):
            self._send_apart(replies)

    def _read_once(self, until: float) -> bytes:
        now = time.monotonic()
        due = self._pulse.due
        if not self._link.wait(max(0.0, min(until, due) - now)):
            return self._pulse.ask() if time.monotonic() >= due else b""
        self._in_hand = True
        come = self._link.receive()
        if come is None:
            return b""
        if not come:
            raise ConnectionResetError("the connection was closed")
        self._pulse.hear(now)
        with self._lock:
            return self._session.sort(come)

    # The end.

    @property
    def is_over(self) -> bool:
        """Whether nothing comes of it any more."""
        return self._lost is not None

    def retire(self) -> None:
        """Take no more requests, and end with the last of those that are under way."""
        with self._lock:
            self._session.going = True
        self._let_go()

    def close(self) -> None:
        """End everything; idempotent."""
        self._lose(Lost(CANCELLED))
        self._let_go()

    def abandon(self) -> None:
        """See `forks.Inherited`."""
        self._begin_locks()
        if not self._released:
            self._lost = Lost("it is another process's", sent=False)
            self._session.end_all(self._lost)
            self._released = True
            self._link.close()
            self._bell.close()

    def _lose(self, lost: Lost) -> None:
        """End everything, for this reason."""
        with self._lock:
            if self._lost is None:
                self._lost = lost
                self._session.end_all(lost)
                self._link.end()
                self._wake_all()

    def _let_go(self) -> None:
        """Let go of the socket, once it is over and nobody uses it."""
        with self._lock:
            if self._session.going and not self._session.streams and self._lost is None:
                self._lost = Lost("the server has closed the connection", sent=False)
            over = self._lost is not None and self._reader is None and not self._released
            # Whoever sends does it then.
            if over and self._sending.acquire(blocking=False):
                self._released = True
                self._link.close()
                self._bell.close()
                self._sending.release()
