"""An exchange with nearly all there is, and a session that hears one."""

from __future__ import annotations

from dataclasses import dataclass, field

from hpack import Encoder

from etcd_watcher.stores import http2_frames as h2
from etcd_watcher.stores.http2_session import Session
from tests.stores.http2_server import GRPC, message, numbered
from tests.stores.http2_session.frames import BOUND, OK, WHOLE, data, settings


@dataclass
class Talk:
    """An exchange: what came of it, and what was replied."""

    bound: int = BOUND
    session: Session = field(default_factory=Session)
    replies: bytes = b""

    def __post_init__(self) -> None:
        self.streams = [self.session.open(self.bound) for _ in range(3)]

    def hear(self, *pieces: bytes) -> None:
        for piece in pieces:
            self.replies += self.session.sort(piece)

    def told(self) -> list[object]:
        return [
            (list(each.messages), each.headers, each.trailers, each.ended, each.lost)
            for each in self.streams
        ]


def long_talk() -> bytes:
    """Give an exchange with nearly all there is, on streams 1, 3 and 5."""
    encoder = Encoder()
    first, second, third = (Session().open(BOUND) for _ in range(3))
    second.number, third.number = 3, 5
    block = encoder.encode([*GRPC, ("what", "ever" * 20)])
    padded = h2.frame(h2.HEADERS, h2.PADDED | h2.PRIORITY | h2.END_HEADERS, 3, (
        b"\x03" + bytes(5) + encoder.encode(GRPC) + bytes(3)
    ))  # fmt: skip
    return b"".join([
        settings((h2.MAX_STREAMS, 100), (99, 7)),
        h2.frame(h2.HEADERS, 0, 1, block[:7]),
        h2.frame(h2.CONTINUATION, 0, 1, block[7:9]),
        h2.frame(h2.CONTINUATION, h2.END_HEADERS, 1, block[9:]),
        numbered(h2.WINDOW_UPDATE, 0, 1000),
        padded,
        data(first, message(b"a" * 300)[:3]),
        data(second, b"\x02" + message(b"") + message(b"b") + b"\0\0", h2.PADDED),
        h2.frame(h2.PING, content=b"12345678"),
        data(first, message(b"a" * 300)[3:] + message(b"c")[:5]),
        h2.frame(h2.PRIORITY_FRAME, 0, 3, bytes(5)),
        h2.frame(200, 255, 1, b"nobody knows this kind"),
        data(first, b"c"),
        h2.frame(h2.HEADERS, h2.END_HEADERS, 5, encoder.encode([(":status", "100")])),
        h2.frame(h2.HEADERS, WHOLE, 5, encoder.encode([*GRPC, ("grpc-status", "5")])),
        h2.frame(h2.HEADERS, WHOLE, 1, encoder.encode([*OK, ("what", "ever" * 20)])),
        numbered(h2.RST_STREAM, 3, h2.STREAM_CANCELLED),
    ])  # fmt: skip


TALK = long_talk()
