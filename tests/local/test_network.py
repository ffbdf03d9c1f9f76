"""The network of a `LocalCluster`: what passes, when, and what does not."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import suppress

import psutil
import pytest

from etcd_watcher.local.binary import clean_environment
from etcd_watcher.local.companion import CompanionLost
from etcd_watcher.local.network import CLIENT, Link, Network
from tests.eventually import eventually

CUT, WHOLE, RESET = Link(cut=True), Link(), Link(reset=True)
SHORT = 0.2
"""Seconds in which a byte that may pass would long have passed."""

pytestmark = pytest.mark.usefixtures("no_leaks")


class Peer:
    """One end of a connection; nothing here waits for longer than 20 s."""

    def __init__(self, own: socket.socket) -> None:
        own.settimeout(20)
        self.socket = own

    def says(self, text: bytes) -> None:
        self.socket.sendall(text)

    def says_much(self, limit: int) -> int:
        """Send until it is not taken any more, and give how many bytes were."""
        self.socket.settimeout(1)
        sent = 0
        with suppress(TimeoutError):
            while sent < limit:
                sent += self.socket.send(b"x" * 65536)
        return sent

    def hears(self, text: bytes) -> bool:
        heard = b""
        while len(heard) < len(text):
            chunk = self.socket.recv(65536)
            if not chunk:
                return False
            heard += chunk
        return heard == text

    def hears_nothing(self) -> bool:
        self.socket.settimeout(SHORT)
        try:
            return self.socket.recv(1) is None
        except TimeoutError:
            return True
        finally:
            self.socket.settimeout(20)

    def is_reset(self) -> bool:
        try:
            return self.socket.recv(1) is None
        except ConnectionResetError:
            return True


class Place:
    """The member "a", as one who is dialled, with both of its ways in."""

    def __init__(self, network: Network) -> None:
        self.listening = socket.create_server(("127.0.0.1", 0))
        self.listening.settimeout(20)
        self.doors = {kind: network.listen("a", kind) for kind in ("client", "peer")}
        port = self.listening.getsockname()[1]
        network.lead_to("a", port, port)
        self.opened: list[socket.socket] = [self.listening]

    def dial(self, kind: str = "client") -> Peer:
        dialled = socket.create_connection(("127.0.0.1", self.doors[kind]), timeout=20)
        self.opened.append(dialled)
        return Peer(dialled)

    def accept(self) -> Peer:
        accepted, _ = self.listening.accept()
        self.opened.append(accepted)
        return Peer(accepted)

    def nobody_comes(self) -> bool:
        self.listening.settimeout(SHORT)
        try:
            self.opened.append(self.listening.accept()[0])
        except TimeoutError:
            return True
        else:
            return False
        finally:
            self.listening.settimeout(20)

    def pair(self, kind: str = "client", hello: bytes = b"hello") -> tuple[Peer, Peer]:
        here = self.dial(kind)
        here.says(hello)
        there = self.accept()
        assert there.hears(hello)
        return here, there


@pytest.fixture
def network() -> Iterator[Network]:
    made = Network()
    try:
        made.start(clean_environment())
        yield made
    finally:
        made.end()


@pytest.fixture
def place(network: Network) -> Iterator[Place]:
    made = Place(network)
    yield made
    for each in made.opened:
        each.close()


def hello_of(number: int) -> bytes:
    return b"GET /raft/stream HTTP/1.1\r\nHost: a\r\nX-Server-From: %x\r\n\r\n" % number


def test_what_is_sent_arrives_as_it_is_in_both_directions(place: Place) -> None:
    here, there = place.pair()
    much = os.urandom(8 * 1024 * 1024)
    for one, other in ((here, there), (there, here)):
        sender = threading.Thread(target=one.says, args=(much,))
        sender.start()
        assert other.hears(much)
        sender.join()


def test_the_end_of_what_one_side_says_is_not_the_end_of_the_other(place: Place) -> None:
    here, there = place.pair()
    here.socket.shutdown(socket.SHUT_WR)
    assert there.socket.recv(1) == b""
    there.says(b"last words")
    assert here.hears(b"last words")
    there.socket.close()
    assert here.socket.recv(1) == b""


def test_a_side_that_goes_takes_the_other_along(place: Place) -> None:
    here, there = place.pair()
    there.socket.close()
    assert here.socket.recv(1) == b""
    here, there = place.pair()
    here.socket.close()
    assert there.socket.recv(1) == b""

    def notices() -> bool:
        try:
            there.says(b"anybody?")
        except OSError:
            return True
        return False

    assert eventually(notices)


def test_a_member_that_is_not_there_resets_the_caller(place: Place) -> None:
    place.listening.close()
    here = place.dial()
    here.says(b"hello")
    assert here.is_reset()


def test_nothing_passes_a_cut_link_until_it_is_mended(network: Network, place: Place) -> None:
    here, there = place.pair()
    network.set([(CLIENT, "a"), ("a", CLIENT)], CUT)
    here.says(b"one ")
    here.says(b"two")
    there.says(b"three")
    assert there.hears_nothing()
    assert here.hears_nothing()
    network.mend()
    assert there.hears(b"one two")
    assert here.hears(b"three")


def test_a_cut_in_one_direction_lets_the_other_pass(network: Network, place: Place) -> None:
    here, there = place.pair()
    network.set([(CLIENT, "a")], CUT)
    here.says(b"lost for now")
    there.says(b"hello")
    assert here.hears(b"hello")
    assert there.hears_nothing()
    network.set([(CLIENT, "a")], WHOLE)
    assert there.hears(b"lost for now")


def test_the_far_side_of_a_cut_link_hears_of_no_end(network: Network, place: Place) -> None:
    here, there = place.pair()
    network.set([(CLIENT, "a"), ("a", CLIENT)], CUT)
    here.says(b"bye")
    here.socket.close()
    assert there.hears_nothing()
    network.mend()
    assert there.hears(b"bye")
    assert there.socket.recv(1) == b""


def test_a_member_sees_no_caller_who_is_cut_off(network: Network, place: Place) -> None:
    network.set([(CLIENT, "a"), ("a", CLIENT)], CUT)
    here = place.dial()
    here.says(b"hello")
    assert place.nobody_comes()
    network.mend()
    assert place.accept().hears(b"hello")


def test_what_waits_is_bounded(network: Network, place: Place) -> None:
    here, there = place.pair()
    network.set([(CLIENT, "a")], CUT)
    sent = here.says_much(100 * 1024 * 1024)
    # One MiB in the proxy, the rest in the kernel's buffers of both sides.
    assert sent < 50 * 1024 * 1024
    network.mend()
    assert there.hears(b"x" * sent)


def test_a_slow_link_delays_everything_and_keeps_the_order(network: Network, place: Place) -> None:
    here, there = place.pair()
    network.set([(CLIENT, "a"), ("a", CLIENT)], Link(delay=0.3))
    began = time.monotonic()
    for number in range(10):
        here.says(b"%d" % number)
    assert there.hears(b"0123456789")
    assert time.monotonic() - began >= 0.3
    there.says(b"answer")
    assert here.hears(b"answer")
    assert time.monotonic() - began >= 0.6


def test_a_link_that_is_slow_no_more_gives_at_once_what_waits(
    network: Network, place: Place
) -> None:
    here, there = place.pair()
    network.set([(CLIENT, "a")], Link(delay=1000))
    here.says(b"late")
    assert there.hears_nothing()
    network.set([(CLIENT, "a")], WHOLE)
    assert there.hears(b"late")


def test_a_reset_ends_what_there_is_and_what_comes(network: Network, place: Place) -> None:
    here, there = place.pair()
    network.set([("a", CLIENT)], RESET)
    assert here.is_reset()
    assert there.is_reset()
    with suppress(ConnectionResetError):  # as soon as that: while it is being made
        assert place.dial().is_reset()
    network.mend()
    place.pair()


def test_peers_are_told_apart_by_what_they_say_of_themselves(
    network: Network, place: Place
) -> None:
    network.listen("b", "peer")
    network.listen("c", "peer")
    network.introduce({"a": 0xA, "b": 0xB, "c": 0xC})
    from_b, b_at_a = place.pair("peer", hello_of(0xB))
    from_c, c_at_a = place.pair("peer", hello_of(0xC))
    client, client_at_a = place.pair()
    network.set([("b", "a"), ("a", "b")], CUT)
    for here, there in ((from_c, c_at_a), (client, client_at_a)):
        here.says(b"hello")
        assert there.hears(b"hello")
    from_b.says(b"hello")
    b_at_a.says(b"hello")
    assert b_at_a.hears_nothing()
    assert from_b.hears_nothing()
    another = place.dial("peer")
    another.says(hello_of(0xB))
    assert place.nobody_comes()
    network.mend()
    assert place.accept().hears(hello_of(0xB))
    assert b_at_a.hears(b"hello")


def test_a_header_that_comes_in_pieces_or_later_is_seen(network: Network, place: Place) -> None:
    network.introduce({"a": 0xA, "b": 0xB})
    network.listen("b", "peer")
    network.listen("c", "peer")
    network.set([("b", "a")], CUT)
    here, there = place.pair("peer", b"GET /raft/probing HTTP/1.1\r\nHost: a\r\n\r\n")
    hello = hello_of(0xB)
    here.says(hello[:30])
    assert there.hears(hello[:30])
    here.says(hello[30:])
    assert there.hears_nothing()


def test_a_peer_that_does_not_say_who_it_is_passes_unless_all_are_cut_off(
    network: Network, place: Place
) -> None:
    for name in ("b", "c"):
        network.listen(name, "peer")
    here, there = place.pair("peer")
    network.set([("b", "a"), ("a", "b")], CUT)
    here.says(b"hello")
    assert there.hears(b"hello")
    network.set([("c", "a"), ("a", "c")], CUT)
    here.says(b"hello")
    assert there.hears_nothing()
    network.set([("b", "a")], WHOLE)
    assert there.hears(b"hello")


def test_a_new_port_behind_a_door_is_for_new_connections(network: Network, place: Place) -> None:
    here, there = place.pair()
    with socket.create_server(("127.0.0.1", 0)) as another:
        port = another.getsockname()[1]
        network.lead_to("a", port, port)
        new = place.dial()
        new.says(b"hello")
        accepted, _ = another.accept()
        with accepted:
            assert Peer(accepted).hears(b"hello")
    here.says(b"hello")
    assert there.hears(b"hello")


def proxy_of(network: Network) -> psutil.Process:
    """Give its process; other tests' servers may be beside it."""
    assert network._proxy._process is not None
    return psutil.Process(network._proxy._process.pid)


def test_no_connection_is_kept_once_it_is_over(network: Network, place: Place) -> None:
    proxy = proxy_of(network)
    before = proxy.num_fds()
    for round_ in range(20):
        here, there = place.pair()
        if round_ % 4 == 0:
            network.set([(CLIENT, "a")], RESET)
            assert here.is_reset()
            network.mend()
        if round_ % 4 == 1:
            network.set([(CLIENT, "a"), ("a", CLIENT)], CUT)
        for each in (here, there)[:: 1 if round_ % 2 else -1]:
            each.socket.close()
        network.mend()
    assert eventually(lambda: proxy.num_fds() == before)


def test_a_network_that_was_killed_is_told(network: Network) -> None:
    proxy = proxy_of(network)
    proxy.kill()
    proxy.wait()
    with pytest.raises(CompanionLost, match=r"is gone.*make a new LocalCluster\(\)"):
        network.set([(CLIENT, "a")], CUT)


def test_a_port_that_is_taken_is_not_taken_twice(
    network: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as busy, socket.create_server(("", 0)) as free:
        taken, port = busy.getsockname()[1], free.getsockname()[1]
        free.close()
        monkeypatch.setattr("etcd_watcher.local.network.free_ports", lambda _: (taken, port))
        assert network.listen("a", "client") == port
        with pytest.raises(OSError, match="none of those ports is free"):
            network.listen("b", "client")
