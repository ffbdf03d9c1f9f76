"""Many threads that call, cancel, wake and give up at random, with a server that does so, too."""

from __future__ import annotations

import random
from contextlib import suppress

import pytest

from etcd_watcher.stores import http2_frames as h2
from etcd_watcher.stores.http2_session import MESSAGE_HEAD
from etcd_watcher.stores.rpc import Call, Method, RpcError, StatusCode
from tests.stores.http2_server import (
    LARGE,
    Asked,
    Open,
    Peer,
    channel_of,
    ended,
    goodbye,
    numbered,
    serving,
)  # fmt: skip
from tests.threads import in_thread

EXPECTED = {StatusCode.CANCELLED, StatusCode.DEADLINE_EXCEEDED, StatusCode.UNAVAILABLE}


def fickle(peer: Peer) -> None:
    """Answer late, in another order, by a reset or not at all; and leave after a while."""
    waiting: list[Asked] = []
    with suppress(OSError):
        chance = random.Random(peer.wire.getpeername()[1])  # noqa: S311 - no secret
        left = chance.randrange(20, 200)
        peer.greet(LARGE)
        peer.send(numbered(h2.WINDOW_UPDATE, 0, 2**30))
        while True:
            if left or not waiting:
                waiting.append(peer.request())
                left = max(0, left - 1)
                if left == 0:
                    peer.send(goodbye(waiting[-1].number))
            while waiting and (left == 0 or chance.random() < 0.6):
                answer(peer, waiting.pop(chance.randrange(len(waiting))), chance)
            if left == 0 and chance.random() < 0.5:
                return


def answer(peer: Peer, asked: Asked, chance: random.Random) -> None:
    if chance.random() < 0.1:
        peer.send(numbered(h2.RST_STREAM, asked.number, h2.REFUSED_STREAM))
    elif asked.number not in peer.reset:
        content = bytes(asked.content[MESSAGE_HEAD.size :])
        peer.answer(asked.number, content, content)


class Player:
    """Calls, and does something to its own calls or to those of others."""

    def __init__(self, who: int, method: Method, calls: list[Call]) -> None:
        self._who, self._method, self._calls = who, method, calls
        self._chance = random.Random(who)  # noqa: S311 - no secret

    def play(self) -> int:
        """Give how many calls were answered; what fails in another way than it may is raised."""
        answered = 0
        for count in range(80):
            try:
                answered += self._call(count)
            except RpcError as error:
                if error.code not in EXPECTED:
                    raise
        return answered

    def _call(self, count: int) -> bool:
        chance, calls = self._chance, self._calls
        said = f"{self._who} {count} ".encode() + bytes(chance.choice([0, 10, 40_000]))
        call = self._method.begin(said, timeout=chance.choice([0.01, 0.1]))
        calls.append(call)
        way = chance.random()
        if way < 0.2:
            call.cancel()
        elif way < 0.4:
            chance.choice(calls[-10:]).wake()
        elif way < 0.5:
            chance.choice(calls[-10:]).cancel()
        assert call.read(chance.choice([0.0, 0.001, 10])) in {None, said}
        assert set(call) <= {said}
        return True


@pytest.mark.usefixtures("eager_threads")
def test_nobody_waits_for_ever_or_gets_anothers_answer_whatever_happens(opened: Open) -> None:
    calls: list[Call] = []
    with serving(*[fickle] * 10_000) as route:
        method = opened(route)
        playing = [in_thread(Player(who, method, calls).play) for who in range(6)]
        results = [ended(*each) for each in playing]
        assert all(isinstance(each, int) and each > 0 for each in results), results
        channel_of(method).close()
