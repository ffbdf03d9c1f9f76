"""`StatusBar`: how the watcher stands with its cluster, and how much comes."""

from __future__ import annotations

import time
from collections import deque

from traitlets import Unicode

from etcd_watcher._html import card_html, text
from etcd_watcher.event import Event, Gap, Status
from etcd_watcher.stores.base import Cluster
from etcd_watcher.widgets.asking import asker
from etcd_watcher.widgets.assets import script, styles
from etcd_watcher.widgets.base import LiveWidget, Message
from etcd_watcher.widgets.shown_text import cell, escaped_text, words

__all__ = ["StatusBar"]

EVERY = 0.25
"""Seconds between two tellings of figures; a change of state is told at once."""

RATE_OVER = 2.0
"""Seconds over which events/s are counted."""

ASK_EVERY = 10.0
"""Seconds between two looks at the cluster's version and leader."""

LOOK = 20_000
"""Records counted at one drawing."""

BEAT = 5.0
"""Seconds after which the page is told that nothing is new: a kernel that was restarted says no word."""


class StatusBar(LiveWidget):
    """One line: state, endpoint, API, version, leader, revision, and how many events come.

    While the connection is lost it says why, and counts down to the next try; where the kernel is
    gone, that there is no word from it. Screen readers are told of a change of state, not of every
    figure.

    Examples
    --------
    >>> StatusBar(watcher)
    """

    _esm = Unicode(script("status_bar")).tag(sync=True)
    _css = Unicode(styles("status_bar")).tag(sync=True)

    def _start(self) -> None:
        records, position = self.watcher.journal.read(0)
        self._cursor = self.watcher.journal.cursor()
        self._cursor.position = position
        self._events = sum(type(record) is Event for record in records)
        self._lost = 0
        """Revisions in gaps."""
        self._last_gap: Gap | None = None
        self._counts: deque[tuple[float, int]] = deque([(self._clock(), self._events)])
        """When there were how many events, over the last seconds."""
        self._cluster: Cluster | None = None
        self._asked: float | None = None
        self._told: Message = {}
        self._told_at = self._beat_at = 0.0

    def _clock(self) -> float:
        return time.monotonic()

    def _delta(self) -> Message | None:
        now = self._clock()
        self._count()
        self._ask(now)
        message = self._whole()
        changed_state = message["state"] != self._told.get("state")
        if message == self._told or (now - self._told_at < EVERY and not changed_state):
            if now - max(self._told_at, self._beat_at) >= BEAT:
                self._beat_at = now
                self._tell({"kind": "still", "number": self._number})
            return None
        self._told, self._told_at = message, now
        return message

    def _whole(self) -> Message:
        status, journal = self.watcher.status, self.watcher.journal
        message: Message = {
            "state": status.state,
            "reason": words(status.reason),
            "endpoint": escaped_text(status.endpoint),
            "endpoints": list(map(escaped_text, self.watcher.endpoints)),
            "api": self.watcher.api,
            "revision": self.watcher.revision,
            "events": self._events,
            "rate": self._rate(self._clock()),
            "kept": len(journal),
            "forgotten": journal.start,
            "missed": self._cursor.missed,
            "lost": self._lost,
            "gap": None,
            "version": "",
            "leader": "",
            "members": 0,
            "next_try": None,
        }
        if self._last_gap is not None:
            gap = self._last_gap
            message["gap"] = {"first": gap.first, "last": gap.last, "reason": words(gap.reason)}
        if self._cluster is not None:
            message |= {
                "version": self._cluster.version,
                "leader": cell(self._cluster.leader.encode("utf-8", "surrogateescape")),
                "members": len(self._cluster.members),
            }
        if status.next_try is not None:
            # The browser's clock may be another: it counts down from here.
            message["next_try"] = round(max(0.0, status.next_try - time.time()), 1)
        return message

    def _count(self) -> None:
        for record in self._cursor.read(LOOK):
            if type(record) is Event:
                self._events += 1
            elif type(record) is Gap:
                self._lost += record.last - record.first + 1
                self._last_gap = record
            elif type(record) is Status and record.state == "connected":
                self._asked = None  # another member may answer, with another version

    def _rate(self, now: float) -> int:
        counts = self._counts
        if now - counts[-1][0] >= EVERY:
            counts.append((now, self._events))
        while len(counts) > 1 and now - counts[1][0] >= RATE_OVER:
            counts.popleft()
        since, events = counts[0]
        return 0 if now == since else round((self._events - events) / max(now - since, EVERY))

    def _ask(self, now: float) -> None:
        if self.watcher.status.state != "connected":
            return
        if self._asked is None or now - self._asked >= ASK_EVERY:
            self._asked = now
            asker.ask(self, "cluster", self.watcher.cluster, self._take_cluster)

    def _take_cluster(self, cluster: Cluster) -> None:
        self._cluster = cluster

    def _saved_html(self) -> str:
        told = self._whole()
        names = ("state", "endpoint", "api", "version", "leader", "revision", "events", "lost")
        return card_html("StatusBar", [(name, text(told[name])) for name in names])
