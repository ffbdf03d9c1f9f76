"""How much may be sent, and how much may come."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from etcd_watcher.stores import http2_frames as h2
from etcd_watcher.stores.http2_session import (
    ALL_WINDOWS,
    AT_FIRST,
    CANCELLED,
    MESSAGE_HEAD,
    WINDOW,
    Lost,
    Session,
    Stream,
)
from tests.stores.http2_server import message, numbered
from tests.stores.http2_session.frames import BOUND, data, frames_of, granted, in_frames, settings

# How much may be sent.


def test_the_server_says_how_much_it_takes(session: Session) -> None:
    before = session.open(BOUND)
    assert session.room(before, 60_000) == h2.FRAME_BYTES
    session.sort(settings((h2.INITIAL_WINDOW, 100_000), (h2.MAX_FRAME, 50_000)))
    after = session.open(BOUND)
    assert (before.window, after.window) == (100_000 - h2.FRAME_BYTES, 100_000)
    assert session.room(after, 60_000) == AT_FIRST - h2.FRAME_BYTES  # of all streams
    assert session.room(after, 1) == 0
    session.sort(numbered(h2.WINDOW_UPDATE, 0, 10**6))
    assert session.room(after, 10) == 10
    assert session.room(after, 60_000) == 50_000
    assert session.room(after, 60_000) == 50_000 - (AT_FIRST - h2.FRAME_BYTES) - 10
    session.sort(numbered(h2.WINDOW_UPDATE, after.number, 7))
    assert session.room(after, 60_000) == 7


def test_a_window_may_become_less_than_nothing(session: Session, stream: Stream) -> None:
    assert session.room(stream, 10_000) == 10_000
    session.sort(settings((h2.INITIAL_WINDOW, 1_000)))
    assert stream.window == 1_000 - 10_000
    assert session.room(stream, 1) == 0
    session.sort(numbered(h2.WINDOW_UPDATE, stream.number, 9_000))
    assert session.room(stream, 1) == 0
    session.sort(numbered(h2.WINDOW_UPDATE, stream.number, 7))
    assert session.room(stream, 100) == 7
    session.sort(settings((h2.INITIAL_WINDOW, 1_100)))
    assert session.room(stream, 200) == 100


def test_no_frame_is_larger_than_a_server_must_take(session: Session, stream: Stream) -> None:
    session.sort(settings((h2.MAX_FRAME, 1)))  # less than is allowed
    assert session.room(stream, 20_000) == h2.FRAME_BYTES
    session.sort(settings((h2.MAX_FRAME, 2**24 - 1)))
    assert session.most <= WINDOW


def test_a_server_takes_so_many_requests_at_once(session: Session) -> None:
    session.sort(settings((h2.MAX_STREAMS, 2)))
    first, _ = session.open(BOUND), session.open(BOUND)
    assert not session.takes_requests
    session.end(first, None)
    assert session.takes_requests


# How much may come.


def test_who_is_not_read_is_sent_no_more_than_a_window(session: Session, stream: Stream) -> None:
    window, one, came = WINDOW, message(bytes(100_000)), 0
    while window >= len(one):
        replies = session.sort(in_frames(stream, one))
        window += granted(replies, stream.number) - len(one)
        came += len(one)
    assert WINDOW - 100_000 <= came <= WINDOW + len(one)
    other = session.open(BOUND)
    assert not granted(session.sort(in_frames(other, one)), stream.number)


def test_who_reads_on_may_be_sent_on(session: Session, stream: Stream) -> None:
    window, one = WINDOW, message(bytes(100_000))
    for _ in range(200):
        window -= len(one)
        assert window >= 0
        window += granted(session.sort(in_frames(stream, one)), stream.number)
        assert len(stream.pop()) == 100_000
        window += granted(session.credit(stream), stream.number)
    assert WINDOW // 2 < window <= WINDOW


@given(st.lists(st.tuples(st.integers(0, 9 * 1024 * 1024), st.booleans()), min_size=1, max_size=8))
def test_no_order_of_sizes_and_readers_holds_anything_up(
    steps: list[tuple[int, bool]],
) -> None:
    session = Session()
    session.sort(settings())
    stream = session.open(BOUND)
    window, taken, came, largest = WINDOW, 0, 0, 0
    for size, reads in steps:
        largest = max(largest, size + MESSAGE_HEAD.size)
        left = size + MESSAGE_HEAD.size
        head = MESSAGE_HEAD.pack(0, size)
        while left:
            part = min(left, 16_000, window)
            if part == 0:  # held up: by what has come whole, and nobody has taken
                assert stream.messages
                taken += len(stream.pop()) + MESSAGE_HEAD.size
                window += granted(session.credit(stream), stream.number)
                continue
            content = (head + bytes(part))[:part]
            head = head[part:]
            window += granted(session.sort(data(stream, content)), stream.number) - part
            left, came = left - part, came + part
            assert came - taken <= WINDOW + largest
            assert came + window - taken <= WINDOW + largest
        while reads and stream.messages:
            taken += len(stream.pop()) + MESSAGE_HEAD.size
            window += granted(session.credit(stream), stream.number)
    while stream.messages:
        taken += len(stream.pop()) + MESSAGE_HEAD.size
        window += granted(session.credit(stream), stream.number)
    assert came == taken
    assert window > WINDOW // 2


def test_a_message_larger_than_the_window_comes_whole(session: Session, stream: Stream) -> None:
    content = message(bytes(3 * WINDOW))
    window, begin = WINDOW, 0
    while begin < len(content):
        part = content[begin : begin + min(window, h2.FRAME_BYTES)]
        assert part
        begin += len(part)
        window += granted(session.sort(data(stream, part)), stream.number) - len(part)
    assert len(stream.pop()) == 3 * WINDOW


def test_padding_counts_and_is_given_back(session: Session, stream: Stream) -> None:
    padded = data(stream, b"\xff" + bytes(255), h2.PADDED)
    window = WINDOW
    for _ in range(3 * WINDOW // 256):
        window -= 256
        assert window >= 0
        window += granted(session.sort(padded), stream.number)


def test_what_comes_for_one_that_was_cancelled_is_given_back_to_all(session: Session) -> None:
    gone = session.open(BOUND)
    session.end(gone, Lost(CANCELLED))
    window = ALL_WINDOWS
    frame = data(gone, bytes(h2.FRAME_BYTES))
    for _ in range(2):
        window -= h2.FRAME_BYTES * 20_000
        window += granted(b"".join(session.sort(frame) for _ in range(20_000)), 0)
    assert window > ALL_WINDOWS // 2
    assert not gone.messages


def test_a_message_that_is_too_large_ends_its_stream_alone(session: Session) -> None:
    small, other = session.open(1000), session.open(1000)
    replies = session.sort(
        in_frames(small, message(bytes(1000)) + message(bytes(1001))) + data(other, message(b"x"))
    )
    assert (small.ended, small.too_large, len(small.messages)) == (True, 1001, 1)
    assert (h2.RST_STREAM, small.number) in [(each[0], each[2]) for each in frames_of(replies)]
    assert (other.ended, list(other.messages)) == (False, [b"x"])
    session.sort(in_frames(small, bytes(5000)))
    assert len(small.messages) == 1
    assert not small.parts
