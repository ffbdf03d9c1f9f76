"""Writes to an etcd: as fast as it takes them, or at a steady rate; by a process of its own.

python -m benchmarks.writing steady URL PREFIX RATE COUNT
python -m benchmarks.writing one-by-one URL PREFIX KEYS COUNT
"""

from __future__ import annotations

import sys
import time
from collections import deque
from collections.abc import Iterator
from typing import Any

import grpc

from etcd_watcher.stores import wire

__all__ = ["fill", "steady"]

IN_FLIGHT = 200
TIMEOUT = 60.0


def _channel(url: str) -> grpc.Channel:
    """Open a channel of gRPC's own library: who writes is another client than who is measured."""
    return grpc.insecure_channel(
        url.removeprefix("http://"), options=[("grpc.enable_http_proxy", 0)]
    )


def _put(channel: grpc.Channel) -> Any:
    return channel.unary_unary(
        "/etcdserverpb.KV/Put",
        request_serializer=wire.PutRequest.SerializeToString,
        response_deserializer=wire.PutResponse.FromString,
    )


def _txn(channel: grpc.Channel) -> Any:
    return channel.unary_unary(
        "/etcdserverpb.KV/Txn",
        request_serializer=wire.TxnRequest.SerializeToString,
        response_deserializer=wire.TxnResponse.FromString,
    )


def fill(  # noqa: PLR0913 - what is written, and how
    url: str,
    prefix: str,
    count: int,
    *,
    at_once: int = 1,
    keys: int = 100,
    in_flight: int = IN_FLIGHT,
) -> None:
    """Write `count` values of 20 bytes to so many keys in turn.

    `at_once` of them are a transaction, and so many of these are under way at a time.
    """
    channel = _channel(url)
    calls = {"put": _put(channel), "txn": _txn(channel)}
    under_way: deque[Any] = deque()
    try:
        for first in range(0, count, at_once):
            puts = [
                wire.RequestOp(
                    put=wire.PutRequest(
                        key=f"{prefix}{number % keys:05}".encode(),
                        value=str(number).rjust(20, "x").encode(),
                    )
                )
                for number in range(first, min(count, first + at_once))
            ]
            name, request = (
                ("put", puts[0].put) if at_once == 1 else ("txn", wire.TxnRequest(success=puts))
            )
            under_way.append(calls[name].future(request, timeout=TIMEOUT))
            if len(under_way) == in_flight:
                under_way.popleft().result()
        for each in under_way:
            each.result()
    finally:
        channel.close()


def _ticks(rate: float, count: int) -> Iterator[int]:
    """Give the moments at which to send, in nanoseconds, at a steady rate; wait for each."""
    began = time.monotonic_ns() + 10_000_000
    for number in range(count):
        due = began + int(number * 1e9 / rate)
        while (left := due - time.monotonic_ns()) > 0:
            time.sleep(left / 1e9)
        yield due


def _settle(call: Any) -> None:
    """Wait for a put; one that the server refused, or could not do in time, is told of."""
    error = call.exception()
    if error is not None:
        print(f"a put failed: {error.details()}", file=sys.stderr)


def steady(url: str, prefix: str, rate: float, count: int) -> list[int]:
    """Put `count` values at a steady rate, whatever the server does; give the latencies of the puts.

    Each value is the moment at which it was due, so that what is late for the writer's sake counts
    as late, too. In nanoseconds.
    """
    channel = _channel(url)
    put = _put(channel)
    latencies: list[int] = []
    under_way: deque[Any] = deque()
    try:
        for number, due in enumerate(_ticks(rate, count)):
            request = wire.PutRequest(
                key=f"{prefix}{number % 10}".encode(), value=str(due).encode()
            )
            call = put.future(request, timeout=TIMEOUT)
            call.add_done_callback(lambda _, due=due: latencies.append(time.monotonic_ns() - due))
            under_way.append(call)
            while len(under_way) > IN_FLIGHT and under_way[0].done():
                _settle(under_way.popleft())
        for each in under_way:
            _settle(each)
    finally:
        channel.close()
    return latencies


if __name__ == "__main__":
    _, what, *rest = sys.argv
    if what == "steady":
        url, prefix, rate, count = rest
        print(steady(url, prefix, float(rate), int(count)))
    else:
        url, prefix, keys, count = rest
        fill(url, prefix, int(count), keys=int(keys), in_flight=1)
