"""The network of a `LocalCluster`: every byte to a member passes here, or does not.

This is a program of its own: `python -I -S proxy.py OWNER`, with the standard library only. The
other side of it are `network.py` and `companion.py`, in the owner's process. It is no thread there,
because peers that wait for somebody's busy interpreter elect new leaders.

For each member it listens on two ports of loopback, which are the ones that the member advertises:
one for clients and one for its peers. A link is the way from one name to another: "client" and the
members' names are its ends, and each direction has a state of its own:

cut     what is sent stays here: connections stay open, up to `BOUND` bytes wait, then the sender
        stands still. What waited arrives once the link is mended, as after a lost cable.
delay   what is sent arrives so many seconds later, in order.
reset   connections are closed, and new ones too.

Which member calls is told by the `X-Server-From` header, which etcd's peers (3.4, 3.5, 3.6) send
with each stream and each message. The few requests that have none (probes, the cluster's version,
a lease's renewal passed on to the leader) count as from nowhere, and are cut off only where the
member that they go to is cut off from all others.

One JSON object a line. Asked `{"id": 1, "do": WORD, …}`, it answers `{"id": 1, …}`, or `{"id": 1,
"error": "…"}`. The words:

listen  `member`, `kind` ("client", "peer"), `ports`: listen on the first of these ports that is
        free; answered with `port`
target  `member`, `kind`, `port`: where that member itself listens from now on
names   `names`: which member has which id (hexadecimal), as far as known
links   `links`: a list of [from, to, {"cut": …, "delay": …, "reset": …}], all that are not whole
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import socket
import struct
import sys
from collections import deque
from contextlib import suppress
from typing import Any, cast

BOUND = 1024 * 1024
"""Bytes that wait in one direction of one connection before its sender is made to stand still."""

OWNER_POLL = 0.5
"""Seconds between looks at who our parent is, as in guardian.py."""

CONTROL = 0

SENDER = re.compile(rb"\r\nX-Server-From: ([0-9a-f]+)\r\n")
"""Only the first on a connection counts, and etcd sends it before any content."""

HEADERS = 8192
"""Bytes in which we look for it again when more has come."""


class Link:
    """The state of one direction between two names."""

    __slots__ = ("cut", "delay", "reset")

    def __init__(self, *, cut: bool = False, delay: float = 0.0, reset: bool = False) -> None:
        self.cut, self.delay, self.reset = cut, delay, reset


WHOLE = Link()


class Network:
    """Who listens where, how the links are, and which connections there are."""

    def __init__(self) -> None:
        self.doors: dict[tuple[str, str], Door] = {}
        self.names: dict[str, str] = {}
        self.links: dict[tuple[str, str], Link] = {}
        self.connections: set[Connection] = set()

    def link(self, source: str | None, target: str | None) -> Link:
        """Give the state of the way from one name to another; None is a caller not known yet."""
        if source is not None and target is not None:
            return self.links.get((source, target), WHOLE)
        here = target or source
        others = {member for member, kind in self.doors if kind == "peer"} - {here}
        ways = [(each, here) if target else (here, each) for each in others]
        states = [self.links.get(cast("tuple[str, str]", way), WHOLE) for way in ways]
        return states[0] if states and all(each.cut or each.reset for each in states) else WHOLE

    def changed(self) -> None:
        """Have every connection act upon the links as they are now."""
        for connection in list(self.connections):
            connection.act()

    async def listen(self, member: str, kind: str, ports: list[int]) -> int:
        """Open the door of one member on the first port that is free."""
        loop = asyncio.get_running_loop()
        door = Door(member, kind)
        for port in ports:
            with suppress(OSError):
                door.server = await loop.create_server(
                    lambda: Connection(self, door).dialled, "127.0.0.1", port
                )
                self.doors[member, kind] = door
                return port
        raise OSError("none of those ports is free")


class Door:
    """One port that a member advertises, and the one behind it on which it listens."""

    def __init__(self, member: str, kind: str) -> None:
        self.member, self.kind = member, kind
        self.port = 0
        self.server: asyncio.Server | None = None


class Connection:
    """One who has dialled a member, and our own connection to that member."""

    def __init__(self, network: Network, door: Door) -> None:
        self.network, self.door = network, door
        self._sender: str | None = None
        """The id of the member that calls, once it has told."""
        self.dialled, self.called = Side(self), Side(self)
        self.there = Way(self.dialled, self.called)
        self.back = Way(self.called, self.dialled)
        self.dialled.reads_for, self.called.reads_for = self.there, self.back
        self.dialled.writes_for, self.called.writes_for = self.back, self.there
        self._calling: asyncio.Task[None] | None = None
        self._head = b""
        self._closed = False
        network.connections.add(self)

    @property
    def caller(self) -> str | None:
        """Who has dialled; None as long as we do not know."""
        if self.door.kind == "client":
            return "client"
        return None if self._sender is None else self.network.names.get(self._sender)

    def received(self, way: Way, content: bytes) -> None:
        """Take what one side sent."""
        if way is self.there and self.door.kind == "peer" and self._sender is None:
            self._head = (self._head + content)[-HEADERS:]
            sender = SENDER.search(self._head)
            if sender is not None:
                self._sender, self._head = sender[1].decode(), b""
        way.put(content)
        self.act()

    def act(self) -> None:
        """Do what the links as they are now allow."""
        there, back = self._link(self.there), self._link(self.back)
        if there.reset or back.reset:
            self.close()
        elif not self._closed:
            # The member hears of a caller with the first bytes: a caller who is cut off is not
            # even seen to connect.
            if not there.cut and self.there.waiting and self._calling is None:
                self._calling = asyncio.get_running_loop().create_task(self._call())
            self.there.move(there)
            self.back.move(back)
            if self.there.is_over and self.back.is_over:
                self.dialled.close()
                self.called.close()

    def close(self) -> None:
        """End both sides at once, with a reset, as the end of a process does."""
        self._closed = True
        self.network.connections.discard(self)
        if self._calling is not None:
            self._calling.cancel()
        for side in (self.dialled, self.called):
            side.abort()

    def ended(self) -> None:
        """Note that one side is gone; when both are, so are we."""
        if self.dialled.is_gone and (self.called.is_gone or self._calling is None):
            self.close()

    def _link(self, way: Way) -> Link:
        member = self.door.member
        ends = (self.caller, member) if way is self.there else (member, self.caller)
        return self.network.link(*ends)

    async def _call(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            await loop.create_connection(lambda: self.called, "127.0.0.1", self.door.port)
        except OSError:
            self.close()  # nobody listens there: the caller hears of it as a reset
        else:
            self.act()


class Way:
    """One direction of a connection: what one side has sent and the other not yet got."""

    def __init__(self, source: Side, target: Side) -> None:
        self.source, self.target = source, target
        self.waiting: deque[tuple[float, bytes]] = deque()
        """When it came, and what; empty content is the end of what the side sends."""
        self.size = 0
        self.is_over = False
        """Whether the end of it has been passed on."""
        self._timer: asyncio.TimerHandle | None = None

    def put(self, content: bytes) -> None:
        self.waiting.append((asyncio.get_running_loop().time(), content))
        self.size += len(content)
        if self.size > BOUND:
            self.source.pause()

    def move(self, link: Link) -> None:
        """Pass on what is due, as far as the other side takes it."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        loop = asyncio.get_running_loop()
        now = loop.time()
        while self.waiting and not link.cut and self.target.is_open and not self.target.is_full:
            came, content = self.waiting[0]
            if came + link.delay > now:
                self._timer = loop.call_at(came + link.delay, self.source.connection.act)
                break
            self.waiting.popleft()
            self.size -= len(content)
            self.is_over = self.is_over or not content
            self.target.write(content)
        if self.size <= BOUND // 2:
            self.source.resume()


class Side(asyncio.Protocol):
    """One of the two sockets of a connection."""

    reads_for: Way
    """What comes from this socket goes there."""
    writes_for: Way
    """What goes to this socket comes from there."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self._transport: asyncio.Transport | None = None
        self._paused = False
        self.is_full = False
        self.is_gone = False

    @property
    def is_open(self) -> bool:
        return self._transport is not None and not self.is_gone

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        if self.connection not in self.connection.network.connections:
            self.abort()  # it was closed while this was under way
            return
        with suppress(OSError):
            transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.connection.act()

    def data_received(self, data: bytes) -> None:
        self.connection.received(self.reads_for, data)

    def eof_received(self) -> bool:
        self.connection.received(self.reads_for, b"")
        return True  # we close it ourselves, once the other side has been told

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 (asyncio's signature)
        if not self.is_gone:
            self.is_gone = True
            # It travels as the bytes do: the far side of a cut link hears nothing of it.
            self.connection.received(self.reads_for, b"")
            self.connection.ended()

    def pause_writing(self) -> None:
        self.is_full = True

    def resume_writing(self) -> None:
        self.is_full = False
        self.connection.act()

    def write(self, content: bytes) -> None:
        transport = self._transport
        if transport is None or transport.is_closing():
            return
        if content:
            transport.write(content)
        elif self.reads_for.target.is_gone:
            transport.close()  # there is nobody any more who could be answered
        elif transport.can_write_eof():
            with suppress(OSError):
                transport.write_eof()

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()

    def pause(self) -> None:
        if not self._paused and self.is_open and self._transport is not None:
            self._paused = True
            self._transport.pause_reading()

    def resume(self) -> None:
        if self._paused and self.is_open and self._transport is not None:
            self._paused = False
            self._transport.resume_reading()

    def abort(self) -> None:
        """Close with a reset; what waits is lost."""
        self.is_gone = True
        if self._transport is not None and not self._transport.is_closing():
            with suppress(OSError):
                linger = struct.pack("ii", 1, 0)
                sock = self._transport.get_extra_info("socket")
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            self._transport.abort()


class Control:
    """The owner's questions, and their answers."""

    def __init__(self, owner: int) -> None:
        self._owner = owner
        self._network = Network()
        self._unread = b""
        self._gone = asyncio.Event()

    async def serve(self) -> None:
        """Answer the owner until it is gone."""
        loop = asyncio.get_running_loop()
        os.set_blocking(CONTROL, False)
        questions: asyncio.Queue[bytes] = asyncio.Queue()
        loop.add_reader(CONTROL, self._read, questions)
        answering = loop.create_task(self._answer(questions))
        while os.getppid() == self._owner and not self._gone.is_set():
            with suppress(TimeoutError):
                await asyncio.wait_for(self._gone.wait(), OWNER_POLL)
        answering.cancel()

    def _read(self, questions: asyncio.Queue[bytes]) -> None:
        try:
            chunk = os.read(CONTROL, 65536)
        except BlockingIOError:
            return
        except OSError:
            chunk = b""
        if not chunk:
            self._gone.set()
            asyncio.get_running_loop().remove_reader(CONTROL)
            return
        *lines, self._unread = (self._unread + chunk).split(b"\n")
        for line in lines:
            questions.put_nowait(line)

    async def _answer(self, questions: asyncio.Queue[bytes]) -> None:
        while True:
            asked = json.loads(await questions.get())
            reply: dict[str, Any] = {"id": asked["id"]}
            try:
                reply |= await self._do(asked)
            except OSError as error:
                reply["error"] = str(error)
            try:
                os.write(CONTROL, json.dumps(reply).encode() + b"\n")
            except OSError:
                self._gone.set()

    async def _do(self, asked: dict[str, Any]) -> dict[str, Any]:
        network = self._network
        word = asked["do"]
        if word == "listen":
            port = await network.listen(asked["member"], asked["kind"], asked["ports"])
            return {"port": port}
        if word == "target":
            network.doors[asked["member"], asked["kind"]].port = asked["port"]
        elif word == "names":
            network.names = asked["names"]
        elif word == "links":
            network.links = {(a, b): Link(**state) for a, b, state in asked["links"]}
        network.changed()
        return {}


def main() -> None:
    """Serve one owner, from the first to the last moment."""
    # A Ctrl-C or a closed terminal is for the owner to take; that it then ends, we notice.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    asyncio.run(Control(int(sys.argv[1])).serve())
    os._exit(0)  # whoever still waits for one of our sockets is not waited for


if __name__ == "__main__":
    main()
