"""One ordered stream of changes from etcd v3.

Mostly it is a single server-side watcher of one range, not one a key: within a watcher etcd keeps
revision order and sends a transaction whole, between watchers it does neither (one whose channel is
full becomes a "victim" and is served later). So the range is the hull of all watched keys, and what
lies between them is dropped by the router. That also makes 10,000 keys cost what one costs.

A user who may not read the whole hull has a watcher for each part of it that they may read. What
these tell is held back, and put in order, until the server has said how far it has come with all of
them.

Who finds the value before an event: see `v3_values`.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from etcd_watcher.errors import (
    Compacted,
    ConnectionFailed,
    HistoryReplaced,
    RequestRejected,
    StoreClosed,
)
from etcd_watcher.keys import KeyRange
from etcd_watcher.stores.base import Batch
from etcd_watcher.stores.rpc import Call, ChannelClosed, RpcError
from etcd_watcher.stores.v3_connection import NEEDS_LEADER, Connection
from etcd_watcher.stores.v3_login import LOGIN_OVER, LOGIN_TRIES, is_old_token
from etcd_watcher.stores.v3_outbox import Outbox, ask_progress, cancel, create
from etcd_watcher.stores.v3_permissions import named
from etcd_watcher.stores.v3_target import Part, Target, is_history
from etcd_watcher.stores.v3_values import Values

if TYPE_CHECKING:
    from etcd_watcher.stores.v3 import V3Store

__all__ = ["V3Watch"]

QUIET_REPLIES = 16
"""Progress replies in a row, with no event between, after which an old server has nothing left."""

SIDE_REQUEST = 3.0
"""Seconds that a watch waits for the small requests it makes on the side."""

SERVER_RECEIVED = "grpc: received message larger than max"
"""How a server says that a request is too large."""


class V3Watch:
    """See `stores.base.Watch`."""

    def __init__(
        self,
        store: V3Store,
        connection: Connection,
        scope: KeyRange,
        after: int,
        *,
        fragment: bool,
    ) -> None:
        self._store = store
        self._connection = connection
        self._fragment = fragment
        self._lock = threading.Lock()
        """Guards what `retarget`, `probe` and `close` touch from other threads: the target, the
        requests for it, what is wanted of it, and the stream."""
        self._unanswered: deque[Part] = deque()
        """Watchers that were asked for; the server answers in order."""
        self._wanted = 0
        """A revision that someone wants us to be complete up to; 0 for none."""
        self._quiet = 0
        self._told = after
        """What we have said to be complete up to."""
        self._by_id: dict[int, Part] = {}
        self._closed = False
        self._target = Target(scope, after, store.readable_parts(scope))
        self._refusals = 0
        """How many in a row may have been for want of a new login."""
        in_parts = store.progress_is_barrier
        self._values = Values(connection, wanted=store.prev_values, in_parts=in_parts)
        self._again: deque[Any] = deque()
        """Responses to an heir that are to be read now. The reader's thread alone has them."""
        self._open(None)

    def _open(self, before: Call | None) -> None:
        """Open a stream, in the place of one before, with watchers for the target."""
        self._login = self._connection.metadata(SIDE_REQUEST)
        call = self._connection.watch.begin(metadata=[*NEEDS_LEADER, *self._login])
        with self._lock:
            self._call = call
            self._outbox = Outbox(call, lambda: self._wanted > 0)
            self._by_id.clear()
            self._unanswered.clear()
            for part in self._target.parts:
                part.heir = None
                self._ask(part)
            if self._closed:
                call.cancel()
        if before is not None:
            before.cancel()

    def _ask(self, part: Part) -> None:
        part.watch_id = None
        part.fragments.clear()
        if part.replaces is None:
            part.given = max(part.given, self._told)  # what lies before may be compacted
        self._unanswered.append(part)
        prev_values, fragment = part.by_server and self._values.wanted, self._fragment
        after = part.given - 1 if part.overlaps else part.given
        self._outbox.put(create(part.scope, after, prev_values=prev_values, fragment=fragment))

    def _begin_before(self, part: Part, watch_id: int) -> None:
        """Have a watcher begin with what was given last, in the place of one that begins behind it.

        If the server is compacted at the very revision that comes next, it may have forgotten
        deletions made there, and says nothing. Of one before it says that it is compacted.
        """
        part.overlaps = True
        self._outbox.put(cancel(watch_id))
        self._ask(part)

    # From any thread.

    def retarget(self, scope: KeyRange, after: int) -> None:
        target = Target(scope, after, self._store.readable_parts(scope))
        with self._lock:
            for watch_id in self._by_id:
                self._outbox.put(cancel(watch_id))
            self._by_id.clear()
            self._target, self._told, self._quiet = target, after, 0
            for part in target.parts:
                self._ask(part)

    def watches(self, scope: KeyRange) -> bool:
        with self._lock:
            return any(part.scope.covers(scope) for part in self._target.parts)

    def probe(self, revision: int) -> None:
        floors: dict[Part, int] = {}
        if not self._store.progress_is_barrier:
            with self._lock:
                parts = self._target.parts
            for part in parts:
                floors[part], _ = self._store.newest_in(part.scope, SIDE_REQUEST)
        with self._lock:
            self._wanted = max(self._wanted, revision)
            call = self._call
            for part, floor in floors.items():
                part.raise_floor(floor)
        self._outbox.put(ask_progress())
        call.wake()  # it is to be asked for again soon

    def close(self) -> None:
        with self._lock:
            self._closed = True
            call = self._call
        call.cancel()

    # From the reader's thread.

    def read(self) -> Batch:
        while True:
            response = self._next()
            if changes := response.events:  # first: most have some, and each look takes its time
                batch = self._changes(response, changes)
            elif response.created:
                batch = self._acknowledge(response)
            elif response.canceled:
                self._check_cancelled(response)
                continue
            else:
                batch = self._progress(response.header.revision)
            if batch is not None:
                return batch

    def _next(self) -> Any:
        if self._again:
            return self._again.popleft()
        try:
            response = None
            while response is None:
                response = self._call.read(self._outbox.remind())
        except StopIteration:
            raise self._lost("the server ended the watch") from None
        except RpcError as error:
            if self._closed:
                raise StoreClosed("this watch is closed") from None
            if error.over_a_limit:
                if error.details.startswith(SERVER_RECEIVED):
                    raise RequestRejected(
                        f"{self._connection.endpoint} refused the watch: its keys are too long, "
                        f"together they may have 2 MiB ({error.details})"
                    ) from error
                self._store.fragment_next = True
                raise self._lost("a response was too large: asking again in parts") from error
            explained = self._connection.explain(error)
            if isinstance(explained, StoreClosed):  # cancelled, but not by us: rotated away
                raise self._lost("the connection was replaced") from error
            raise explained from error
        return response

    def _lost(self, reason: str) -> ConnectionFailed:
        if self._closed:
            raise StoreClosed("this watch is closed")
        return ConnectionFailed.to([self._connection.endpoint], reason)

    def _acknowledge(self, response: Any) -> Batch | None:
        with self._lock:
            part = self._unanswered.popleft()
            target = self._target
            if response.canceled or response.watch_id == -1:
                refused = response.cancel_reason or "the server did not say why"
            else:
                refused = ""
                if part.target is not target:  # another target was set meanwhile
                    self._outbox.put(cancel(response.watch_id))
                    return None
                is_behind = response.header.revision > part.given
                if is_behind and part.may_overlap and self._store.forgets_deletions:
                    self._begin_before(part, response.watch_id)
                    return None
                part.watch_id = response.watch_id
                self._by_id[response.watch_id] = part
                part.behind_since = time.monotonic() if is_behind else None
        if part.replaces is not None:
            part.given = response.header.revision
            if refused and part.target is target:
                self._give_up(part, refused)
            return None
        if refused:
            self._log_in_anew(refused, part.scope)
            return None
        self._refusals = 0
        if response.header.revision < target.after:
            self._check_history(target.after)
        if any(each.watch_id is None for each in target.parts):
            return None
        return Batch(target.scope, opened=True)

    def _log_in_anew(self, refused: str, scope: KeyRange) -> None:
        """Open the stream again with a new login, if that may be what a refusal is for.

        What there is to tell goes on behind what we have given: nobody notices.
        """
        self._refusals += 1
        over = self._connection.is_login_over(refused, self._login, of_watch=True)
        if not over or self._refusals >= LOGIN_TRIES:
            self._store.learn_rights(SIDE_REQUEST)
            if is_old_token(refused):
                raise self._lost(f"{LOGIN_OVER} ({refused})")
            raise RequestRejected(
                f"{self._connection.endpoint} refused the watch of {named(scope)}: {refused}"
            )
        try:
            self._open(self._call)
        except ChannelClosed:
            raise self._lost("the connection was replaced") from None

    def _check_history(self, seen: int) -> None:
        """Tell a member that is behind its leader from a cluster that has begun anew."""
        newest = self._store.revision(SIDE_REQUEST)
        if newest < seen:
            raise HistoryReplaced(newest, seen)

    def _check_cancelled(self, response: Any) -> None:
        with self._lock:
            part = self._by_id.get(response.watch_id)
            if part is None:
                return  # the answer to a cancellation of ours
        if part.replaces is not None:
            self._give_up(part, response.cancel_reason)
            return
        if oldest := response.compact_revision:
            raise Compacted(oldest, oldest + self._store.forgets_deletions)
        raise self._lost(f"the server cancelled the watch: {response.cancel_reason}")

    def _changes(self, response: Any, changes: Sequence[Any]) -> Batch | None:
        with self._lock:
            part, target = self._by_id.get(response.watch_id), self._target
        if part is None:
            return None
        if part.replaces is not None:
            self._keep(response, part, part.replaces)
            return None
        changes = part.join(response, changes)
        if not changes:
            return None
        self._quiet = 0
        try:
            events = self._values.decode(part, changes)
        except StoreClosed:
            raise self._lost("the connection was replaced") from None
        if events:
            part.given = events[-1].revision
        if part.behind_since is not None:
            self._follow_history(part, changes)
        if not events:
            return None
        if self._values.learn(part, events):
            self._hand_over(part)
        if len(target.parts) == 1:
            return Batch(target.scope, events)
        target.held += events
        self.probe(part.given)
        return None

    def _follow_history(self, part: Part, changes: Sequence[Any]) -> None:
        """Note that the server has told these changes of what a part is behind."""
        if not is_history(changes):
            part.behind_since = None
        elif self._store.forgets_deletions:  # it would go on right behind what it told
            with self._lock:
                if part.watch_id is not None and self._by_id.pop(part.watch_id, None) is part:
                    self._begin_before(part, part.watch_id)

    def _hand_over(self, part: Part) -> None:
        """Replace a part with one whose values before are found the other way; nobody notices.

        The server feeds a watcher of the past only every 0.1 s: so there are two for a moment.
        """
        with self._lock:
            if part.target is not self._target:
                return
            heir = part.heir
            if heir is None:
                self._ask(part.bequeath())
                return
            early = part.hand_over()
            if part.watch_id is None or not early:
                return
            self._by_id.pop(part.watch_id, None)
            self._outbox.put(cancel(part.watch_id))
        self._values.hand_on(part, heir)
        self._again.extend(early)

    def _keep(self, response: Any, heir: Part, part: Part) -> None:
        """Keep what an heir is told until it takes over."""
        heir.keep(response)
        self._hand_over(part)
        # An heir is never asked to begin before: what a compaction took from it would be missing.
        may_lack = self._store.forgets_deletions and is_history(response.events)
        if heir.is_too_early or may_lack:
            self._give_up(heir, "the first one is too far behind")

    def _give_up(self, heir: Part, reason: str) -> None:
        """Have no second watcher after all."""
        if (part := heir.replaces) is None:
            return
        with self._lock:
            part.heir = None
            if heir.watch_id is not None:
                self._by_id.pop(heir.watch_id, None)
                self._outbox.put(cancel(heir.watch_id))
        if not part.by_server:  # what we know is too much
            raise self._lost(f"it cannot have a second watcher: {reason}")
        self._values.put_off(part)

    def _progress(self, reached: int) -> Batch | None:
        with self._lock:
            target, wanted = self._target, self._wanted
        if any(part.watch_id is None for part in target.parts):
            return None
        if self._store.progress_is_barrier:
            return self._complete(target, reached)
        if not wanted:  # asked for by the outbox, of its own accord
            if reached > self._told:
                self.probe(reached)
            return None
        # On an old server the reply may overtake events that are ready to be sent, so it is taken
        # for what it says only when we have seen the newest change of every live key, when the
        # server is not feeding us history, and when several replies in a row had nothing between
        # them: with both ready, the server picks at random which to send first.
        self._quiet += 1
        if len(target.parts) == 1 and target.parts[0].given >= wanted:
            return self._complete(target, target.parts[0].given)
        if reached < wanted or any(part.may_be_behind for part in target.parts):
            self._quiet = 0
        elif self._quiet >= QUIET_REPLIES:
            return self._complete(target, wanted)
        else:
            self._outbox.put(ask_progress())
        return None

    def _complete(self, target: Target, revision: int) -> Batch:
        """Say that we are complete up to a revision, and give what was held back up to there."""
        with self._lock:
            if revision >= self._wanted:
                self._wanted = self._quiet = 0
                for part in target.parts:
                    part.floor = 0
        self._told = max(self._told, revision)
        return Batch(target.scope, target.release(revision), complete=revision)
