"""A recording as a store: what is played is what is committed. It needs no server and no gRPC."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import NoReturn

from etcd_watcher.errors import Compacted, RequestRejected, StoreClosed
from etcd_watcher.journal import flat_range
from etcd_watcher.keys import KeyRange
from etcd_watcher.recording.replay import Replay
from etcd_watcher.recording.watch import ReplayWatch
from etcd_watcher.stores.base import (
    Cluster,
    KeyHead,
    KeyPage,
    KeyValue,
    Snapshot,
    TimeToLive,
)
from etcd_watcher.stores.v2_keys import tree_range

__all__ = ["ReplayStore"]


class ReplayStore:
    """See `stores.base.Store`. A key has the value that it has at the moment that is played.

    Keys that did not change while it was recorded are not there: a recording knows nothing of them.
    """

    api = "recording"
    turn = 0

    def __init__(self, replay: Replay) -> None:
        self.replay = replay
        self.endpoints: tuple[str, ...] = (replay.recording.name,)
        self._ranges = {"v2": tree_range, "v3": flat_range}[replay.recording.api]
        self._watches: list[ReplayWatch] = []
        """Those that are open, and some that were."""
        self._closed = False

    @property
    def endpoint(self) -> str:
        return self.replay.recording.name

    def key_range(self, key: bytes, *, prefix: bool) -> KeyRange:
        return self._ranges(key, prefix=prefix)

    def admit(self, scopes: Sequence[KeyRange], timeout: float, *, whole: bool = True) -> None:
        """Let everything be watched."""

    def revision(self, timeout: float) -> int:  # noqa: ARG002 - the protocol's
        with self._open():
            return self.replay.reached(self.replay.position)

    def get(self, key: bytes, timeout: float) -> KeyValue | None:  # noqa: ARG002
        with self._open():
            return self.replay.states.value(key, self.replay.position)

    def snapshot(self, scope: KeyRange, at: int | None, timeout: float) -> Snapshot:  # noqa: ARG002
        with self._open():
            place = self.replay.position
            if at is not None:
                if at < self.replay.first_revision - 1:
                    raise Compacted(self.replay.first_revision - 1)
                place = self.replay.place_behind(at)
            revision = self.replay.reached(self.replay.position) if at is None else at
            return Snapshot(revision, self.replay.states.items(scope, place))

    def keys(self, scope: KeyRange, after: bytes | None, limit: int, timeout: float) -> KeyPage:
        there = self.snapshot(scope, None, timeout)
        behind = [each for each in there.items if after is None or each.raw_key > after]
        heads = [
            KeyHead(
                each.raw_key, each.revision, each.created, each.version, each.lease, each.lease > 0
            )
            for each in behind[:limit]
        ]
        more = heads[-1].raw_key if len(behind) > limit else None
        return KeyPage(there.revision, heads, more, len(behind))

    def time_left(self, key: bytes, timeout: float) -> TimeToLive | None:
        """Tell nothing: a recording does not say how long a lease has to live."""

    def cluster(self, timeout: float) -> Cluster:
        return Cluster("", self.revision(timeout), (), 0)

    def _refuse(self) -> NoReturn:
        raise RequestRejected(
            f"{self.replay.recording.name} is a recording, and cannot be written to. To write, watch a "
            "server: Watcher(LocalEtcd())"
        )

    def put(self, key: bytes, value: bytes, ttl: int | None, timeout: float) -> int:  # noqa: ARG002
        self._refuse()

    def delete(self, key: bytes, timeout: float, *, prefix: bool) -> int:  # noqa: ARG002
        self._refuse()

    def compare_and_put(  # noqa: PLR0913
        self,
        key: bytes,  # noqa: ARG002
        value: bytes,  # noqa: ARG002
        revision: int,  # noqa: ARG002
        timeout: float,  # noqa: ARG002
        *,
        ttl: int | None = None,  # noqa: ARG002
        lease: int = 0,  # noqa: ARG002
    ) -> int:
        self._refuse()

    def compare_and_delete(self, key: bytes, revision: int, timeout: float) -> None:  # noqa: ARG002
        self._refuse()

    def watch(self, scope: KeyRange, after: int) -> ReplayWatch:
        with self._open():
            self._watches = [each for each in self._watches if not each.closed]
            live = not any(each.live for each in self._watches)
            watch = ReplayWatch(self.replay, scope, after, live=live)
            self._watches.append(watch)
            return watch

    def rotate(self, turn: int) -> None:
        """Stay: there is one place only."""

    def close(self) -> None:
        self._closed = True
        for watch in self._watches:
            watch.close()

    def _open(self) -> threading.Condition:
        if self._closed:
            raise StoreClosed("this replay is closed")
        return self.replay.changed
