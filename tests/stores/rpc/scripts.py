"""Scripts for servers and proxies that several of these tests use."""

from __future__ import annotations

from contextlib import suppress

from tests.stores.http2_server import Peer, Script


def nothing(peer: Peer) -> None:
    """Say nothing until the client is gone."""
    with suppress(OSError):
        while peer.wire.recv(1 << 16):
            pass


def proxy(seen: list[bytes], answer: bytes, then: Script = Peer.drain) -> Script:
    """Answer CONNECT so, and then be the server, too."""

    def script(peer: Peer) -> None:
        asked = b""
        while b"\r\n\r\n" not in asked:
            more = peer.wire.recv(1 << 16)
            if not more:
                return
            asked += more
        seen.append(asked)
        peer.wire.sendall(answer)
        if answer.startswith(b"HTTP/1.1 200"):
            then(peer)

    return script


ESTABLISHED = b"HTTP/1.1 200 Connection established\r\nX: y\r\n\r\n"
