"""One ordered stream of changes from etcd v2: one long poll with an index, for all keys.

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
`V2Watch._doubt` and `V2Watch._look`.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any, NoReturn

import etcd

from etcd_watcher.errors import (
    ApiNotServed,
    Compacted,
    ConnectionFailed,
    EtcdWatcherError,
    StoreClosed,
)
from etcd_watcher.event import Event
from etcd_watcher.keys import KeyRange
from etcd_watcher.stores.base import Batch
from etcd_watcher.stores.v2_client import EmptyAnswer, explain, find_change
from etcd_watcher.stores.v2_http import Silence
from etcd_watcher.stores.v2_keys import place_of
from etcd_watcher.stores.v2_mirror import Mirror
from etcd_watcher.stores.v2_wire import Interrupted, TransportFailed, Waker

if TYPE_CHECKING:
    from etcd_watcher.stores.v2 import V2Store

__all__ = ["V2Watch"]

IDLE = 3.5
"""Seconds of quiet after which the server is asked for a sign of life."""

SIGN_OF_LIFE = 3.5
"""Seconds for that, and for the headers of a poll: a paused server is noticed within 7 s, and an
election is over by then."""

LOAD = 10.0
"""Seconds for a read of all that lives where we poll."""

SETTLE = 0.02
"""Seconds of quiet, from a poll's headers on, until we believe that it waits. See `_doubt`."""

QUIET = 0.25
"""The same where a poll cannot be ended in an orderly way, so that quiet is all we have."""

POLL_AGE = 200.0
"""Seconds until a quiet poll is made anew; the server drops it after 300."""

GLANCE = 0.001
"""Seconds of quiet until we look for ourselves, where there are few changes to look at."""

BATCH = 256
"""Events of one batch, at most, of those that are here."""

NEAR = 32
"""Changes that are looked at one by one rather than disturbing a poll."""

LOOK = 0.05
"""Seconds for such a look, which should find its change in the history."""

PROGRESS = 0.5
"""Seconds after which we tell how far we are, where all that came was outside our range."""

STOPPING = 1.0
"""Seconds: a server that ends younger polls than this without an answer is about to stop."""


class V2Watch:
    """See `stores.base.Watch`."""

    def __init__(self, store: V2Store, endpoint: str, scope: KeyRange, after: int) -> None:
        self._store = store
        self._endpoint = endpoint
        self._waker = Waker()
        self._client = store.connect(endpoint, self._waker)
        self._orders = threading.Lock()
        """Guards the three below, which other threads set."""
        self._closed = False
        self._target: tuple[KeyRange, int] | None = None
        self._wanted = 0
        """The newest index that somebody wants us to be complete up to."""
        self._reading = threading.Lock()
        """Held by `read`, and by `close` when it clears up. Guards all below."""
        self._scope, self._after = scope, after
        self._place = place_of(scope)
        self._mirror: Mirror | None = None
        self._opened = False
        self._only_quiet = False
        """Something on the way to the server does not let us half-close. See `_doubt`."""
        self._begin(after)

    def _begin(self, after: int) -> None:
        """Poll from `after` + 1 on, and forget what another poll told."""
        self._client.http.close()
        self._began = 0.0
        """When the poll under way began; 0 when there is none."""
        self._cursor = after
        """The next poll begins behind it."""
        self._seen = after
        """The newest change that came."""
        self._complete = after
        """Up to here no change is missing. It can be ahead of the cursor, which moves there only
        when the server no longer has what follows the cursor. So if ever our conclusion that there
        is no change were wrong, the change would be late, not lost."""
        self._leaving = 0
        """If the poll, which we half-closed, ends without a change, we are complete up to here."""
        self._due = 0
        """A change of which we know that it is on its way: nothing to ask until it is here."""
        self._looked = 0
        """Up to here it is no use to look at changes one by one."""
        self._told, self._told_at = after, 0.0
        """The completeness that was last told, and when."""

    # For other threads.

    def retarget(self, scope: KeyRange, after: int) -> None:
        with self._orders:
            if not self._closed:
                self._target = (scope, after)
                self._waker.wake()

    def probe(self, revision: int) -> None:
        with self._orders:
            if not self._closed and revision > self._wanted:
                self._wanted = revision
                self._waker.wake()

    def close(self) -> None:
        with self._orders:
            if not self._closed:
                self._closed = True
                self._waker.wake()
        # A reader wakes up at once and clears up itself, unless it is looking up a host's name.
        if self._reading.acquire(timeout=0.5):
            try:
                self._clear_up()
            finally:
                self._reading.release()

    # For the feed's thread.

    def read(self) -> Batch:
        with self._reading:
            try:
                return self._read()
            except Compacted:
                self._mirror = None  # it belongs to what is lost
                self._clear_up()
                raise
            except (TransportFailed, ApiNotServed) as error:  # another member may still serve v2
                self._clear_up()
                raise ConnectionFailed.to([self._endpoint], str(error)) from error
            except BaseException:
                self._clear_up()
                raise

    def _clear_up(self) -> None:
        with self._orders:
            self._closed = True
            self._waker.close()
        self._client.http.close()
        self._put_away_mirror()
        self._store.forget(self)

    def _read(self) -> Batch:
        while True:
            self._obey()
            try:
                if not self._opened:
                    self._open()
                    return self._batch([], opened=True)
                if self._owes_progress():
                    return self._batch([])
                if events := self._gather():
                    return self._batch(events)
            except Interrupted:
                pass  # somebody wants something

    def _batch(self, events: list[Event], *, opened: bool = False) -> Batch:
        self._told, self._told_at = self._complete, time.monotonic()
        return Batch(self._scope, events, complete=self._complete, opened=opened)

    def _owes_progress(self) -> bool:
        if self._told >= self._complete:
            return False
        if self._told < self._wanted <= self._complete:
            return True
        return time.monotonic() - self._told_at > PROGRESS

    def _obey(self) -> None:
        """Take what other threads want."""
        with self._orders:
            if self._closed:
                raise StoreClosed("this watch is closed")
            self._waker.clear()
            target, self._target = self._target, None
        if target is not None:
            self._aim(*target)

    def _aim(self, scope: KeyRange, after: int) -> None:
        place = place_of(scope)
        self._scope, self._after, self._opened = scope, after, False
        if place == self._place and self._mirror is not None and self._seen <= after:
            # Our poll brings whatever follows: it stays. With 10,000 keys that are registered one
            # by one that is the difference between nothing and 10,000 reads of all keys.
            return
        if place != self._place:
            self._put_away_mirror()
            self._place = place
        self._begin(after)

    def _put_away_mirror(self) -> None:
        """Let the next watch go on from what this one knows."""
        if self._mirror is not None:
            self._mirror.current = max(self._mirror.current, self._complete)
            self._store.keep(self._mirror)
            self._mirror = None

    def _open(self) -> None:
        """Have the server's word that it is there and lets us read, and know what lives."""
        if self._mirror is None:
            mirror = self._store.take(self._place, self._after)
            if mirror is None:
                mirror = self._store.load(self._endpoint, self._place, self._waker, LOAD)
                index = mirror.loaded
            else:
                index = self._index()
            if index < self._after:
                self._lose_history(index)
            self._mirror = mirror
        self._opened = True

    def _index(self) -> int:
        """Ask for the newest index: a server that has no quorum does not answer."""
        key = self._place.index_key
        return self._store.index_at(self._endpoint, key, self._waker, SIGN_OF_LIFE)

    def _lose_history(self, index: int) -> NoReturn:
        """Say that this server has begun anew, and knows nothing of what we have seen."""
        self._store.note(self._endpoint, index, anew=True)
        raise Compacted(index)

    def _gather(self) -> list[Event]:
        """Take the next step, and then those for which there is nothing to wait."""
        events = self._step()
        while events and len(events) < BATCH and self._client.has_next:
            try:
                events += self._step()
            except (Interrupted, TransportFailed, EtcdWatcherError):
                break  # it comes again
        return events

    def _step(self) -> list[Event]:
        """Make one poll, or take it up again, and give what it brought."""
        try:
            return self._take(self._poll())
        except Silence:
            self._doubt()
        except EmptyAnswer:
            self._conclude()
        except etcd.EtcdEventIndexCleared as error:
            if self._complete <= self._cursor:
                raise Compacted(int(error.payload["index"])) from error
            self._client.http.close()
            self._cursor = self._complete
        except etcd.EtcdException as error:
            raise explain(error, self._endpoint, self._place.path) from error
        return []

    def _patience(self) -> float:
        """Give the seconds of quiet after which we doubt that there is anything to come."""
        if self._leaving:
            return QUIET if self._only_quiet else SIGN_OF_LIFE
        if self._wanted <= self._complete or self._due > self._cursor:
            return IDLE
        return GLANCE if self._can_look(self._wanted) else SETTLE

    def _poll(self) -> Any:
        wire = self._client.http
        wire.patience = self._patience()
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
            return self._poll()

    def _take(self, change: Any) -> list[Event]:
        """Give the events of a change of the server's."""
        assert self._mirror is not None  # noqa: S101 - from `_open` on
        index = int(change.modifiedIndex)
        events = self._mirror.apply(change, self._scope)
        self._began, self._leaving = 0.0, 0
        self._cursor = self._seen = index
        self._complete = max(self._complete, index)
        self._store.note(self._endpoint, index)
        return events if index > self._after else []

    def _doubt(self) -> None:
        """Nothing came for a while: find out whether there is anything.

        On the server a poll's goroutine waits for a change or for our goodbye, and is handed
        whichever comes first; a change is handed over before its writer gets an answer. So we
        learn an index that the server has reached, and then close our end of the connection. If
        the poll then ends without a change, there was none up to that index.

        The one hole: a change that is handed over before the goroutine waits, because the poll
        found it in the history, or it came just behind the headers. If our goodbye comes before it
        waits, too, it finds both, and takes either. Therefore a poll has to be quiet for a moment
        first, and nothing is given up on the strength of it while the server still has what
        follows our cursor. Measured with a change in the history: without that moment 4 polls of
        100 ended without it; on two cores with eight busy processes such a change came more than
        10 ms behind the headers 1 time of 800, more than 20 ms 1 of 6,000, never more than 33 ms.
        """
        wire = self._client.http
        wanted = self._wanted if self._wanted > self._complete else 0
        if wire.is_ahead:
            # The server would not see us half-close: begin anew, with one poll.
            wire.close()
        elif self._leaving:
            if not self._only_quiet:
                raise TransportFailed("it does not end a poll that we gave up", sent=True)
            self._conclude()
        elif self._can_look(wanted):
            self._look(wanted)
        else:
            self._say_goodbye(wanted)

    def _say_goodbye(self, wanted: int) -> None:
        """Half-close a quiet poll, unless nothing has happened on the server."""
        wire = self._client.http
        is_known = wanted and self._store.has_reached(self._endpoint, wanted)
        index = wanted if is_known else self._index()
        if index < max(self._cursor, wanted):
            self._lose_history(index)
        wire.acknowledged = time.monotonic()
        if index > self._complete:
            self._leaving = index
            if not self._only_quiet:
                wire.half_close()
        elif wire.acknowledged - self._began > POLL_AGE:
            wire.close()

    def _conclude(self) -> None:
        """Draw the conclusion from a poll that ended without a change."""
        began, self._began = self._began, 0.0
        if self._leaving:
            self._complete, self._leaving = max(self._complete, self._leaving), 0
        elif self._client.http.busy:
            # Up to Go 1.12 a server takes the next request for our goodbye.
            self._client.asks_ahead = False
            self._client.http.close()
        elif time.monotonic() - began < STOPPING:
            raise TransportFailed("it ends polls without an answer: it is about to stop", sent=True)

    def _can_look(self, index: int) -> bool:
        is_near = max(self._complete, self._looked) < index <= self._complete + NEAR
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
                found = find_change(client, self._place, self._complete, index)
        except (Silence, EmptyAnswer, TransportFailed, etcd.EtcdException):
            return  # only refreshes; or we are not allowed to look at the root
        if found == 0:
            self._complete = index
        elif found is not None:
            self._due = found
