"""Waiting without `sleep`: for all that is on its way, or for one event that was described."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Sequence

from etcd_watcher.backoff import RETRY
from etcd_watcher.deadline import seconds_left
from etcd_watcher.errors import (
    ConnectionFailed,
    ExpectationFailed,
    StoreClosed,
    TimedOut,
    WatcherClosed,
)
from etcd_watcher.event import Event
from etcd_watcher.expect import Change
from etcd_watcher.expecting import Expectation, Wanted
from etcd_watcher.feed import Feed
from etcd_watcher.journal import Journal
from etcd_watcher.keys import KeyRange
from etcd_watcher.playing import Plays
from etcd_watcher.pool import Pool
from etcd_watcher.recording.store import ReplayStore
from etcd_watcher.stores.base import Store
from etcd_watcher.subscriber import shown
from etcd_watcher.table import plural

__all__ = ["Waiter"]

SHOWN = 5
"""Events that a time-out shows of those that came."""

OTHER_API = (
    ". This watcher is on v2, which does not see what is written on v3: if that is where the key "
    'is written, use Watcher(..., api="v3")'
)


class Waiter:
    """Waits for a watcher: for everything up to now, or for one event.

    Parameters
    ----------
    store, feed, pool, journal
        The watcher's parts.
    request_timeout : float
        Seconds for one request to the store.
    """

    def __init__(
        self, store: Store, feed: Feed, pool: Pool, journal: Journal, request_timeout: float
    ) -> None:
        self._store = store
        self._feed = feed
        self._pool = pool
        self._journal = journal
        self._request_timeout = request_timeout
        self._plays = (
            None if not isinstance(store, ReplayStore) else Plays(store.replay, feed, pool, journal)
        )
        """Where the changes come from a recording: who waits for one also plays it."""
        self._lock = threading.Lock()
        self._positions: dict[KeyRange, int] = {}
        """Where in the journal the next search for each range begins. Guarded by `_lock`."""
        self._expected_to = 0
        """The position behind the last event that was expected. Guarded by `_lock`."""

    def sync(self, timeout: float) -> None:
        """Wait until every change committed by now has been delivered; see `Watcher.sync`."""
        __tracebackhide__ = True  # pytest then shows the line that calls us
        deadline = time.monotonic() + timeout
        revision = self.arrive(timeout)
        late = self._pool.settle(revision, deadline - time.monotonic())
        self._check_open()
        if late:
            names = ", ".join(shown(each.who) for each in late[:SHOWN])
            raise TimedOut(
                f"after {timeout:g} s the callbacks of {plural(len(late), 'subscriber')} had not "
                f"returned for all changes up to revision {revision}: {names}"
            )

    def arrive(self, timeout: float) -> int:
        """Wait until every change committed by now is in the journal; give the newest revision."""
        __tracebackhide__ = True
        deadline = time.monotonic() + timeout
        if self._plays is not None:
            self._plays.to_where_it_stands(timeout)
        revision = self._newest_revision(deadline, timeout)
        if not self._feed.wait_complete(revision, deadline - time.monotonic()):
            self._check_open()
            status = self._feed.status
            reason = f" ({status.reason})" if status.reason else ""
            raise TimedOut(
                f"after {timeout:g} s the changes up to revision {revision} had not all come: "
                f"{self._feed.revision} was reached, and the watcher is {status.state}{reason}"
            )
        return revision

    def _newest_revision(self, deadline: float, timeout: float) -> int:
        """Ask the server for its newest revision, again while it is away."""
        __tracebackhide__ = True
        while True:
            try:
                wait = min(self._request_timeout, seconds_left(deadline))
                return self._feed.newest_revision(wait)
            except StoreClosed:
                self._check_open()  # else the feed has just turned to another endpoint
            except ConnectionFailed as error:
                self._check_open()
                if deadline - time.monotonic() <= RETRY:
                    raise TimedOut(f"after {timeout:g} s: {error}") from error
                self._feed.wait_for_change(RETRY)

    def _other_api(self, came: list[Event]) -> str:
        """Give the likeliest reason why nothing has come at all, where the server has two APIs."""
        return OTHER_API if self._store.api == "v2" and not came else ""

    def _check_open(self) -> None:
        if self._journal.closed:
            raise WatcherClosed

    def wait_for(
        self,
        key: str | bytes,
        scope: KeyRange,
        predicate: Callable[[Event], object] | None,
        timeout: float,
    ) -> Event:
        """Give the next event in `scope` for which `predicate` holds; see `Watcher.wait_for`."""
        __tracebackhide__ = True
        deadline = time.monotonic() + timeout
        event = self._find(key, scope, predicate, timeout)
        self._settle(event, deadline)
        return event

    def _settle(self, event: Event, deadline: float) -> None:
        """Have the callbacks of an event return, where that can be had: not for one on this loop."""
        self._feed.step()
        with contextlib.suppress(RuntimeError):
            self._pool.settle(event.revision, deadline - time.monotonic())

    def _find(
        self,
        key: str | bytes,
        scope: KeyRange,
        predicate: Callable[[Event], object] | None,
        timeout: float,
    ) -> Event:
        __tracebackhide__ = True
        deadline = time.monotonic() + timeout
        with self._lock:
            position = began = self._positions.get(scope, 0)
        came: list[Event] = []
        while True:
            records, end = self._journal.read(position)
            for at, record in enumerate(records, start=end - len(records)):
                if isinstance(record, Event) and record.raw_key in scope:
                    if predicate is None or predicate(record):
                        with self._lock:
                            self._positions[scope] = at + 1
                        return record
                    came.append(record)
            position = end
            self._check_open()
            if not self._wait(position, deadline):
                ending = self._ending(f"after {timeout:g} s", "until the replay {}")
                story = _story(key, predicate, ending, came, went_before=began > 0)
                raise TimedOut(story + self._other_api(came))

    def _wait(self, position: int, deadline: float) -> bool:
        """Wait until the journal goes on behind a position; False when it does not any more."""
        if self._plays is not None:
            return self._plays.wait(position, deadline)
        return self._journal.wait(position, max(0.0, deadline - time.monotonic()))

    def _ending(self, timed: str, stood: str) -> str:
        """Say why nothing more is waited for: the time is up, or a replay stands."""
        stands = "" if self._plays is None else self._plays.how_it_stands()
        return stood.format(stands) if stands else timed

    def expect(
        self,
        steps: Sequence[Sequence[tuple[Change, KeyRange]]],
        among: Sequence[KeyRange] | None,
        since: int | None,
        timeout: float,
        limits: Sequence[str] = (),
    ) -> list[Event]:
        """Wait until all steps have come; see `Watcher.expect`.

        Parameters
        ----------
        steps
            The changes of each step, with the raw keys that each may be of.
        among
            The raw keys of which nothing else may come; None where it may.
        since
            The first revision to look at; by default it begins with what was not expected before.
        limits
            What a failure says of how far back one could look.
        """
        __tracebackhide__ = True
        deadline = time.monotonic() + timeout
        expectation, position = self._expectation(steps, among, since)
        forgotten = self._journal.start - position
        ending = self._follow(expectation, position, among, deadline, timeout)
        if ending is not None:
            if forgotten > 0:
                lost = plural(forgotten, "record")
                limits = [*limits, f"Before what is shown the journal has forgotten {lost}."]
            raise ExpectationFailed(expectation.story(ending, limits))
        self._remember(expectation)
        found = [each.event for each in expectation.found if each.event is not None]
        if found:
            self._settle(max(found, key=lambda event: event.revision), deadline)
        return found

    def _expectation(
        self,
        steps: Sequence[Sequence[tuple[Change, KeyRange]]],
        among: Sequence[KeyRange] | None,
        since: int | None,
    ) -> tuple[Expectation, int]:
        """Make an expectation, and say at which position to begin."""
        strict = among is not None
        with self._lock:
            first = self._expected_to
            if since is not None:
                first = self._journal.cursor(since=since).position
            by_range = {} if strict or since is not None else dict(self._positions)
        fallback = first if strict or since is not None else 0
        wanted = [
            [Wanted(each, scope, by_range.get(scope, fallback)) for each, scope in step]
            for step in steps
        ]
        starts = [each.start for step in wanted for each in step]
        expectation = Expectation(wanted, strict, goes_on=since is None)
        return expectation, min(starts, default=first)

    def _follow(
        self,
        expectation: Expectation,
        position: int,
        among: Sequence[KeyRange] | None,
        deadline: float,
        timeout: float,
    ) -> str | None:
        """Offer what comes until all is clear; None where all was as expected, else why it ends."""
        __tracebackhide__ = True
        settled = False
        while True:
            records, end = self._journal.read(position)
            for place, record in enumerate(records, start=end - len(records)):
                if isinstance(record, Event) and expectation.concerns(place, record, among):
                    expectation.offer(place, record)
                    if expectation.parted:
                        return ""
                    if expectation.complete and among is None:
                        return None
            position = end
            if expectation.complete and settled:
                return None
            self._check_open()
            if expectation.complete:
                self.arrive(seconds_left(deadline))
                settled = True
            elif not self._wait(position, deadline):
                return self._ending(f"within {timeout:g} s", "before the replay {}")

    def _remember(self, expectation: Expectation) -> None:
        """Go on behind it the next time."""
        with self._lock:
            for each in expectation.found:
                if each.place is not None:
                    self._positions[each.scope] = each.place + 1
                    self._expected_to = max(self._expected_to, each.place + 1)


def _story(
    key: str | bytes,
    predicate: Callable[[Event], object] | None,
    ending: str,
    came: list[Event],
    *,
    went_before: bool,
) -> str:
    condition = "" if predicate is None else " for which the predicate holds"
    if not came:
        which = "no further event" if went_before else "no event"
        behind = "behind the one that the last call gave" if went_before else "at all"
        return f"{ending} there was {which} of {key!r} {behind}"
    tail = "\n".join(f"  {event!r}" for event in came[-SHOWN:])
    left_out = f"  … and {len(came) - SHOWN} before\n" if len(came) > SHOWN else ""
    return (
        f"{ending} there was no event of {key!r}{condition}; "
        f"what had come ({plural(len(came), 'event')}):\n{left_out}{tail}"
    )
