"""Frames to give a session, and a look at those that it sends."""

from __future__ import annotations

import struct

from etcd_watcher.stores import http2_frames as h2
from etcd_watcher.stores.http2_session import Stream

BOUND = 64 * 1024 * 1024

OK = (("grpc-status", "0"),)

WHOLE = h2.END_HEADERS | h2.END_STREAM


def settings(*pairs: tuple[int, int]) -> bytes:
    return h2.frame(h2.SETTINGS, content=b"".join(struct.pack(">HL", *each) for each in pairs))


def data(stream: Stream, content: bytes, flags: int = 0) -> bytes:
    return h2.frame(h2.DATA, flags, stream.number, content)


def in_frames(stream: Stream, content: bytes) -> bytes:
    """Give the frames of what is too long for one."""
    most = h2.FRAME_BYTES
    return b"".join(
        data(stream, content[begin : begin + most]) for begin in range(0, len(content), most)
    )


def frames_of(sent: bytes) -> list[tuple[int, int, int, bytes]]:
    """Give kind, flags, stream and content of each frame."""
    found = []
    while sent:
        high, low, kind, flags, number = h2.HEAD.unpack_from(sent)
        behind = h2.HEAD.size + (high << 8 | low)
        found.append((kind, flags, number, sent[h2.HEAD.size : behind]))
        sent = sent[behind:]
    return found


def granted(sent: bytes, number: int) -> int:
    """Give how many bytes the server is told that it may send on a stream, or (0) on all."""
    return sum(
        struct.unpack(">L", content)[0]
        for kind, _, of, content in frames_of(sent)
        if (kind, of) == (h2.WINDOW_UPDATE, number)
    )
