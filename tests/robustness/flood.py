"""A writer in a process of its own: so many puts a second, whatever its members do.

    python -m tests.robustness.flood URLS RATE SECONDS KEYS BYTES TOGETHER
    python -m tests.robustness.flood URL EVENTS TOGETHER

With three words it writes so many events of 100 bytes, that many in a transaction, as fast as it
can, and says the last revision.

Each acknowledged transaction is one line: its revision, and when it was sent and acknowledged by the
monotonic clock, which all processes of a machine share. A value begins with when it was sent. TOGETHER are
in one transaction; the rate is that of single puts.
"""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import grpc

from etcd_watcher.stores import wire

__all__ = ["Acknowledged", "Flood", "sent_at"]

KEYS = 100
"""Keys that are written, in turn."""

ANSWER = 3.0
"""Seconds for an answer."""

UNDER_WAY = 4000
"""Puts without an answer yet, from which on no more are sent."""

TOGETHER_UNDER_WAY = 50
"""The same where one writes as fast as one can."""

SHUNNED = 0.3
"""Seconds for which a member that failed is passed over."""

TICK = 0.005


@dataclass(frozen=True)
class Acknowledged:
    """A put that was answered; times by the monotonic clock."""

    revision: int
    sent: float
    answered: float


class Flood:
    """Runs this program. Use it in a `with`, and `join` it to have what was acknowledged."""

    def __init__(
        self,
        urls: Sequence[str],
        rate: float,
        seconds: float,
        *,
        size: int = 20,
        together: int = 1,
    ) -> None:
        words = [",".join(urls), *map(str, (rate, seconds, KEYS, size, together))]
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.robustness.flood", *words],
            stdout=subprocess.PIPE,
            text=True,
        )

    def join(self) -> list[Acknowledged]:
        """Wait until it has ended, and give what was acknowledged, in that order."""
        lines, _ = self._process.communicate(timeout=600)
        assert self._process.returncode == 0
        told = [line.split() for line in lines.splitlines()]
        return [Acknowledged(int(one), float(two), float(three)) for one, two, three in told]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()


def sent_at(value: str | None) -> float:
    """Give when a value was sent."""
    return float((value or "0").split(" ", 1)[0])


class Member:
    """One member to write to."""

    def __init__(self, url: str) -> None:
        options = [("grpc.enable_http_proxy", 0), ("grpc.max_reconnect_backoff_ms", 200)]
        self.channel = grpc.insecure_channel(url.removeprefix("http://"), options=options)
        self.commit: Any = self.channel.unary_unary(
            "/etcdserverpb.KV/Txn",
            request_serializer=lambda message: message.SerializeToString(),
            response_deserializer=wire.TxnResponse.FromString,
        )
        self.shunned_until = 0.0


def write(urls: str, rate: float, seconds: float, keys: int, size: int, together: int) -> None:
    """Send puts at a steady pace, in turn to all members that answer."""
    members = [Member(url) for url in urls.split(",")]
    answers: list[str] = []
    under_way = threading.Semaphore(UNDER_WAY)
    began = time.monotonic()
    count = 0
    while (now := time.monotonic()) < began + seconds:
        while count < (now - began) * rate / together and under_way.acquire(blocking=False):
            usable = [each for each in members if each.shunned_until < now] or members
            numbers = [number % keys for number in range(count * together, (count + 1) * together)]
            _send(usable[count % len(usable)], numbers, size, answers, under_way)
            count += 1
        time.sleep(TICK)
    for _ in range(UNDER_WAY):
        under_way.acquire(timeout=2 * ANSWER)
    print("\n".join(answers))
    for member in members:
        member.channel.close()


def _send(
    member: Member,
    numbers: Sequence[int],
    size: int,
    answers: list[str],
    under_way: threading.Semaphore,
) -> None:
    sent = time.monotonic()
    value = f"{sent:.6f} ".encode().ljust(size, b".")
    puts = [wire.PutRequest(key=b"k/%d" % number, value=value) for number in numbers]
    request = wire.TxnRequest(success=[wire.RequestOp(put=each) for each in puts])

    def done(call: Any) -> None:
        answered = time.monotonic()
        if call.code() is grpc.StatusCode.OK:
            answers.append(f"{call.result().header.revision} {sent:.6f} {answered:.6f}")
        else:
            member.shunned_until = answered + SHUNNED
        under_way.release()

    member.commit.future(request, timeout=ANSWER).add_done_callback(done)


def write_all(url: str, events: int, together: int) -> None:
    """Write as fast as one can, with some requests under way."""
    member = Member(url)
    under_way: deque[Any] = deque()
    revision = 0
    for number in range(events // together):
        puts = [
            wire.RequestOp(
                put=wire.PutRequest(
                    key=b"m/%d" % ((number * together + each) % KEYS), value=b"%0100d" % number
                )
            )
            for each in range(together)
        ]
        under_way.append(member.commit.future(wire.TxnRequest(success=puts)))
        if len(under_way) == TOGETHER_UNDER_WAY:
            revision = under_way.popleft().result().header.revision
    for each in under_way:
        revision = max(revision, each.result().header.revision)
    print(revision)
    member.channel.close()


if __name__ == "__main__":
    place, *numbers = sys.argv[1:]
    if len(numbers) == 2:
        write_all(place, *map(int, numbers))
    else:
        rate, seconds, *others = map(float, numbers)
        write(place, rate, seconds, *map(int, others))
