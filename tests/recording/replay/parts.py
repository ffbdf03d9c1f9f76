"""Records to play, and a subscriber who writes down what is told."""

from __future__ import annotations

from collections.abc import Callable

from etcd_watcher import Gap, Status, Watcher
from etcd_watcher.event import Record
from tests.fake_store import event

Make = Callable[..., Watcher]


def puts(count: int, key: str = "a") -> list[Record]:
    return [event(revision, key, f"{revision}") for revision in range(2, count + 2)]


class Diary:
    """A subscriber that writes down who was told of what, in one list for all."""

    def __init__(self, name: str, told: list[tuple[str, str, str | None]]) -> None:
        self.name = name
        self.told = told

    def note(self, key: str, value: str | None) -> None:
        self.told.append((self.name, key, value))


EVERY_KIND: list[Record] = [
    event(2, "a", "1"),
    event(3, "a", "2"),
    event(3, "b", b"\xff"),
    Status("reconnecting", "http://one:2379", "refused", 5.0, 6.0),
    Status("connected", "http://one:2379"),
    event(4, "a", None, prev=b"2")._replace(expired=True),
    Gap(5, 9, "compacted"),
    event(9, "b", "x")._replace(synthetic=True),
    event(9, "c", None)._replace(synthetic=True),
    event(10, "a", "again")._replace(lease=77),
    Gap(11, 12, "fell behind", "Luis"),
]
