"""The HTTP under python-etcd, against a server that answers as a script says."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress

import pytest

from etcd_watcher.endpoints import Credentials
from etcd_watcher.errors import ConnectionFailed
from etcd_watcher.keys import KeyRange
from etcd_watcher.stores.v2 import V2Store
from etcd_watcher.stores.v2_http import Connection, Reply, Silence
from etcd_watcher.stores.v2_watch import V2Watch
from etcd_watcher.stores.v2_wire import Interrupted, TransportFailed, Waker
from tests.scripted import scripted

TIMEOUT = 20.0

Script = Callable[[socket.socket], None]


@contextmanager
def serving(*scripts: Script) -> Iterator[str]:
    """Run a script for each connection, as `scripted` does, and give the URL."""
    with scripted(scripts) as port:
        yield f"http://127.0.0.1:{port}"


def take_requests(wire: socket.socket, count: int = 1) -> bytes:
    """Receive requests without a body."""
    taken = b""
    while taken.count(b"\r\n\r\n") < count:
        received = wire.recv(65536)
        if not received:
            break
        taken += received
    return taken


def whole(body: str) -> bytes:
    head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\nX-Etcd-Index: 7\r\n\r\n"
    return (head + body).encode()


def chunked(*chunks: str) -> bytes:
    parts = [f"{len(chunk):x}\r\n{chunk}\r\n" for chunk in chunks]
    return ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + "".join(parts)).encode()


def answering(answer: bytes) -> Script:
    """Answer one request so."""

    def script(wire: socket.socket) -> None:
        take_requests(wire)
        wire.sendall(answer)

    return script


@contextmanager
def connecting(url: str, *, patience: float = 0.05) -> Iterator[Connection]:
    waker = Waker()
    connection = Connection(url, Credentials(), None, waker)
    connection.deadline = time.monotonic() + TIMEOUT
    connection.patience = patience
    yield connection
    connection.close()
    waker.close()


def poll(connection: Connection, target: str = "/poll", *ahead: str) -> Reply:
    return connection.exchange("GET", target, polls=True, ahead=ahead)


@pytest.mark.parametrize("answer", [whole("hello"), chunked("he", "llo", "")])
@pytest.mark.parametrize("size", [1, 7, 1000])
def test_an_answer_is_read_however_it_is_cut(answer: bytes, size: int) -> None:
    def script(wire: socket.socket) -> None:
        for _ in range(2):
            take_requests(wire)
            for begin in range(0, len(answer), size):
                wire.sendall(answer[begin : begin + size])

    with serving(script) as url, connecting(url) as connection:
        for _ in range(2):
            reply = connection.exchange("GET", "/")
            assert (reply.status, reply.data) == (200, b"hello")
            assert not connection.busy


def test_who_we_are_is_said_in_utf_8() -> None:
    seen: list[bytes] = []

    def script(wire: socket.socket) -> None:
        seen.append(take_requests(wire))
        wire.sendall(whole(""))

    with serving(script) as url:
        waker = Waker()
        connection = Connection(url, Credentials("luís", "日本"), None, waker)
        connection.deadline = time.monotonic() + TIMEOUT
        connection.exchange("GET", "/x?y=1")
        connection.close()
        waker.close()
    assert seen[0].startswith(b"GET /x?y=1 HTTP/1.1\r\n")
    assert b"Authorization: Basic bHXDrXM65pel5pys\r\n" in seen[0]


@pytest.mark.parametrize(
    "answer",
    [
        b"SSH-2.0-OpenSSH_9.2\r\n\r\n",
        b"HTTP/1.1 OK\r\n\r\n",
        b"x" * 70_000,
        chunked("a") + b"zz\r\n",
    ],
    ids=["ssh", "no status", "endless", "no chunk"],
)
def test_what_is_not_http_is_said_to_be_so(answer: bytes) -> None:
    with (
        serving(answering(answer)) as url,
        connecting(url) as connection,
        pytest.raises(TransportFailed, match="not HTTP") as caught,
    ):
        connection.exchange("GET", "/")
    assert caught.value.sent


@pytest.mark.parametrize("answer", [b"", b"HTTP/1.1 2", chunked("half") + b"10\r\nof"])
def test_an_answer_that_breaks_off_is_a_failure(answer: bytes) -> None:
    with (
        serving(answering(answer)) as url,
        connecting(url) as connection,
        pytest.raises(TransportFailed, match="closed the connection"),
    ):
        connection.exchange("GET", "/")


def test_a_server_that_does_not_answer_is_given_up_at_the_deadline() -> None:
    done = threading.Event()
    with (
        serving(lambda wire: (take_requests(wire), done.wait(TIMEOUT), None)[2]) as url,
        connecting(url) as connection,
    ):
        connection.deadline = time.monotonic() + 0.05
        with pytest.raises(TransportFailed, match="no answer in time"):
            connection.exchange("GET", "/")
        done.set()


@pytest.mark.parametrize("method", ["GET", "PUT"])
def test_a_connection_that_was_closed_while_idle_is_made_anew(method: str) -> None:
    closed = threading.Event()

    def first(wire: socket.socket) -> None:
        take_requests(wire)
        wire.sendall(whole("one"))
        wire.close()
        closed.set()

    with serving(first, answering(whole("two"))) as url, connecting(url) as connection:
        assert connection.exchange("GET", "/").data == b"one"
        assert closed.wait(TIMEOUT)
        assert connection.exchange(method, "/", None if method == "GET" else "").data == b"two"


def test_a_read_is_repeated_where_the_server_left_just_then_and_a_write_is_not() -> None:
    def leave(wire: socket.socket) -> None:
        take_requests(wire)
        wire.sendall(whole("one"))
        take_requests(wire)

    answer = answering(whole("two"))
    with serving(leave, answer) as url, connecting(url) as connection:
        assert connection.exchange("GET", "/").data == b"one"
        assert connection.exchange("GET", "/").data == b"two"
    with serving(leave, answer) as url, connecting(url) as connection:
        assert connection.exchange("GET", "/").data == b"one"
        with pytest.raises(TransportFailed) as caught:
            connection.exchange("PUT", "/", "value=1")
        assert caught.value.sent


def test_a_poll_that_was_left_is_taken_up_without_another_request() -> None:
    go_on = [threading.Event() for _ in range(3)]
    taken: list[bytes] = []

    def script(wire: socket.socket) -> None:
        taken.append(take_requests(wire))
        answer = chunked("done", "")
        for part, event in zip((answer[:9], answer[9:-9], answer[-9:]), go_on, strict=True):
            event.wait(TIMEOUT)
            wire.sendall(part)

    with serving(script) as url, connecting(url) as connection:
        for event in go_on:
            connection.waker.wake()
            with pytest.raises(Interrupted):
                poll_without_end(connection)
            connection.waker.clear()
            event.set()
        connection.patience = TIMEOUT
        assert poll(connection).data == b"done"
    assert len(taken) == 1


def poll_without_end(connection: Connection) -> None:
    while True:
        with suppress(Silence):
            poll(connection)
        connection.acknowledged = time.monotonic()


def test_a_poll_is_silent_only_when_its_headers_were_here() -> None:
    heard = threading.Event()

    def script(wire: socket.socket) -> None:
        take_requests(wire)
        heard.wait(TIMEOUT)
        wire.sendall(chunked())
        take_requests(wire)

    with serving(script) as url, connecting(url) as connection:
        connection.waker.wake()
        with pytest.raises(Interrupted):
            poll(connection)
        connection.waker.clear()
        assert not connection.acknowledged
        heard.set()
        with pytest.raises(Silence):
            poll(connection)
        assert connection.acknowledged
        assert connection.busy


def test_polls_sent_ahead_bring_their_answers_and_unwanted_ones_are_dropped() -> None:
    taken: list[bytes] = []

    def script(wire: socket.socket) -> None:
        taken.append(take_requests(wire, 4))
        wire.sendall(b"".join(chunked(str(number), "") for number in range(1, 5)))
        taken.append(take_requests(wire))
        wire.sendall(chunked("9", ""))

    with serving(script) as url, connecting(url, patience=TIMEOUT) as connection:
        assert poll(connection, "/1", "/2", "/3", "/4").data == b"1"
        assert connection.busy
        assert poll(connection, "/3").data == b"3"
        assert connection.has_answer
        assert poll(connection, "/9").data == b"9"
        assert not connection.busy
    assert taken[0].count(b"GET ") == 4
    assert taken[1].startswith(b"GET /9 ")


def test_our_end_can_be_closed_and_the_answer_still_comes() -> None:
    def script(wire: socket.socket) -> None:
        take_requests(wire)
        wire.sendall(chunked())
        assert take_requests(wire) == b""  # the end
        wire.sendall(b"0\r\n\r\n")

    with serving(script) as url, connecting(url) as connection:
        with pytest.raises(Silence):
            poll(connection)
        connection.half_close()
        connection.patience = TIMEOUT
        assert poll(connection).data == b""
        assert not connection.busy


index_answer = answering(whole('{"action":"get","node":{"dir":true}}'))
"""Answers the reads with which a watch opens."""


def change(index: int, newest: int) -> bytes:
    """Give the answer to a poll."""
    body = (
        f'{{"action":"set","node":{{"key":"/a/x","value":"{index}",'
        f'"modifiedIndex":{index},"createdIndex":{index}}}}}'
    )
    head = f"HTTP/1.1 200 OK\r\nX-Etcd-Index: {newest}\r\nTransfer-Encoding: chunked\r\n\r\n"
    return f"{head}{len(body):x}\r\n{body}\r\n0\r\n\r\n".encode()


@contextmanager
def watching(url: str) -> Iterator[V2Watch]:
    """Watch /a/ from index 8 on."""
    with closing(V2Store([url])) as store:
        watch = store.watch(KeyRange.of_prefix(b"/a/"), 7)
        assert watch.read().opened
        yield watch


def test_a_server_that_takes_a_next_request_for_our_goodbye_is_sent_one_at_a_time() -> None:
    # As etcd does that was built with Go 1.12: with several polls at once it ends the first ones.
    asked: list[int] = []

    def polls(wire: socket.socket) -> None:
        while taken := take_requests(wire):
            lines = [line for line in taken.split(b"\r\n") if line.startswith(b"GET ")]
            for line in lines:
                index = int(line.partition(b"waitIndex=")[2].partition(b"&")[0])
                asked.append(index)
                wire.sendall(chunked("") if line is not lines[-1] else change(index, 30))

    with serving(index_answer, *[polls] * 3) as url, watching(url) as watch:
        told: list[int] = []
        while len(told) < 20:
            told += [event.revision for event in watch.read().events]
    assert told == list(range(8, 28))
    assert len(asked) < 30  # it learned


def test_a_server_about_to_stop_ends_the_watch() -> None:
    with (
        serving(index_answer, answering(chunked(""))) as url,
        watching(url) as watch,
        pytest.raises(ConnectionFailed, match="about to stop"),
    ):
        watch.read()


def test_a_young_poll_that_ends_without_a_change_is_not_believed() -> None:
    # As etcd does once in some thousand times: it is handed our goodbye and a change at once.
    def reads(wire: socket.socket) -> None:
        index_answer(wire)
        take_requests(wire)
        body = '{"errorCode":100,"index":9}'
        head = f"HTTP/1.1 404 Not Found\r\nX-Etcd-Index: 9\r\nContent-Length: {len(body)}"
        wire.sendall(f"{head}\r\n\r\n{body}".encode())
        take_requests(wire)  # it looks for itself, and finds out nothing
        wire.sendall(chunked())
        take_requests(wire)

    def first(wire: socket.socket) -> None:
        take_requests(wire)
        wire.sendall(chunked())
        assert take_requests(wire) == b""
        wire.sendall(b"0\r\n\r\n")

    def second(wire: socket.socket) -> None:
        take_requests(wire)
        wire.sendall(change(8, 8))
        take_requests(wire)
        wire.sendall(chunked())
        assert take_requests(wire) == b""
        wire.sendall(b"0\r\n\r\n")

    def third(wire: socket.socket) -> None:
        take_requests(wire)
        wire.sendall(chunked())
        take_requests(wire)

    with serving(reads, first, second, third) as url, watching(url) as watch:
        watch.probe(9)
        batch = watch.read()
        assert [event.revision for event in batch.events] == [8]
        assert batch.complete == 8
        batch = watch.read()
        assert (batch.events, batch.complete) == ([], 9)
