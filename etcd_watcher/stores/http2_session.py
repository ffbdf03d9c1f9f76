"""The streams of a connection of HTTP/2: what comes is sorted into them, whoever has read it.

No socket and no lock is here: bytes go in, and what there is to reply comes out.
"""

from __future__ import annotations

import math
import struct
from collections import deque
from typing import NamedTuple

from hpack import Decoder

from etcd_watcher.secret import SecretBytes
from etcd_watcher.stores import http2_frames as h2

__all__ = ["CANCELLED", "MESSAGE_HEAD", "Lost", "Session", "Stream", "is_grpc", "part", "reset"]

CANCELLED = "it was cancelled by us"
"""Why what we have ended has ended."""

WINDOW = 4 * 1024 * 1024
"""Bytes of whole messages of a stream that nobody has taken, at the most (and one message more)."""

ALL_WINDOWS = 2**31 - 1
"""What all streams together may be sent. One that is not read must not hold up the others."""

AT_FIRST = 65_535
"""Bytes of a window before anybody has said how large it is."""

LAST_STREAM = 2**31 - 1

HEADER_BYTES = 64 * 1024
"""Bytes of headers that are taken, and then that they may be unpacked to. hpack 4.0 takes a number of
any length, in time that grows with its square."""

OLDER = (
    "it answers in HTTP/1 (where a proxy or a load balancer is on the way, have that take HTTP/2)"
)

MESSAGE_HEAD = struct.Struct(">BI")
"""Before each message: whether it is compressed, and its length."""


class Lost(NamedTuple):
    """Why a stream has ended without the server's word on it.

    Attributes
    ----------
    reason : str
    code : int or None
        HTTP/2's, where the server has reset it.
    sent : bool
        Whether the server may have acted on it.
    passed_over : bool
        Whether the server has acted on others of the connection, and not on this one: it may be begun
        again at once.
    """

    reason: str
    code: int | None = None
    sent: bool = True
    passed_over: bool = False


class Stream:
    """One request, and what comes of it. The connection's lock guards it."""

    __slots__ = (
        "bound", "ended", "has_data", "headers", "held", "lost", "messages", "missing", "number", "owed", "parts",
        "too_large", "trailers", "until", "window", "woken",
    )  # fmt: skip

    def __init__(self, number: int, window: int, until: float, bound: int) -> None:
        self.number = number
        self.until = until
        """When nobody waits for it any more, by the monotonic clock."""
        self.window = window
        """Bytes that may be sent."""
        self.bound = bound
        """Bytes that a message may have."""
        self.messages: deque[bytes] = deque()
        self.headers: dict[str, bytes] | None = None
        self.has_data = False
        """Whether any byte of a message has come."""
        self.trailers: dict[str, bytes] = {}
        self.ended = False
        """Whether nothing more comes."""
        self.lost: Lost | None = None
        self.too_large = 0
        """Bytes of a message that was more than `bound`."""
        self.woken = False
        """Whether who waits is to look up, though nothing has come."""
        self.parts: list[bytes] = []
        """Of a message that is not whole yet."""
        self.missing = 0
        """Bytes of it that are missing; 0 where its length is not known."""
        self.held = self.owed = 0
        """Bytes of whole messages, and of what the server does not know yet that it may send."""

    def take(self, content: bytes) -> None:
        """Take bytes of messages."""
        if not content:  # or there would be more and more parts
            return
        self.has_data = True
        if self.missing:
            self.parts.append(content)
            self.missing -= len(content)
            if self.missing > 0:
                return
            content = b"".join(self.parts)
            self.parts.clear()
            self.missing = 0
        elif self.parts:  # less than a head
            content = self.parts.pop() + content
        begin, end = 0, len(content)
        while end - begin >= MESSAGE_HEAD.size:
            compressed, size = MESSAGE_HEAD.unpack_from(content, begin)
            if compressed:
                raise ValueError("a message that is compressed, which nobody has asked for")
            if size > self.bound:
                self.too_large = size
                return
            behind = begin + MESSAGE_HEAD.size + size
            if behind > end:
                self.missing = behind - end
                break
            self.messages.append(content[begin + MESSAGE_HEAD.size : behind])
            self.held += behind - begin
            begin = behind
        if begin < end:
            self.parts.append(content[begin:] if begin else content)

    @property
    def owes_much(self) -> bool:
        """Whether the server is to be told soon that it may send more."""
        return self.owed >= WINDOW // 4

    def pop(self) -> bytes:
        """Give the next message."""
        message = self.messages.popleft()
        size = len(message) + MESSAGE_HEAD.size
        self.held -= size
        self.owed += size
        return message


class Session:
    """The state of one connection."""

    def __init__(self) -> None:
        self.streams: dict[int, Stream] = {}
        """Those that have not ended."""
        self.going = False
        """Whether the server takes no more requests."""
        self.met = False
        """Whether the server has said that it speaks HTTP/2."""
        self.window = AT_FIRST
        """Bytes that may be sent, on all streams together."""
        self.most = h2.FRAME_BYTES
        """Bytes that a frame may have that we send."""
        self._next = 1
        self._stream_window = AT_FIRST
        self._most_streams = LAST_STREAM
        self._owed = 0
        self._rest = b""
        """The beginning of a frame."""
        self._block: tuple[int, int, bytearray] | None = None
        """Headers of which more come: whose, the flags of the first frame, and so far."""
        self._decoder = Decoder(max_header_list_size=HEADER_BYTES)

    @staticmethod
    def hello() -> bytes:
        """Give what we begin with."""
        more = _more(0, ALL_WINDOWS - AT_FIRST)
        return h2.PREFACE + h2.settings(WINDOW) + more

    @property
    def takes_requests(self) -> bool:
        return (
            not self.going and self._next < LAST_STREAM and len(self.streams) < self._most_streams
        )

    @property
    def has_begun(self) -> bool:
        """Whether there ever was a stream."""
        return self._next > 1

    def open(self, bound: int, until: float = math.inf) -> Stream:
        """Begin a stream, for so long, whose messages may have so many bytes."""
        stream = Stream(self._next, self._stream_window, until, bound)
        self._next += 2
        self.streams[stream.number] = stream
        return stream

    def room(self, stream: Stream, size: int) -> int:
        """Take room for so many bytes to send, or for fewer; give for how many."""
        if stream.ended:
            return 0
        room = max(0, min(self.most, self.window, stream.window, size))
        self.window -= room
        stream.window -= room
        return room

    def credit(self, stream: Stream) -> bytes:
        """Give what tells the server that it may send more; b"" where it may still send much."""
        if not stream.owes_much or stream.ended:
            return b""
        owed, stream.owed = stream.owed, 0
        return _more(stream.number, owed)

    def end(self, stream: Stream, lost: Lost | None) -> None:
        """End a stream; `lost` says why, if not by the server's word."""
        stream.ended, stream.lost = True, lost
        stream.parts.clear()
        if lost is not None and lost.reason == CANCELLED:  # nobody wants them
            stream.messages.clear()
        self.streams.pop(stream.number, None)

    def end_all(self, lost: Lost) -> None:
        """End all streams there are."""
        for stream in list(self.streams.values()):
            self.end(stream, lost)

    def sort(self, come: bytes) -> bytes:
        """Sort what came into the streams; give what there is to reply.

        Raises
        ------
        ValueError, struct.error, HPACKError
            It is no HTTP/2.
        """
        if self._rest:
            come = self._rest + come
        replies: list[bytes] = []
        begin, end = 0, len(come)
        head, size_of_head = h2.HEAD.unpack_from, h2.HEAD.size
        while end - begin >= size_of_head:
            high, low, kind, flags, number = head(come, begin)
            behind = begin + size_of_head + (high << 8 | low)
            if not self.met and come.startswith(b"HTTP/"):
                raise ValueError(OLDER)
            if high << 8 | low > h2.FRAME_BYTES:
                raise ValueError("a frame that is too long")
            if behind > end:
                break
            content = come[begin + size_of_head : behind]
            begin = behind
            if not self.met and kind != h2.SETTINGS:
                raise ValueError("it did not begin with its settings")
            if self._block is not None and kind != h2.CONTINUATION:
                raise ValueError("headers that stop in the middle")
            if kind == h2.DATA:
                self._take_data(number, flags, content, replies)
            else:
                self._take_other(kind, flags, number, content, replies)
        self._rest = come[begin:]
        return b"".join(replies)

    def _take_data(self, number: int, flags: int, content: bytes, replies: list[bytes]) -> None:
        size = len(content)
        self._owed += size
        if self._owed > ALL_WINDOWS // 4:
            replies.append(_more(0, self._owed))
            self._owed = 0
        stream = self.streams.get(number)
        if stream is None:  # one that was cancelled
            return
        if flags & h2.PADDED:
            content = h2.without_padding(flags, content)
        held = stream.held
        stream.take(content)
        stream.owed += size + held - stream.held
        if stream.too_large:
            self.end(stream, Lost("a message is too large"))
            replies.append(reset(number))
        elif flags & h2.END_STREAM:
            self.end(stream, None)
        elif stream.owes_much:
            replies.append(self.credit(stream))

    def _take_other(
        self, kind: int, flags: int, number: int, content: bytes, replies: list[bytes]
    ) -> None:
        if kind in {h2.HEADERS, h2.CONTINUATION}:
            self._take_headers(kind, flags, number, content, replies)
        elif kind == h2.SETTINGS and not flags & h2.ACK:
            self._take_settings(content)
            replies.append(h2.frame(h2.SETTINGS, h2.ACK))
        elif kind == h2.PING and not flags & h2.ACK:
            replies.append(h2.frame(h2.PING, h2.ACK, 0, content))
        elif kind == h2.WINDOW_UPDATE:
            self._take_window(number, _number(content))
        elif kind == h2.RST_STREAM:
            self._take_reset(number, _number(content))
        elif kind == h2.GOAWAY:
            self._take_farewell(_number(content))
        elif kind == h2.PUSH_PROMISE:
            raise ValueError("it pushes what nobody has asked for")

    def _take_headers(
        self, kind: int, flags: int, number: int, content: bytes, replies: list[bytes]
    ) -> None:
        if kind == h2.HEADERS:
            content = h2.without_padding(flags, content)[5 if flags & h2.PRIORITY else 0 :]
            ends, block = flags & h2.END_STREAM, bytearray(content)
        elif self._block is not None and self._block[0] == number:
            _, ends, block = self._block
            block += content
        else:
            raise ValueError("headers that go on without a beginning")
        if len(block) > HEADER_BYTES:
            raise ValueError("headers that are too long")
        self._block = None if flags & h2.END_HEADERS else (number, ends, block)
        if self._block is None:
            # Whosever they are: the next ones may refer to them.
            found = self._decoder.decode(bytes(block), raw=True)
            headers = {bytes(name).decode("latin-1"): bytes(value) for name, value in found}
            if stream := self.streams.get(number):
                self._tell_headers(stream, headers, ends)
                if stream.ended and not ends:
                    replies.append(reset(number))

    def _tell_headers(self, stream: Stream, headers: dict[str, bytes], ends: int) -> None:
        if stream.headers is None:
            if headers.get(":status", b"")[:1] == b"1" and not ends:
                return
            stream.headers = headers
            if not ends and not is_grpc(headers):  # a page of a proxy's: no messages
                self.end(stream, None)
        if ends:
            stream.trailers = headers
            self.end(stream, None)

    def _take_reset(self, number: int, code: int) -> None:
        # REFUSED_STREAM is to mean that nothing was done. HAProxy 2.6 says it of requests, too, which
        # it has sent on, where its own connection to etcd breaks: puts were then made twice.
        if stream := self.streams.get(number):
            self.end(stream, Lost(f"the server has reset the request (HTTP/2 error {code})", code))

    def _take_settings(self, content: bytes) -> None:
        for name, value in struct.iter_unpack(">HL", content):
            if name == h2.INITIAL_WINDOW:
                for stream in self.streams.values():
                    stream.window += value - self._stream_window
                self._stream_window = value
            elif name == h2.MAX_FRAME:
                self.most = min(max(value, h2.FRAME_BYTES), WINDOW)
            elif name == h2.MAX_STREAMS:
                self._most_streams = value
        self.met = True

    def _take_window(self, number: int, more: int) -> None:
        if number == 0:
            self.window += more
        elif stream := self.streams.get(number):
            stream.window += more

    def _take_farewell(self, last: int) -> None:
        self.going = True
        for stream in list(self.streams.values()):
            if stream.number > last:
                reason = "the server is closing the connection"
                self.end(stream, Lost(reason, sent=False, passed_over=last > 0))


def is_grpc(headers: dict[str, bytes]) -> bool:
    """Tell whether an answer that begins so is one of gRPC's."""
    kind = headers.get("content-type", b"")
    return headers.get(":status") == b"200" and kind.startswith(b"application/grpc")


def _more(number: int, size: int) -> bytes:
    return h2.frame(h2.WINDOW_UPDATE, 0, number, struct.pack(">L", size))


def reset(number: int) -> bytes:
    """Give what tells the server that nobody wants the rest of a stream."""
    return h2.frame(h2.RST_STREAM, 0, number, struct.pack(">L", h2.STREAM_CANCELLED))


def _number(content: bytes) -> int:
    """Give the number that a frame begins with."""
    return int.from_bytes(content[:4], "big") & LAST_STREAM


def part(stream: Stream, content: bytes, *, ends: bool) -> SecretBytes:
    """Give the frame of a part of a message; `ends` where nothing follows it."""
    return SecretBytes(h2.frame(h2.DATA, h2.END_STREAM if ends else 0, stream.number, content))
