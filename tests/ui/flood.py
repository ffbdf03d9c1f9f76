"""Writes so many events a second to etcd, 50 a transaction, from a process of its own.

    python tests/ui/flood.py URL RATE SECONDS BYTES

It prints how many events it wrote, and how many seconds that took.
"""

from __future__ import annotations

import sys
import time

from etcd_watcher.endpoints import Credentials
from etcd_watcher.stores import wire
from etcd_watcher.stores.v3_connection import Connection

TOGETHER = 50
KEYS = 500
"""Different keys that are written, in turn."""

MOST_BYTES = 1_000_000
"""Of one request: etcd takes 1.5 MiB."""


def flood(url: str, rate: float, seconds: float, size: int) -> tuple[int, float]:
    """Write for so many seconds, and give the number of events and the time that it took."""
    connection = Connection(url, Credentials())
    together = max(1, min(TOGETHER, MOST_BYTES // max(size, 1)))
    written = 0
    began = time.monotonic()
    while written < rate * seconds:
        numbers = range(written, written + together)
        put_together(connection, {_key(number): _value(number, size) for number in numbers})
        written += together
        time.sleep(max(0.0, began + written / rate - time.monotonic()))
    took = time.monotonic() - began
    connection.close()
    return written, took


def put_together(connection: Connection, values: dict[bytes, bytes]) -> None:
    """Write keys in one transaction."""
    puts = [wire.PutRequest(key=key, value=value) for key, value in values.items()]
    request = wire.TxnRequest(success=[wire.RequestOp(put=put) for put in puts])
    connection.call("txn", request, 10)


def _key(number: int) -> bytes:
    return b"flood/%d/%d" % (number % KEYS // 50, number % KEYS)


def _value(number: int, size: int) -> bytes:
    return (b"%d " % number).ljust(size, b"x")


if __name__ == "__main__":
    written, took = flood(sys.argv[1], float(sys.argv[2]), float(sys.argv[3]), int(sys.argv[4]))
    print(written, round(took, 2))  # noqa: T201 - for the one who started it
