"""How streams end."""

from __future__ import annotations

import struct

import pytest
from hpack import Encoder

from etcd_watcher.stores import http2_frames as h2
from etcd_watcher.stores.http2_session import CANCELLED, Lost, Session, Stream
from tests.stores.http2_server import GRPC, message, numbered
from tests.stores.http2_session.frames import BOUND, OK, WHOLE, data


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
def test_of_a_request_that_was_reset_nobody_knows_what_was_done(
    session: Session, stream: Stream, code: int
) -> None:
    session.sort(data(stream, message(b"before")) + numbered(h2.RST_STREAM, stream.number, code))
    assert stream.lost is not None
    assert (stream.ended, stream.lost.code) == (True, code)
    assert stream.lost.sent
    assert not stream.lost.passed_over
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
