"""What comes on a connection of HTTP/2, sorted into its streams: no socket, bytes as a script says."""

from __future__ import annotations

import struct
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import pairwise

import pytest
from hpack import Decoder, Encoder
from hpack.exceptions import HPACKError
from hypothesis import given
from hypothesis import strategies as st

from etcd_watcher.stores import http2_frames as h2
from etcd_watcher.stores.http2_session import (
    ALL_WINDOWS,
    AT_FIRST,
    CANCELLED,
    HEADER_BYTES,
    MESSAGE_HEAD,
    WINDOW,
    Lost,
    Session,
    Stream,
)
from tests.stores.http2_server import GRPC, message, numbered

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


@pytest.fixture
def session() -> Session:
    """One that the server has greeted."""
    made = Session()
    made.sort(settings())
    return made


@pytest.fixture
def stream(session: Session) -> Stream:
    """One of its streams, whose answer has begun."""
    made = session.open(BOUND)
    session.sort(h2.frame(h2.HEADERS, h2.END_HEADERS, made.number, Encoder().encode(GRPC)))
    assert made.headers is not None
    return made


# What comes in pieces.


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


# What is not HTTP/2.


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


# How streams end.


def test_a_farewell_ends_those_that_the_server_has_not_begun(session: Session) -> None:
    first, second, third = (session.open(BOUND) for _ in range(3))
    session.sort(h2.frame(h2.GOAWAY, content=struct.pack(">LL", first.number, 0) + b"why"))
    assert (session.going, session.takes_requests) == (True, False)
    assert (first.ended, second.ended, third.ended) == (False, True, True)
    assert second.lost is not None
    assert not second.lost.sent
    encoder = Encoder()
    session.sort(
        h2.frame(h2.HEADERS, h2.END_HEADERS, 1, encoder.encode(GRPC))
        + data(first, message(b"yet"))
        + h2.frame(h2.HEADERS, WHOLE, 1, encoder.encode(OK))
    )
    assert (list(first.messages), first.ended, first.lost) == ([b"yet"], True, None)


def test_a_second_farewell_may_take_more_with_it(session: Session) -> None:
    first, second = session.open(BOUND), session.open(BOUND)
    session.sort(h2.frame(h2.GOAWAY, content=struct.pack(">LL", 2**31 - 1, 0)))
    assert not second.ended
    session.sort(h2.frame(h2.GOAWAY, content=struct.pack(">LL", first.number, 0)))
    assert (first.ended, second.ended) == (False, True)


@pytest.mark.parametrize("code", [h2.REFUSED_STREAM, 2, h2.ENHANCE_YOUR_CALM])
def test_a_reset_says_whether_anything_was_done(
    session: Session, stream: Stream, code: int
) -> None:
    session.sort(data(stream, message(b"before")) + numbered(h2.RST_STREAM, stream.number, code))
    assert stream.lost is not None
    assert (stream.ended, stream.lost.code) == (True, code)
    assert stream.lost.sent == (code != h2.REFUSED_STREAM)
    assert list(stream.messages) == [b"before"]


def test_what_comes_for_streams_that_are_over_changes_nothing(session: Session) -> None:
    gone, other = session.open(BOUND), session.open(BOUND)
    encoder = Encoder()
    session.end(gone, Lost(CANCELLED))
    session.sort(
        h2.frame(h2.HEADERS, h2.END_HEADERS, gone.number, encoder.encode(GRPC))
        + data(gone, message(b"late"), h2.END_STREAM)
        + numbered(h2.WINDOW_UPDATE, gone.number, 7)
        + numbered(h2.RST_STREAM, gone.number, 2)
        + numbered(h2.RST_STREAM, 99, 2)
        + data(other, message(b"here"))
    )
    assert (gone.headers, list(gone.messages)) == (None, [])
    assert gone.lost == Lost(CANCELLED)
    assert list(other.messages) == [b"here"]


def test_headers_of_a_stream_that_was_cancelled_are_learnt(session: Session) -> None:
    gone, other = session.open(BOUND), session.open(BOUND)
    encoder = Encoder()
    first = encoder.encode([*GRPC, ("what", "is only said once")])
    again = encoder.encode([*GRPC, ("what", "is only said once")])
    assert len(again) < 10
    session.end(gone, Lost(CANCELLED))
    session.sort(
        h2.frame(h2.HEADERS, 0, gone.number, first[:9])
        + h2.frame(h2.CONTINUATION, h2.END_HEADERS, gone.number, first[9:])
        + h2.frame(h2.HEADERS, h2.END_HEADERS, other.number, again)
    )
    assert other.headers is not None
    assert other.headers["what"] == b"is only said once"


def test_one_that_is_cancelled_keeps_nothing(session: Session, stream: Stream) -> None:
    session.sort(data(stream, message(b"whole") + message(b"not")[:6]))
    session.end(stream, Lost(CANCELLED))
    assert (list(stream.messages), stream.parts, session.streams) == ([], [], {})


def test_all_end_with_the_connection(session: Session, stream: Stream) -> None:
    other = session.open(BOUND)
    session.sort(data(stream, message(b"whole") + message(b"not")[:6]))
    session.end_all(Lost("the cable is cut"))
    assert stream.lost == other.lost == Lost("the cable is cut")
    assert (list(stream.messages), session.streams) == ([b"whole"], {})


def test_an_answer_that_is_not_grpcs_is_not_taken_apart(session: Session) -> None:
    page, other = session.open(BOUND), session.open(BOUND)
    encoder = Encoder()
    session.sort(
        h2.frame(
            h2.HEADERS,
            h2.END_HEADERS,
            page.number,
            encoder.encode([(":status", "503"), ("content-type", "text/html")]),
        )
        + data(page, b"<html>come back later</html>", h2.END_STREAM)
        + data(other, message(b"here"))
    )
    assert page.ended
    assert not page.messages
    assert page.headers is not None
    assert page.headers[":status"] == b"503"
    assert list(other.messages) == [b"here"]


# What is said first.


def test_a_connection_begins_with_preface_settings_and_credit() -> None:
    hello = Session.hello()
    assert hello.startswith(h2.PREFACE)
    first, second = frames_of(hello[len(h2.PREFACE) :])
    pairs = dict(struct.iter_unpack(">HL", first[3]))
    assert (first[0], pairs[2], pairs[h2.INITIAL_WINDOW]) == (h2.SETTINGS, 0, WINDOW)
    assert (second[0], second[2], second[3]) == (
        h2.WINDOW_UPDATE,
        0,
        struct.pack(">L", ALL_WINDOWS - AT_FIRST),
    )


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["a", ":path", "x" * 126, "y" * 127, "z" * 300]),
            st.text(max_size=20)
            | st.sampled_from(["x" * each for each in (126, 127, 255, 20_000)]),
        ),
        max_size=3,
    ),
    st.integers(100, 500),
)
def test_headers_are_written_as_others_read_them(headers: list[tuple[str, str]], most: int) -> None:
    block = b"".join(h2.header(*each) for each in headers)
    frames = frames_of(h2.ask_headers(7, block, most=most))
    assert [each[0] for each in frames] == [h2.HEADERS] + [h2.CONTINUATION] * (len(frames) - 1)
    assert [bool(each[1] & h2.END_HEADERS) for each in frames] == [False] * (len(frames) - 1) + [
        True
    ]
    decoder = Decoder(max_header_list_size=10**6)
    found = decoder.decode(b"".join(each[3] for each in frames))
    assert [(str(name), str(value)) for name, value in found] == headers
    assert len(decoder.header_table.dynamic_entries) == 0
