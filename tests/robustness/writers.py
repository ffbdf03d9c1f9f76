"""Those who write: at random, several at a time, at whatever member, whatever happens to it."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

from etcd_watcher.testing import Change, Delete, Write, delete, put
from tests.robustness.access import Access
from tests.robustness.gateway import Refused, Unanswered, Voice, wired

__all__ = ["APART", "FOREIGN", "HOT", "V2Writer", "V3Writer", "Writer"]

ANSWER = 1.5
"""Seconds for an answer; without one nobody knows whether the write was carried out."""

HOT = [f"k/hot/{number}" for number in range(4)]
"""Keys that all of them write."""

FOREIGN = "x/"
"""What nobody watches begins so."""

APART = ["z/0", "z/1"]
"""Keys that all of them write, with foreign ones between them and the others. A transaction may be
of both kinds."""

TTL = 2
"""Seconds of a lease: about the least that etcd grants."""

BIG = 200_000
"""Bytes of a big value; a transaction of several comes near etcd's limit of 1.5 MB."""


class Writer(threading.Thread):
    """Writes until it is closed, and notes what was acknowledged.

    Parameters
    ----------
    name : str
        What its own keys and all its values begin with.
    seed : str
        What it draws from.
    members : callable
        Gives the URLs of the members, straight to them.
    pace : float
        Seconds between two writes, on average.
    access : Access
        As whom it writes.
    shared : sequence of str
        The keys that all write.
    """

    def __init__(
        self,
        name: str,
        seed: str,
        members: Callable[[], Sequence[str]],
        pace: float,
        access: Access,
        shared: Sequence[str],
    ) -> None:
        super().__init__(name=f"writer-{name}", daemon=True)
        self.choice = random.Random(f"{seed}/{name}")  # noqa: S311 - no secret
        self.voice = Voice(ANSWER, access)
        self.writes: list[Write] = []
        self.acknowledged: list[float] = []
        """When each of them was acknowledged, by the monotonic clock."""
        self.unknown = 0
        """How many were not answered: they may have been carried out or not."""
        self.own = [f"k/{name}/{number}" for number in range(8)]
        self.keys = [*shared, *self.own]
        self._members = members
        self._pace = pace
        self._count = 0
        self._end = threading.Event()
        self.defect: BaseException | None = None

    def run(self) -> None:
        try:
            while not self._end.is_set():
                burst = self.choice.random() < 0.02
                for _ in range(60 if burst else 1):
                    self._write_once()
                self._end.wait(self.choice.expovariate(1 / self._pace))
        except BaseException as error:  # noqa: BLE001 - told by `close`
            self.defect = error

    def _write_once(self) -> None:
        url = self.choice.choice(self._members())
        try:
            write = self.write(url)
        except Unanswered:
            self.unknown += 1
        except Refused:
            pass
        else:
            self.note(write)

    def note(self, write: Write) -> None:
        """Note what was acknowledged."""
        self.writes.append(write)
        self.acknowledged.append(time.monotonic())

    def write(self, url: str) -> Write:
        raise NotImplementedError

    def final(self, url: str, key: str) -> Write:
        """Put a key, and nothing else."""
        raise NotImplementedError

    def value(self) -> str:
        """Give a value that nobody else writes."""
        self._count += 1
        value = f"{self.name}-{self._count}"
        return value.ljust(BIG, ".") if self.choice.random() < 0.004 else value

    def key(self) -> str:
        return self.choice.choice(self.keys)

    def close(self) -> None:
        """Stop, and raise what went wrong with the writer itself."""
        self._end.set()
        self.join(10 * ANSWER)
        self.voice.close()
        if self.defect is not None:
            raise self.defect


class V3Writer(Writer):
    """Puts, deletes, deletes prefixes, makes transactions, and lets leases end."""

    def write(self, url: str) -> Write:
        dice = self.choice.random()
        if dice < 0.50:
            return self._put(url, put(self.key(), self.value()))
        if dice < 0.60:
            return self._put(url, put(f"{FOREIGN}{self.choice.random()}", self.value()))
        if dice < 0.70:
            return self._transaction(url, [delete(self.key())])
        if dice < 0.72:
            return self._transaction(url, [delete(f"k/{self.name}/", prefix=True)])
        if dice < 0.92:
            keys = self.choice.sample(self.keys, self.choice.choice([2, 3, 5, 8]))
            return self._transaction(
                url,
                [
                    delete(key) if self.choice.random() < 0.3 else put(key, self.value())
                    for key in keys
                ],
            )
        return self._lease(url)

    def final(self, url: str, key: str) -> Write:
        return self._put(url, put(key, self.value()))

    def _put(self, url: str, change: Change, lease: str = "0") -> Write:
        fields = {**_put_fields(change), "lease": lease}
        answer = self.voice.v3(url, "kv/put", fields)
        return Write(int(answer["header"]["revision"]), [change])

    def _transaction(self, url: str, operations: Sequence[Change | Delete]) -> Write:
        answer = self.voice.v3(url, "kv/txn", {"success": list(map(_operation, operations))})
        return Write(int(answer["header"]["revision"]), operations)

    def _lease(self, url: str) -> Write:
        """Put some keys on a lease, which ends by itself or is ended."""
        lease = self.voice.v3(url, "lease/grant", {"TTL": str(TTL)})["ID"]
        for key in self.choice.sample(self.own, self.choice.choice([1, 2])):
            self.note(self._put(url, put(key, self.value()), lease))
        write = self._put(url, put(self.own[0], self.value()), lease)
        if self.choice.random() < 0.5:
            self.voice.v3(url, "lease/revoke", {"ID": lease})
        return write


def _put_fields(change: Change) -> dict[str, Any]:
    return {"key": wired(change.raw_key), "value": wired(change.raw_value or b"")}


def _operation(each: Change | Delete) -> dict[str, Any]:
    if isinstance(each, Change):
        return {"requestPut": _put_fields(each)}
    end = b"\0" if each.scope.end is None else each.scope.end
    return {"requestDeleteRange": {"key": wired(each.scope.start), "range_end": wired(end)}}


class V2Writer(Writer):
    """Sets, updates, swaps and deletes keys, and gives some a time to live."""

    def write(self, url: str) -> Write:
        dice = self.choice.random()
        if dice < 0.15:
            key = self.key()
            answer, _ = self.voice.v2(url, "DELETE", f"/{key}", {})
            return Write(_index(answer), [delete(f"/{key}")])
        fields = {"value": self.value()}
        key = self.key()
        renews = True
        if dice < 0.30:
            fields["prevExist"], renews = "true", False
        elif dice < 0.38:
            fields["ttl"] = str(TTL)
        elif dice < 0.45:
            key = f"{FOREIGN}{self.choice.random()}"
        answer, _ = self.voice.v2(url, "PUT", f"/{key}", fields)
        return Write(_index(answer), [put(f"/{key}", fields["value"], renews=renews)])

    def final(self, url: str, key: str) -> Write:
        value = self.value()
        answer, _ = self.voice.v2(url, "PUT", f"/{key}", {"value": value})
        return Write(_index(answer), [put(f"/{key}", value, renews=True)])


def _index(answer: dict[str, Any]) -> int:
    return int(answer["node"]["modifiedIndex"])
