"""What comes and is not HTTP/2, or makes no sense, is refused or taken."""

from __future__ import annotations

import struct
from contextlib import suppress

import pytest
from hpack import Encoder
from hpack.exceptions import HPACKError
from hypothesis import given
from hypothesis import strategies as st

from etcd_watcher.stores import http2_frames as h2
from etcd_watcher.stores.http2_session import HEADER_BYTES, Session, Stream
from tests.stores.http2_server import GRPC, message
from tests.stores.http2_session.frames import data, settings
from tests.stores.http2_session.talk import TALK, Talk


@given(
    st.lists(
        st.one_of(
            st.tuples(st.integers(0, len(TALK) - 1), st.binary(max_size=3), st.integers(0, 4)),
            st.tuples(st.sampled_from([0, 3, 4, 9]), st.binary(max_size=40), st.integers(0, 40)),
        ),
        max_size=4,
    ),
    st.integers(1, 400),
)
def test_what_was_damaged_is_refused_or_taken(
    damages: list[tuple[int, bytes, int]], step: int
) -> None:
    damaged = TALK
    for where, more, less in damages:
        damaged = damaged[:where] + more + damaged[where + less :]
    _hear_anything(damaged, step)


@given(st.binary(max_size=200), st.integers(1, 200))
def test_anything_is_refused_or_taken(come: bytes, step: int) -> None:
    _hear_anything(come, step)
    _hear_anything(settings() + come, step)


@given(
    st.lists(
        st.tuples(
            st.integers(0, 11),
            st.integers(0, 255),
            st.integers(0, 8),
            st.one_of(
                st.binary(max_size=30),
                st.sampled_from([message(b"m"), Encoder().encode(GRPC), bytes(6), b"\xff" * 30]),
            ),
        ),
        max_size=20,
    )
)
def test_frames_that_make_no_sense_are_refused_or_taken(
    frames: list[tuple[int, int, int, bytes]],
) -> None:
    _hear_anything(settings() + b"".join(h2.frame(*each) for each in frames), 1 << 20)


def _hear_anything(come: bytes, step: int) -> None:
    talk = Talk(bound=1000)
    with suppress(ValueError, struct.error, HPACKError):
        talk.hear(*(come[begin : begin + step] for begin in range(0, len(come), step)))
    for stream in talk.streams:
        assert talk.session.room(stream, 10**9) <= talk.session.most
        assert sum(len(each) for each in [*stream.parts, *stream.messages]) <= len(come)
        while stream.messages:
            assert len(stream.pop()) <= 1000


@pytest.mark.parametrize(
    "come",
    [
        h2.frame(h2.PING, content=bytes(8)),
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        settings() + h2.HEAD.pack(0x40, 1, h2.DATA, 0, 1),
        settings() + h2.frame(h2.SETTINGS, content=b"12345"),
        settings() + h2.frame(h2.DATA, h2.PADDED, 1, b""),
        settings() + h2.frame(h2.DATA, h2.PADDED, 1, b"\x05abcd"),
        settings() + h2.frame(h2.PUSH_PROMISE, h2.END_HEADERS, 1, bytes(4)),
        settings() + h2.frame(h2.CONTINUATION, h2.END_HEADERS, 1, b""),
        settings() + h2.frame(h2.HEADERS, 0, 1, b"") + h2.frame(h2.DATA, 0, 1, b""),
        settings()
        + h2.frame(h2.HEADERS, 0, 1, b"")
        + h2.frame(h2.CONTINUATION, h2.END_HEADERS, 3, b""),
        settings() + h2.frame(h2.HEADERS, h2.END_HEADERS, 1, b"\xff\xff\xff"),
        settings() + h2.frame(h2.HEADERS, h2.END_HEADERS, 1, b"\xbf\xff" + b"\xff" * 9000),
        settings() + h2.frame(h2.DATA, 0, 1, b"\x01\0\0\0\x01x"),
    ],
)
def test_what_breaks_the_rules_is_refused(come: bytes) -> None:
    talk = Talk()
    with pytest.raises((ValueError, struct.error, HPACKError)):
        talk.hear(come)


def test_headers_without_end_are_refused() -> None:
    talk = Talk()
    talk.hear(settings(), h2.frame(h2.HEADERS, 0, 1, bytes(1000)))
    more = h2.frame(h2.CONTINUATION, 0, 1, bytes(h2.FRAME_BYTES))
    with pytest.raises(ValueError, match="too long"):
        talk.hear(*[more] * (HEADER_BYTES // h2.FRAME_BYTES + 1))


def test_headers_that_unpack_to_very_much_are_refused() -> None:
    talk = Talk()
    encoder = Encoder()
    first = encoder.encode([("x", "y" * 4000)])
    again = encoder.encode([("x", "y" * 4000)])
    assert len(again) == 1
    with pytest.raises(HPACKError):
        talk.hear(settings(), h2.frame(h2.HEADERS, h2.END_HEADERS, 1, first + again * 10_000))


def test_frames_of_nothing_are_kept_nowhere(session: Session, stream: Stream) -> None:
    session.sort(data(stream, message(b"whole")[:7]))
    session.sort(data(stream, b"") * 1000)
    session.sort(data(stream, b"\x02\0\0", h2.PADDED) * 1000)
    assert len(stream.parts) == 1
    session.sort(data(stream, message(b"whole")[7:]))
    assert list(stream.messages) == [b"whole"]
