"""Long polls of etcd v2, one after the other, and how far what they brought is complete.

What holds on the server (read in the `v2store` of etcd 3.4 and 3.5, and measured):

- Each change takes one index, and changes and polls exclude each other. A poll with `waitIndex=i`
  gets the first change at or behind `i` from the server's history; if there is none yet it waits,
  and gets the next one, however many of others pass meanwhile. The answer's headers come at once.
- The history is the last 1,000 changes of *all* keys. So a poll that waits cannot miss anything,
  but the next one can come too late, when others wrote 1,000 times since our last change.
- The deletion or expiry of a directory is one change. Polls of all that was in it get it.
- Keys with a part that begins with "_" are told to no poll that waits at a directory above.
- The `refresh` of a TTL takes an index, and nobody is told.

There is no request for progress. How we know nevertheless that there is nothing more is told at
`Poll._doubt` and `Poll._look`.
"""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING, Any, NoReturn

import etcd

from etcd_watcher.errors import Compacted, HistoryReplaced
from etcd_watcher.stores.v2_client import EmptyAnswer, find_change
from etcd_watcher.stores.v2_http import Silence
from etcd_watcher.stores.v2_keys import Place
from etcd_watcher.stores.v2_wire import TransportFailed, Waker

if TYPE_CHECKING:
    from etcd_watcher.stores.v2 import V2Store

__all__ = ["Poll"]

IDLE = 3.5
"""Seconds of quiet after which the server is asked for a sign of life."""

SIGN_OF_LIFE = 3.5
"""Seconds for that, and for the headers of a poll: a paused server is noticed within 7 s, and an
election is over by then."""

SETTLE = 0.02
"""Seconds of quiet, from a poll's headers on, until we believe that it waits. See `_doubt`."""

SURE = 1.0
"""Seconds of a poll's life after which we do not doubt that it waits."""

QUIET = 0.25
"""Seconds, where a poll cannot be ended in an orderly way, so that quiet is all we have."""

POLL_AGE = 200.0
"""Seconds until a quiet poll is made anew; the server drops it after 300."""

GLANCE = 0.001
"""Seconds of quiet until we look for ourselves, where there are few changes to look at."""

NEAR = 32
"""Changes that are looked at one by one rather than disturbing a poll."""

LOOK = 0.05
"""Seconds for such a look, which should find its change in the history."""

STOPPING = 1.0
"""Seconds: a server that ends younger polls than this without an answer is about to stop."""

OLDEST = re.compile(r"\[(\d+)/\d+\]$")
"""Where a server that no longer has an index says which is the oldest that it has: "[503/7]"."""


class Poll:
    """The changes in one place from an index on, as one endpoint tells them.

    Used by one thread at a time. It has a connection of its own.

    Parameters
    ----------
    store : V2Store
        Gives connections, and knows which indices the endpoint has reached.
    endpoint : str
        Whom to ask.
    waker : Waker
        Interrupts every wait.

    Attributes
    ----------
    seen : int
        The newest change that was accepted.
    complete : int
        Up to here no change is missing. It can be ahead of where the next poll begins, which moves
        there only when the server no longer has what lies between. So if ever our conclusion that
        there is nothing were wrong, the change would be late, not lost.
    """

    def __init__(self, store: V2Store, endpoint: str, waker: Waker) -> None:
        self._store = store
        self._endpoint = endpoint
        self._waker = waker
        self._client = store.connect(endpoint, waker)
        self._only_quiet = False
        """Something on the way to the server does not let us half-close."""
        self.begin(Place(b"", recursive=True), 0)

    def begin(self, place: Place, after: int) -> None:
        """Poll a place from `after` + 1 on, and forget what was."""
        self.close()
        self._place = place
        self._cursor = self.seen = self.complete = after
        self._began = 0.0
        """When the poll under way began; 0 when there is none."""
        self._leaving = 0
        """If the poll, which we half-closed, ends without a change, there is none up to here."""
        self._confirming = 0
        """One poll said that there is none up to here; this one is to say it again."""
        self._due = 0
        """A change of which we know that it is on its way: nothing to ask until it is here."""
        self._looked = 0
        """Up to here it is no use to look at changes one by one."""

    def close(self) -> None:
        self._client.http.close()

    @property
    def has_next(self) -> bool:
        """Whether there is nothing to wait for in `step`."""
        return self._client.has_next

    def index(self) -> int:
        """Ask for the newest index: a server that has no quorum does not answer."""
        key = self._place.index_key
        return self._store.index_at(self._endpoint, key, self._waker, SIGN_OF_LIFE)

    def step(self, wanted: int) -> Any | None:
        """Give the next change, an `EtcdResult`, or None after some progress without one.

        Parameters
        ----------
        wanted : int
            Be complete up to this index soon; 0 if there is no hurry.

        Raises
        ------
        Compacted
            The server no longer has what comes next.
        HistoryReplaced
            The server has begun a new life.
        Interrupted
            The next step takes up where this one was.
        TransportFailed, ApiNotServed, RequestRejected
        """
        wanted = wanted if wanted > self.complete else 0
        try:
            return self._poll(wanted)
        except Silence:
            self._doubt(wanted)
        except EmptyAnswer:
            self._conclude()
        except etcd.EtcdEventIndexCleared as error:
            if self.complete <= self._cursor:
                raise _compacted(error.payload) from error
            self._client.http.close()
            self._cursor = self.complete
        except etcd.EtcdException as error:
            raise self._store.explain(error, self._endpoint, self._place.path) from error
        return None

    def accept(self, index: int) -> None:
        """Go on behind a change that `step` gave."""
        self._began, self._leaving, self._confirming = 0.0, 0, 0
        self._cursor = self.seen = index
        self.complete = max(self.complete, index)
        self._store.note(self._endpoint, index)

    def lose_history(self, index: int) -> NoReturn:
        """Say that this server has begun anew, and knows nothing of what we have seen."""
        self._store.note(self._endpoint, index, anew=True)
        raise HistoryReplaced(index, self.seen)

    def _patience(self, wanted: int) -> float:
        """Give the seconds of quiet after which we doubt that there is anything to come."""
        if self._leaving:
            return QUIET if self._only_quiet else SIGN_OF_LIFE
        if self._confirming:
            return SETTLE
        if not wanted or self._due > self._cursor:
            return IDLE
        return GLANCE if self._can_look(wanted) else SETTLE

    def _poll(self, wanted: int) -> Any:
        """Make a poll, or take up the one that is under way."""
        wire = self._client.http
        wire.patience = self._patience(wanted)
        if not self._began or not wire.busy:
            self._began = time.monotonic()
            wire.deadline = self._began + SIGN_OF_LIFE
        try:
            return self._client.poll(self._place, self._cursor)
        except TransportFailed:
            if not self._leaving or self._only_quiet:
                raise
            # Something between us and the server takes a half-closed connection for a closed one.
            self._only_quiet = True
            self._leaving = 0
            return self._poll(wanted)

    def _doubt(self, wanted: int) -> None:
        """Nothing came for a while: find out whether there is anything.

        On the server a poll's goroutine waits for a change or for our goodbye, and is handed
        whichever comes first; a change is handed over before its writer gets an answer. So we
        learn an index that the server has reached, and then close our end of the connection. If
        the poll then ends without a change, there was none up to that index.

        The one hole: a change that is there before the goroutine waits, because the poll found it
        in the history, or it came just behind the headers. If our goodbye is there by then, too,
        Go takes either. Without any pause before our goodbye 4 polls of 100 ended without a change
        that they had. On two cores with eight busy processes a goroutine took more than 10 ms from
        the headers to its change 1 time of 800, more than 20 ms 1 of 6,000, and never more than
        33 ms. So a poll has to be quiet for a moment first; and if it has not lived long, the next
        one has to be quiet, too, which would have such a change from the history: once in
        10,000,000 times, then, at such a load, a change is told late.
        """
        wire = self._client.http
        if wire.is_ahead:
            # The server would not see us half-close: begin anew, with one poll.
            wire.close()
        elif self._leaving and not self._only_quiet:
            raise TransportFailed("it does not end a poll that we gave up", sent=True)
        elif self._leaving or self._confirming:
            self.complete = max(self.complete, self._leaving, self._confirming)
            self._leaving = self._confirming = 0
        elif self._can_look(wanted):
            self._look(wanted)
        else:
            self._say_goodbye(wanted)

    def _say_goodbye(self, wanted: int) -> None:
        """Half-close a quiet poll, unless nothing has happened on the server."""
        wire = self._client.http
        is_known = wanted and self._store.has_reached(self._endpoint, wanted)
        index = wanted if is_known else self.index()
        if index < max(self._cursor, wanted):
            self.lose_history(index)
        wire.acknowledged = time.monotonic()
        if index > self.complete:
            self._leaving = index
            if not self._only_quiet:
                wire.half_close()
        elif wire.acknowledged - self._began > POLL_AGE:
            wire.close()

    def _conclude(self) -> None:
        """Draw the conclusion from a poll that ended without a change."""
        age, self._began = time.monotonic() - self._began, 0.0
        if self._leaving:
            if age > SURE:
                self.complete = max(self.complete, self._leaving)
            else:
                self._confirming = self._leaving
            self._leaving = 0
        elif self._client.http.busy:
            # Up to Go 1.12 a server takes the next request for our goodbye.
            self._client.asks_ahead = False
            self._client.http.close()
        elif age < STOPPING:
            raise TransportFailed("it ends polls without an answer: it is about to stop", sent=True)

    def _can_look(self, index: int) -> bool:
        is_near = max(self.complete, self._looked) < index <= self.complete + NEAR
        return is_near and self._store.has_reached(self._endpoint, index)

    def _look(self, index: int) -> None:
        """Look at the changes up to `index` one by one: whether all are of other keys.

        Where there are few that is faster than to wait until a poll that has just begun has
        settled. And it is certain: each is in the server's history, so each look has an answer.
        Not so behind the last change where only refreshes follow; then a look ends without one.
        """
        self._looked = index
        try:
            with self._store.client(self._endpoint, self._waker, LOOK) as client:
                client.http.patience = LOOK
                found = find_change(client, self._place, self.complete, index)
        except (Silence, EmptyAnswer, TransportFailed, etcd.EtcdException):
            return  # only refreshes; or we are not allowed to look at the root
        if found == 0:
            self.complete = index
        elif found is not None:
            self._due = found


def _compacted(answer: dict[str, Any]) -> Compacted:
    """Give the error for a poll that began before the server's history."""
    oldest = OLDEST.search(str(answer.get("cause")))
    return Compacted(int(answer["index"]), int(oldest[1]) if oldest else None)
