"""A server of HTTP/2 and gRPC that does what a test's script says, and frames to write one with."""

from __future__ import annotations

import ssl
import struct
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import pytest
from hpack import Decoder, Encoder

from etcd_watcher.stores import http2_frames as h2
from etcd_watcher.stores.http2_link import Route
from etcd_watcher.stores.http2_session import MESSAGE_HEAD
from etcd_watcher.stores.rpc import Channel, Method, RpcError, StatusCode
from tests.scripted import PATIENCE, scripted

__all__ = [
    "BOUND", "CONNECTING", "ECHO", "GRPC", "LARGE", "PATIENCE", "SILENT", "Asked", "Contexts", "Open",
    "Peer", "Script", "channel_of", "ended", "failure", "goodbye", "greeted", "message", "numbered", "serving", "told",
]  # fmt: skip

CONNECTING = 10.0

BOUND = 32 * 1024 * 1024

GRPC = ((":status", "200"), ("content-type", "application/grpc"))
"""How an answer begins."""


def message(content: bytes) -> bytes:
    """Give a message as gRPC sends it."""
    return MESSAGE_HEAD.pack(0, len(content)) + content


def numbered(kind: int, stream: int, number: int) -> bytes:
    """Give a frame whose content is a number: WINDOW_UPDATE or RST_STREAM."""
    return h2.frame(kind, 0, stream, struct.pack(">L", number))


def goodbye(last: int) -> bytes:
    """Give what a server says that takes no more requests, with the last one it takes."""
    return h2.frame(h2.GOAWAY, content=struct.pack(">LL", last, 0))


@dataclass
class Asked:
    """A request, as far as it has come.

    Attributes
    ----------
    content : bytearray
        Of its messages, their heads included.
    whole : bool
        Whether nothing more of it comes.
    """

    number: int
    headers: dict[str, str]
    content: bytearray = field(default_factory=bytearray)
    whole: bool = False


class Peer:
    """The server's side of one connection.

    Parameters
    ----------
    wire : socket.socket
        A TLS socket, too.
    """

    def __init__(self, wire: Any) -> None:
        self.wire = wire
        self.encoder, self._decoder = Encoder(), Decoder(max_header_list_size=1 << 20)
        self.asked: dict[int, Asked] = {}
        self.reset: set[int] = set()
        """Streams that the client has reset."""
        self.frames: list[tuple[int, int, int, bytes]] = []
        """All that came: kind, flags, stream and content."""
        self._come = self._block = b""

    def greet(self, *settings: tuple[int, int]) -> None:
        """Take the preface, and send our settings."""
        self.take_preface()
        content = b"".join(struct.pack(">HL", *each) for each in settings)
        self.send(h2.frame(h2.SETTINGS, content=content))

    def take_preface(self) -> None:
        while len(self._come) < len(h2.PREFACE):
            self._receive()
        assert self._come.startswith(h2.PREFACE)
        self._come = self._come[len(h2.PREFACE) :]

    def _receive(self) -> None:
        more = self.wire.recv(1 << 20)
        if not more:
            raise ConnectionResetError("the client is gone")
        self._come += more

    def send(self, *frames: bytes) -> None:
        self.wire.sendall(b"".join(frames))

    def take(self) -> tuple[int, int, int, bytes]:
        """Take the next frame."""
        while True:
            if len(self._come) >= h2.HEAD.size:
                high, low, kind, flags, number = h2.HEAD.unpack_from(self._come)
                behind = h2.HEAD.size + (high << 8 | low)
                if len(self._come) >= behind:
                    content, self._come = self._come[h2.HEAD.size : behind], self._come[behind:]
                    taken = (kind, flags, number, content)
                    self._note(*taken)
                    return taken
            self._receive()

    def _note(self, kind: int, flags: int, number: int, content: bytes) -> None:
        self.frames.append((kind, flags, number, content))
        if kind in {h2.HEADERS, h2.CONTINUATION}:
            self._block += content
            if flags & h2.END_HEADERS:
                found = self._decoder.decode(self._block)
                headers = {str(name): str(value) for name, value in found}
                self.asked[number] = Asked(number, headers)
                self._block = b""
        elif kind == h2.DATA:
            self.asked[number].content += content
            self.asked[number].whole = bool(flags & h2.END_STREAM)
        elif kind == h2.RST_STREAM:
            self.reset.add(number)

    def take_until(self, kind: int, *, ack: bool = False) -> tuple[int, int, int, bytes]:
        """Take frames up to the first of this kind."""
        while True:
            taken = self.take()
            if taken[0] == kind and bool(taken[1] & h2.ACK) == ack:
                return taken

    def request(self) -> Asked:
        """Take frames until one more request has come whole."""
        while True:
            _, flags, number, _ = self.take()
            if number in self.asked and self.asked[number].whole and flags & h2.END_STREAM:
                return self.asked[number]

    def headers(
        self, number: int, headers: Iterable[tuple[str, str]], *, end: bool = False
    ) -> bytes:
        flags = h2.END_HEADERS | (h2.END_STREAM if end else 0)
        return h2.frame(h2.HEADERS, flags, number, self.encoder.encode(list(headers)))

    def answer(self, number: int, *messages: bytes, status: str = "0", told: str = "") -> None:
        """Answer a request, and end it."""
        content = b"".join(message(each) for each in messages)
        most = h2.FRAME_BYTES
        self.send(
            self.headers(number, GRPC),
            *(
                h2.frame(h2.DATA, 0, number, content[begin : begin + most])
                for begin in range(0, len(content), most)
            ),
            self.headers(number, [("grpc-status", status), ("grpc-message", told)], end=True),
        )

    def echo(self) -> None:
        """Answer each request with what it asked, as long as the client is there."""
        with suppress(OSError):
            while True:
                asked = self.request()
                self.answer(asked.number, bytes(asked.content[MESSAGE_HEAD.size :]))

    def drain(self) -> None:
        """Take what comes until the client is gone."""
        with suppress(OSError):
            while True:
                self.take()


Script = Callable[[Peer], None]

Open = Callable[..., Method]
"""Gives a method of a server by the way there: the fixture `opened`."""

Contexts = tuple[ssl.SSLContext, ssl.SSLContext]
"""A server's, and its clients': the fixture `contexts`."""


@contextmanager
def serving(*scripts: Script, tls: ssl.SSLContext | None = None) -> Iterator[Route]:
    """Run a script for each connection, as `scripted` does, and give the way there."""

    def run(script: Script, wire: Any) -> None:
        script(Peer(wire))

    with scripted([partial(run, script) for script in scripts], tls) as port:
        yield Route("127.0.0.1", port, None, None)


def channel_of(method: Method) -> Channel:
    return method._channel


def failure(ask: Callable[..., Any], *given: Any, **more: Any) -> RpcError:
    with pytest.raises(RpcError) as failed:
        ask(*given, **more)
    return failed.value


def told(error: RpcError) -> tuple[StatusCode, bool]:
    return error.code, error.sent


def ended(thread: threading.Thread, results: list[object]) -> object:
    """Give what a thread gave or raised."""
    thread.join(PATIENCE)
    assert not thread.is_alive()
    return results[0]


def greeted(then: Script, *settings: tuple[int, int]) -> Script:
    """Greet, and then go on."""

    def script(peer: Peer) -> None:
        peer.greet(*settings)
        then(peer)

    return script


LARGE = (h2.INITIAL_WINDOW, 2**31 - 1)


def echo_all(peer: Peer) -> None:
    """Echo, and let the client send as much as it likes."""
    peer.send(numbered(h2.WINDOW_UPDATE, 0, 2**30))
    peer.echo()


ECHO = greeted(echo_all, LARGE)

SILENT = greeted(Peer.drain)
