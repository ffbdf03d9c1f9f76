"""The past, read by many watchers at once: what the server gives to one it gives to a hundred.

The server feeds a watcher that is behind no more than 1,000 revisions at a time, ten times a
second at the best, and reads *all* that lies before the present again for each of them. So one
watcher gets some 6,500 single puts a second, and the longer the history, the less. But it serves
up to 512 watchers in one such round. So we cut the history into segments, each with a watcher of
its own on one stream, and cancel each watcher as soon as it has told its one response. 100,000 puts
come in one or two rounds instead of a hundred.

A window of segments is asked for at a time, and the next when most of that was taken: the fewer
rounds, the less the server works, and while nobody takes anything it has nothing to do for us.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator
from itertools import chain
from typing import Any

from etcd_watcher.errors import (
    Compacted,
    ConnectionFailed,
    EtcdWatcherError,
    RequestRejected,
    StoreClosed,
)
from etcd_watcher.keys import KeyRange
from etcd_watcher.stores.rpc import ChannelClosed, Metadata, RpcError
from etcd_watcher.stores.v3_connection import NEEDS_LEADER, Connection
from etcd_watcher.stores.v3_knocks import KNOCK, KNOCK_EVERY, Knocks
from etcd_watcher.stores.v3_login import LOGIN_OVER, LOGIN_TRIES, is_old_token
from etcd_watcher.stores.v3_outbox import cancel, create
from etcd_watcher.stores.v3_response import Response, Unread, Whole
from etcd_watcher.stores.v3_rows import REVISION, Row
from etcd_watcher.stores.v3_segments import Piece, Plan, last_revision
from etcd_watcher.stores.v3_target import CATCH_UP_REVISIONS as FULL

__all__ = ["WATCHERS", "Segments"]

WATCHERS = 100
"""Segments in flight at the most. More than 128 responses on their way on one stream and the server
sets watchers aside, to try again later."""

FIRST_WINDOW = 4
"""Segments in flight until the first response tells how many revisions it spans."""

HELD_BYTES = 8 * 1024 * 1024
"""Bytes of pieces that are here. With it 1,000 events of 100 bytes a piece still come 60 at a time.
One that is larger comes alone."""

LARGE_AT_ONCE = 4
"""Segments in flight of those larger. We take one at a time; but in each round the server reads all
that lies before the present, so that a round for each took time squared."""

BURST = 0.002
"""Seconds without a response after which the server is taken to have sent its round. Only then
are events made of what came: this thread would hold Python's lock, and the cancellations would be
late. A watcher that is not cancelled within 0.1 s is served again, for nothing."""

METADATA_ANSWER = 3.0
"""Seconds we wait for a login."""


class _LoginOver(Exception):
    """The stream has to be opened again, with a new login."""


class Segments:
    """Reads the changes of one range, in pieces.

    Its thread receives; `pieces` is for one reader. What comes of it is right in any case, and
    complete up to where it ends. It may end early, when the server has no more for us at present:
    then it is for an ordinary watch to tell whether there is nothing, or nothing yet.

    Parameters
    ----------
    watchers : int
        Segments in flight at the most.
    overlap : int
        How many revisions before a segment its watcher begins; see `V3Watch._begin_before`.
    """

    def __init__(
        self, connection: Connection, scope: KeyRange, plan: Plan, watchers: int, overlap: int
    ) -> None:
        self._connection = connection
        self._scope = scope
        self._most = watchers
        self._overlap = overlap
        self._state = threading.Condition()
        """Guards all below; notified whenever a response has come."""
        self._plan = plan
        self._width = min(watchers, FIRST_WINDOW)
        """Segments of the next window."""
        self._growth = watchers
        """How many times as many the one after that may have."""
        self._span = FULL
        """Revisions of a segment: what a full response has lately spanned, and at first a guess."""
        self._spans: list[int] = []
        """What those of the present window spanned."""
        self._newest: Piece | None = None
        """The piece of the present window that reaches farthest."""
        self._asked: deque[int] = deque()
        """Where the watchers begin that the server has not acknowledged yet; it does so in order."""
        self._watching: dict[int, int] = {}
        """Where the others begin, by the server's number for each."""
        self._parts: list[Row] = []
        """The changes of a revision of which more may come in the next fragment."""
        self._in_hand = 0
        """Bytes of the piece that the reader has."""
        self._told = self._told_bytes = 0
        """Revisions, and their bytes, in the fragments of a response so far."""
        self._in_fragments = False
        """Whether responses are asked for in fragments: one alone was over the bound of a message."""
        self._received = self._seen = 0
        """Responses that came, and those of them that the reader knows of."""
        self._knocks = Knocks()
        self._login: Metadata = []
        self._refusals = 0
        """How many in a row may have been for want of a new login."""
        self._ended = False
        self._failure: EtcdWatcherError | None = None
        self._call: Any = None
        self._send: Callable[[Any], None] = lambda _: None
        self._thread = threading.Thread(target=self._run, name="etcd_watcher-history", daemon=True)
        self._thread.start()

    @property
    def reached(self) -> int:
        """The revision up to which `pieces` has given everything."""
        return min(self._plan.reached, self._plan.last)

    # The reader.

    def pieces(self) -> Iterator[tuple[Piece, int]]:
        """Give the pieces in order, each with the revision behind which it is news.

        Raises
        ------
        Compacted, ConnectionFailed, RequestRejected, StoreClosed
            Once everything was given that came before the failure.
        """
        while (taken := self._take()) is not None:
            yield taken
            del taken  # its memory: the next one may be as large

    def _take(self) -> tuple[Piece, int] | None:
        with self._state:
            self._in_hand = 0
            self._state.notify_all()
            self._let_the_burst_in()
            while (taken := self._plan.take()) is None:
                if self._failure is not None:
                    raise self._failure
                if self._ended or self._plan.reached >= self._plan.last or self._knocks.are_in_vain:
                    return None
                self._ask_where_nothing_is_asked()
                if not self._state.wait(KNOCK_EVERY):
                    self._knock()
                self._let_the_burst_in()
            self._in_hand = taken[0].cost
            # The next window while this one is told; but of large pieces one at a time.
            if self._in_hand < HELD_BYTES // 2:
                self._ask_where_nothing_is_asked()
            self._state.notify_all()
            return taken

    def _ask_where_nothing_is_asked(self) -> None:
        if not any(self._asked) and not self._watching:
            self._ask()

    def _knock(self) -> None:
        if KNOCK not in self._asked:
            self._knocks.knock()
            self._asked.append(KNOCK)
            self._send(create(self._scope, KNOCK - 1, prev_values=False, fragment=False))

    def _let_the_burst_in(self) -> None:
        while (self._asked or self._watching) and self._received != self._seen:
            self._seen = self._received
            self._state.wait(BURST)

    def close(self) -> None:
        """End it, from any thread."""
        with self._state:
            if not self._ended:
                self._ended = True
                self._failure = StoreClosed("this history is closed")
            call = self._call
            self._state.notify_all()
        if call is not None:
            call.cancel()
        self._thread.join(1.0)

    # The thread.

    def _run(self) -> None:
        try:
            while not self._ended:
                self._follow()
        except ChannelClosed:
            failure: EtcdWatcherError = StoreClosed("this history is closed")
        except EtcdWatcherError as error:
            failure = error
        except Exception as defect:  # noqa: BLE001 - the reader must not wait for a thread that died
            failure = ConnectionFailed(f"internal error: {defect!r}")
        else:
            return
        with self._state:
            self._ended = True
            self._failure = self._failure or failure
            self._state.notify_all()

    def _follow(self) -> None:
        """Read one stream to its end."""
        self._login = self._connection.metadata(METADATA_ANSWER)
        metadata = [*NEEDS_LEADER, *self._login]
        call = self._connection.history.begin(metadata=metadata)
        with self._state:
            if self._ended:
                call.cancel()
                return
            self._call, self._send = call, call.send
            self._asked.clear()
            self._watching.clear()
            self._parts.clear()
            self._ask()
        try:
            for response in call:
                with self._state:
                    self._receive(response)
                    del response  # as above
                    if self._ended:
                        return
            raise ConnectionFailed.to([self._connection.endpoint], "the server ended the watch")
        except _LoginOver:
            return  # the next stream begins with a new one
        except RpcError as error:
            if self._ended:
                return
            if not error.over_a_limit or self._in_fragments:
                raise self._connection.explain(error) from error
            self._ask_for_less()
        finally:
            call.cancel()

    def _ask_for_less(self) -> None:
        """Come nearer to the response that was too large; in the end ask for it in fragments.

        Never from the start: for fragments the server takes time squared in the number of changes.
        """
        with self._state:
            self._in_fragments = self._width == 1
            self._width, self._growth = max(1, self._width // 4), 2

    def _ask(self) -> None:
        """Ask for the next window, where there is room and the reader is about to need it."""
        plan, room = self._plan, self._width - len(self._plan)
        if not plan.is_next_here:
            room = max(1, room)  # everybody waits for that one
        elif 2 * room < self._width or 2 * plan.cost > HELD_BYTES:
            return
        self._spans, self._newest = [], None
        self._told = self._told_bytes = 0
        for missing in plan.missing(self._span, room):
            start = max(1, missing - self._overlap)
            self._knocks.begin_anew()
            self._asked.append(start)
            request = create(self._scope, start - 1, prev_values=False, fragment=self._in_fragments)
            self._send(request)

    def _receive(self, response: Response) -> None:
        self._received += 1
        head = response.head
        if head.created:
            self._acknowledge(head)
        elif head.canceled:
            self._give_up(head)
        elif response.changes.count:
            self._keep(head, response.changes)
        if self._is_window_over():
            self._close_window()
        self._state.notify_all()

    def _acknowledge(self, response: Any) -> None:
        start = self._asked.popleft()
        if not response.canceled and response.watch_id != -1:
            self._refusals = 0
            if start != KNOCK:
                self._watching[response.watch_id] = start
                return
            self._send(cancel(response.watch_id))
            self._knocks.answer()
            return
        reason = response.cancel_reason or "the server did not say why"
        self._refusals += 1
        over = self._connection.is_login_over(reason, self._login, of_watch=True)
        if over and self._refusals < LOGIN_TRIES:
            raise _LoginOver
        if is_old_token(reason):
            raise ConnectionFailed.to([self._connection.endpoint], f"{LOGIN_OVER} ({reason})")
        raise RequestRejected(f"{self._connection.endpoint} refused the watch: {reason}")

    def _give_up(self, response: Any) -> None:
        if self._watching.pop(response.watch_id, None) is None:
            return  # the answer to a cancellation of ours
        if not response.compact_revision:
            reason = f"the server cancelled the watch: {response.cancel_reason}"
            raise ConnectionFailed.to([self._connection.endpoint], reason)
        whole_from = response.compact_revision + self._overlap
        if any(start < whole_from for start in self._plan.missing(1, 1)):
            raise Compacted(response.compact_revision, whole_from)

    def _keep(self, head: Any, changes: Unread) -> None:
        start = self._watching.get(head.watch_id)
        if start is None:
            return  # it was sent before the server heard of our cancellation
        self._knocks.begin_anew()
        if self._in_fragments:
            whole = [*self._parts, *chain.from_iterable(changes)]
            self._parts = last_revision(whole) if head.fragment else []
            whole = whole[: len(whole) - len(self._parts)]
            if not whole:
                return
            piece = Piece(start, whole[-1][REVISION], Whole(whole, changes.size))
        else:
            piece = Piece(start, changes.last_revision, changes)
        if head.fragment:
            self._watching[head.watch_id] = piece.end + 1
        else:
            del self._watching[head.watch_id]
            self._send(cancel(head.watch_id))
        if self._newest is None or piece.end > self._newest.end:
            self._newest = piece
        if piece.count >= FULL:
            self._spans.append(piece.span)
        if self._in_fragments:
            self._told += piece.changes.revisions
            self._told_bytes += piece.cost
        self._plan.add(piece)
        self._hold_less()

    def _hold_less(self) -> None:
        """Keep to the bound on memory."""
        if not self._in_fragments and self._plan.shed(HELD_BYTES):
            self._width = max(1, self._width // 2)
        # One that is too large by itself, or fragments: the reader has it, or is about to. What
        # comes next waits with the server, by HTTP/2's flow control.
        while not self._ended and (
            self._in_hand > HELD_BYTES or (self._plan.cost > HELD_BYTES and self._plan.is_next_here)
        ):
            if not self._state.wait(1.0) and not self._in_fragments:
                self._end_watchers()  # else the server feeds them on and on

    def _end_watchers(self) -> None:
        for watch_id in self._watching:
            self._send(cancel(watch_id))
        self._watching.clear()

    def _is_window_over(self) -> bool:
        """Tell whether every watcher has told something, but for those that have nothing to tell.

        Behind a response that is not full there is nothing, until something new is written.
        """
        if any(self._asked):
            return False
        newest = self._newest
        return not self._watching or (
            newest is not None
            and not self._in_fragments
            and newest.count < FULL
            and min(self._watching.values()) > newest.end
        )

    def _close_window(self) -> None:
        self._end_watchers()
        if self._newest is not None:
            if self._is_at_the_end(self._newest):
                self._ended = True
                return
            cost = self._told_bytes or self._newest.cost
            room = HELD_BYTES // cost or (1 if self._in_fragments else LARGE_AT_ONCE)
            self._width = min(self._most, room, self._growth * self._width)
            self._in_fragments = self._in_fragments and cost > HELD_BYTES
        if self._spans:
            self._span = sum(self._spans) // len(self._spans)
        self._ask()

    def _is_at_the_end(self, newest: Piece) -> bool:
        """Tell whether the server has told all that it has: its farthest response is not full."""
        if not self._plan.whole or not newest.end <= self._plan.farthest < self._plan.last:
            return False
        if self._in_fragments:
            return self._told < FULL
        # To count revisions is to read all of them: only where that may be the end.
        is_near = self._plan.last - newest.end < newest.span
        return newest.count < FULL or (is_near and newest.changes.revisions < FULL)
