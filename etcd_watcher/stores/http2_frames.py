"""What HTTP/2 sends, as bytes: its frames (RFC 9113), and the headers of a request (RFC 7541)."""

from __future__ import annotations

import struct

__all__ = [
    "ACK",
    "CONTINUATION",
    "DATA",
    "END_HEADERS",
    "END_STREAM",
    "ENHANCE_YOUR_CALM",
    "FRAME_BYTES",
    "GOAWAY",
    "HEAD",
    "HEADERS",
    "INITIAL_WINDOW",
    "MAX_FRAME",
    "MAX_STREAMS",
    "NO_ERROR",
    "PADDED",
    "PING",
    "PREFACE",
    "PRIORITY",
    "PUSH_PROMISE",
    "REFUSED_STREAM",
    "RST_STREAM",
    "SETTINGS",
    "STREAM_CANCELLED",
    "WINDOW_UPDATE",
    "ask_headers",
    "frame",
    "header",
    "settings",
    "without_padding",
]

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
"""What a client sends first."""

DATA, HEADERS, PRIORITY_FRAME, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY = range(8)
WINDOW_UPDATE, CONTINUATION = 8, 9
"""The kinds of frames."""

END_STREAM, ACK, END_HEADERS, PADDED, PRIORITY = 0x1, 0x1, 0x4, 0x8, 0x20
"""Their flags."""

MAX_STREAMS, INITIAL_WINDOW, MAX_FRAME, _ENABLE_PUSH = 3, 4, 5, 2
"""Settings."""

NO_ERROR, REFUSED_STREAM, STREAM_CANCELLED, ENHANCE_YOUR_CALM = 0, 7, 8, 11
"""Why a stream or a connection ends."""

HEAD = struct.Struct(">HBBBL")
"""What a frame begins with: its length in two parts, its kind, its flags, its stream."""

FRAME_BYTES = 16_384
"""Bytes that a frame may have where the other side has not said that it takes more."""

_SHORT, _MORE = 0x7F, 0x80


def frame(kind: int, flags: int = 0, stream: int = 0, content: bytes = b"") -> bytes:
    """Give a frame."""
    size = len(content)
    return HEAD.pack(size >> 8, size & 0xFF, kind, flags, stream) + content


def settings(window: int) -> bytes:
    """Give our own settings: no pushes, and a window of so many bytes for each stream."""
    pairs = ((_ENABLE_PUSH, 0), (INITIAL_WINDOW, window))
    return frame(SETTINGS, content=b"".join(struct.pack(">HL", *each) for each in pairs))


def header(name: str, value: str) -> bytes:
    """Give a header as a literal that nobody is to remember: so it needs no table, here or there."""
    return b"\x10" + _text(name) + _text(value)


def _text(text: str) -> bytes:
    raw = text.encode()
    size = len(raw)
    if size < _SHORT:
        return bytes([size]) + raw
    length, size = bytearray([_SHORT]), size - _SHORT
    while size >= _MORE:
        length.append(_MORE | size & _SHORT)
        size >>= 7
    length.append(size)
    return bytes(length) + raw


def ask_headers(stream: int, block: bytes, *, most: int = FRAME_BYTES) -> bytes:
    """Give the frames of a request's headers."""
    parts = [block[begin : begin + most] for begin in range(0, len(block), most)] or [b""]
    frames = bytearray()
    for number, part in enumerate(parts):
        flags = END_HEADERS if number == len(parts) - 1 else 0
        frames += frame(HEADERS if number == 0 else CONTINUATION, flags, stream, part)
    return bytes(frames)


def without_padding(flags: int, content: bytes) -> bytes:
    """Give what a frame of headers or data has in it.

    Raises
    ------
    ValueError
        Its padding is longer than it is.
    """
    end = len(content)
    if flags & PADDED:
        if not content or content[0] >= end:
            raise ValueError("a frame with more padding than it is long")
        end -= content[0]
        content = content[1:end]
    return content
