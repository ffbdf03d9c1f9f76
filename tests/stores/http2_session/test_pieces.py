"""What comes on a connection is sorted into its streams, however it is cut."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from etcd_watcher.stores import http2_frames as h2
from etcd_watcher.stores.http2_session import Session
from tests.stores.http2_server import message
from tests.stores.http2_session.frames import BOUND, data, frames_of, in_frames, settings
from tests.stores.http2_session.talk import TALK, Talk


def test_an_exchange_is_sorted_into_its_streams() -> None:
    talk = Talk()
    talk.hear(TALK)
    first, second, third = talk.streams
    ever = b"ever" * 20
    grpc = {":status": b"200", "content-type": b"application/grpc"}
    assert list(first.messages) == [b"a" * 300, b"c"]
    assert first.headers == {**grpc, "what": ever}
    assert first.trailers == {"grpc-status": b"0", "what": ever}
    assert (list(second.messages), second.headers) == ([b"", b"b"], grpc)
    assert second.lost is not None
    assert (second.lost.code, second.lost.sent) == (h2.STREAM_CANCELLED, True)
    assert third.headers == third.trailers == {**grpc, "grpc-status": b"5"}
    assert (first.ended, first.lost, third.ended, third.lost) == (True, None, True, None)
    assert frames_of(talk.replies) == [
        (h2.SETTINGS, h2.ACK, 0, b""),
        (h2.PING, h2.ACK, 0, b"12345678"),
    ]
    assert not talk.session.streams


@given(st.lists(st.integers(0, len(TALK)), max_size=12))
def test_where_it_is_cut_does_not_matter(cuts: list[int]) -> None:
    whole, cut = Talk(), Talk()
    whole.hear(TALK)
    edges = [0, *sorted(cuts), len(TALK)]
    cut.hear(*(TALK[begin:end] for begin, end in pairwise(edges)))
    assert cut.told() == whole.told()
    assert cut.replies == whole.replies


def test_it_may_come_byte_by_byte() -> None:
    whole, cut = Talk(), Talk()
    whole.hear(TALK)
    cut.hear(*(bytes([each]) for each in TALK))
    assert (cut.told(), cut.replies) == (whole.told(), whole.replies)


@given(
    st.lists(st.integers(0, 40_000), max_size=6),
    st.lists(st.tuples(st.integers(0, 16_000), st.integers(0, 255)), max_size=12),
)
def test_messages_are_cut_into_frames_anyhow(sizes: list[int], cuts: list[tuple[int, int]]) -> None:
    session = Session()
    session.sort(settings())
    stream = session.open(BOUND)
    messages = [bytes([number]) * size for number, size in enumerate(sizes)]
    left = b"".join(message(each) for each in messages)
    for size, padding in cuts:
        part, left = left[:size], left[size:]
        session.sort(data(stream, bytes([padding]) + part + bytes(padding), h2.PADDED))
    session.sort(in_frames(stream, left) + data(stream, b"", h2.END_STREAM))
    assert list(stream.messages) == messages
    assert (stream.ended, stream.lost, stream.parts) == (True, None, [])
