"""A mailbox that nobody empties but the test, and what the tests of this folder ask of it."""

from __future__ import annotations

from collections.abc import Sequence

from etcd_watcher.demux import Demux
from etcd_watcher.event import Event, Gap
from etcd_watcher.keys import KeyRange
from etcd_watcher.mailbox import Mailbox
from etcd_watcher.router import Route
from etcd_watcher.subscriber import Subscription


class Counter:
    """A mailbox of a stream: nobody empties it but the test."""

    def __init__(self, demux: Demux) -> None:
        self.demux = demux
        self.woken = 0
        self.mailbox = Mailbox("who", self.refill, self.wake)

    def refill(self, mailbox: Mailbox) -> None:
        self.demux.refill_from_journal(mailbox, 3)

    def wake(self) -> None:
        self.woken += 1

    def subscribe(self, key: bytes, *, prefix: bool = False, start: int = 0) -> Subscription:
        """Subscribe as the registry does."""
        scope = KeyRange.of_prefix(key) if prefix else KeyRange.of_key(key)
        with self.demux.lock:
            route = self.demux.router.find(scope, prefix=prefix)
            if route is None:
                route = Route(key.decode(), scope, prefix, start)
                self.demux.router.add(route)
            made = Subscription(key.decode(), scope, prefix, "who", start=start)
            self.mailbox.add(made)
            route.subscriptions.append((made, self.mailbox))
        return made

    def held(self) -> list[tuple[int, str]]:
        return [(each.revision, each.key) for each, _ in self.mailbox.queue]

    def take_all(self) -> list[Event]:
        found = []
        while self.mailbox.has_more():
            if not self.mailbox.queue:
                self.mailbox.refill()
            else:
                found.append(self.mailbox.queue.popleft()[0])
        return found


def publish(demux: Demux, *events: Event, gap: Gap | None = None) -> None:
    with demux.lock:
        demux.publish(events, gap)


def revisions(records: Sequence[object]) -> list[int]:
    return [each.revision for each in records if isinstance(each, Event)]
