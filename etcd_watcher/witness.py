"""What a watcher can be asked about what happens: to tell it, to wait for it, to hold it to a plan."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Sequence
from functools import partial

import etcd_watcher.arguments as given
from etcd_watcher.arguments import Key, Keys, seconds, several, some
from etcd_watcher.background import run_in_thread
from etcd_watcher.catchup import CatchUp
from etcd_watcher.client import Client
from etcd_watcher.demux import Demux
from etcd_watcher.errors import Compacted
from etcd_watcher.event import Event
from etcd_watcher.expect import AnyOrder, Change
from etcd_watcher.feed import Feed
from etcd_watcher.journal import Journal
from etcd_watcher.keys import KeyRange
from etcd_watcher.moment import Differences, History, Moment
from etcd_watcher.recording.recorder import Recorder
from etcd_watcher.recording.replay import Replay
from etcd_watcher.recording.store import ReplayStore
from etcd_watcher.registry import Registry
from etcd_watcher.stream import EventStream, open_stream
from etcd_watcher.timemachine import TimeMachine
from etcd_watcher.waiting import Waiter

__all__ = ["Witness"]


class Witness(Client):
    """Tells, and waits for, what happens to keys. The base of `Watcher`, which makes its parts."""

    _catch_up: CatchUp
    _demux: Demux
    _feed: Feed
    _journal: Journal
    _registry: Registry
    _time_machine: TimeMachine
    _waiter: Waiter

    def events(self, key: Keys, *, prefix: bool = False, since: int | None = None) -> EventStream:
        """Iterate over the events of a key, with `for` or with `async for`.

        Parameters
        ----------
        key, prefix
            As for `register`.
        since : int, optional
            Begin with the events of this revision, at the latest the one that comes next; by
            default with what comes from now on.

        Raises
        ------
        ValueError
            `since` is yet to come, as a revision of another server, or of its other API, may be.
        Compacted
            From the iteration: the server no longer has `since`.
        """
        self._check_open()
        self._check_since(since)
        return open_stream(
            self._registry, self._demux, self._catch_up, some(key), prefix=prefix, since=since
        )

    # Waiting.

    def sync(self, timeout: float = 10) -> None:
        """Wait until every change committed before this call has been delivered.

        "Delivered" means that the callbacks have returned. Called from a callback, it does not
        wait for that callback's own subscriber.

        Raises
        ------
        TimeoutError
            After `timeout` seconds; it says what was being waited for.
        RuntimeError
            When an `async` callback waits for the event loop that this call blocks: use
            `await watcher.sync_async()` there.
        """
        __tracebackhide__ = True
        self._check_open()
        self._waiter.sync(seconds("timeout", timeout))

    async def sync_async(self, timeout: float = 10) -> None:  # noqa: ASYNC109 - as `sync`
        """Do what `sync` does without blocking the event loop."""
        __tracebackhide__ = True
        await run_in_thread(lambda: self.sync(timeout))

    def wait_for(
        self,
        key: Key,
        predicate: Callable[[Event], object] | None = None,
        *,
        prefix: bool = False,
        timeout: float = 10,
    ) -> Event:
        """Give the next event of a key for which `predicate` holds, waiting for it if need be.

        Each call goes on behind the event that the last one for this key gave; the first one
        begins with all that the journal holds of the key, so that it does not matter whether an
        event comes before or after the call. A key that is not watched is watched for the call.

        Raises
        ------
        TimeoutError
            After `timeout` seconds; it says what was waited for and what had come.
        """
        __tracebackhide__ = True
        self._check_open()
        wait = seconds("timeout", timeout)
        given.check_predicate(predicate)
        scope = self._registry.scope(key, prefix=prefix)
        watching = (
            contextlib.nullcontext()
            if self._demux.covers(scope)
            else self.events(key, prefix=prefix)
        )
        with watching:
            return self._waiter.wait_for(key, scope, predicate, wait)

    async def wait_for_async(
        self,
        key: Key,
        predicate: Callable[[Event], object] | None = None,
        *,
        prefix: bool = False,
        timeout: float = 10,  # noqa: ASYNC109 - as `wait_for`
    ) -> Event:
        """Do what `wait_for` does without blocking the event loop."""
        __tracebackhide__ = True
        wait = partial(self.wait_for, key, predicate, prefix=prefix, timeout=timeout)
        return await run_in_thread(wait)

    def expect(
        self,
        *steps: Change | AnyOrder,
        within: float = 10,
        nothing_else: bool | Keys = False,
        since: int | None = None,
    ) -> list[Event]:
        """Wait until what is described has happened, and give its events.

        The steps are to come in their order; in between there may be other changes, unless
        `nothing_else` is said. For each key (or prefix) the search goes on behind the event that
        was last expected or waited for of it, and at first begins with all that the journal holds,
        so that it does not matter whether an event comes before or after the call. Keys that are
        not watched are watched for the call.

        Parameters
        ----------
        *steps : Change or AnyOrder
            Made by `put`, `deleted`, `expired`, `changed` and `any_order` of
            `etcd_watcher.expect`.
        within : float
            Seconds for all of it.
        nothing_else : bool, key, or iterable of keys
            Whether it must be all that happens to the watched keys, or to those that start so:
            behind the last event that was expected before, and up to now when all steps have come.
            Without steps: nothing must have happened.
        since : int, optional
            Begin with this revision, whatever was expected before: as far as the journal has it,
            and not from etcd's history. The keys have to be watched already.

        Raises
        ------
        ValueError
            Nothing is expected; `since` is yet to come, or given for a key that is not watched.
        ExpectationFailed
            An `AssertionError`: it shows what was expected beside what came, and at which event
            they part.

        Examples
        --------
        >>> from etcd_watcher.expect import any_order, deleted, put
        >>> watcher.expect(put("job", "started"), any_order(put("a"), put("b")), deleted("job"))
        """
        __tracebackhide__ = True  # pytest then shows the line that calls us
        self._check_open()
        wait = seconds("within", within)
        self._check_since(since)
        wanted = [self._with_ranges(step) for step in steps]
        if not wanted and nothing_else is False:
            raise ValueError("expect nothing? Say it: expect(nothing_else=True)")
        among = self._ranges(nothing_else)
        changes = [each for step in wanted for each in step]
        limits = [] if since is None else self._limits(changes, since)
        with contextlib.ExitStack() as watching:
            for change, scope in changes:
                if not self._demux.covers(scope):
                    watching.enter_context(self.events(change.key, prefix=change.prefix))
            return self._waiter.expect(wanted, among, since, wait, limits)

    async def expect_async(
        self,
        *steps: Change | AnyOrder,
        within: float = 10,
        nothing_else: bool | Keys = False,
        since: int | None = None,
    ) -> list[Event]:
        """Do what `expect` does without blocking the event loop."""
        __tracebackhide__ = True
        return await run_in_thread(
            lambda: self.expect(*steps, within=within, nothing_else=nothing_else, since=since)
        )

    # Keeping.

    def record(self, path: str | os.PathLike[str], *, overwrite: bool = False) -> Recorder:
        """Write all that comes into the journal to a file, from now on.

        Until `close()`, the end of its `with`, or the watcher's own. What `sync` has waited for is
        in the file: if this process is killed then, nothing of it is lost. A recording that is
        there is continued, unless `overwrite` is said. To keep what has come already there is
        `journal.save`.

        Raises
        ------
        ValueError
            The file cannot be continued: it is no recording (`BadRecording`), it is one of another
            API or server, or somebody is recording to it.
        OSError
            The file cannot be written.

        Examples
        --------
        >>> with watcher.record("lesson.jsonl"):
        ...     watcher.put("nokia", "hello")
        >>> watcher = Watcher(Recording("lesson.jsonl"))
        """
        self._check_open()
        feed, timeout = self._feed, self._timeout
        return Recorder(
            path,
            self._journal,
            self._demux.lock,
            complete=lambda: feed.revision,
            newest=lambda: feed.newest_revision(timeout),
            arrive=self._waiter.arrive,
            overwrite=overwrite,
        )

    # The past.

    def at(self, revision: int, key: Keys | None = None, *, prefix: bool = False) -> Moment:
        """Give the watched keys as they were at a revision, or other keys.

        From the journal where it reaches to, so that it does not matter whether the server has
        forgotten that revision; else from the server, down to its last compaction (v2: 1,000
        changes).

        Parameters
        ----------
        revision : int
        key : str, bytes, or an iterable of them, optional
            Which keys; by default all that are watched.
        prefix : bool
            All that starts with `key`.

        Raises
        ------
        Compacted
            Nobody knows any more; `error.revision` is the oldest that somebody does.
        ValueError
            That revision is yet to come.

        Examples
        --------
        >>> watcher.at(17)["nokia"]
        'hello'
        """
        self._check_open()
        given.check_revision(revision)
        scopes = self._registry.scopes() if key is None else self._readable(key, prefix=prefix)
        self._check_past(revision, f"revision {revision}")
        return self._time_machine.at(revision, scopes)

    def diff(
        self, first: int, last: int, key: Keys | None = None, *, prefix: bool = False
    ) -> Differences:
        """Give what differs between two revisions: the watched keys, or others, as for `at`.

        Examples
        --------
        >>> print(watcher.diff(17, 19))
        ~ nokia = hello -> goodbye
        - redhat = news
        """
        return Differences(self.at(first, key, prefix=prefix), self.at(last, key, prefix=prefix))

    def history(
        self,
        key: Keys,
        *,
        prefix: bool = False,
        since: int | None = None,
        until: int | None = None,
    ) -> History:
        """Give all that happened to a key, its deletions too: from etcd's history and the journal.

        Parameters
        ----------
        key, prefix
            As for `at`. They need not be watched.
        since, until : int, optional
            The first and the last revision to look at; by default all that somebody knows of.

        Raises
        ------
        Compacted
            Nobody knows `since` any more; `error.revision` is where it can begin.
        ValueError
            `since` or `until` is yet to come, or they are the wrong way round.

        Examples
        --------
        >>> watcher.history("nokia").values
        ['hello', 'goodbye', None]
        """
        self._check_open()
        given.check_until(since, until)
        scopes = self._readable(key, prefix=prefix)
        self._check_since(since)
        newest = self._feed.newest_revision(self._timeout)
        self._feed.wait_complete(newest, self._timeout)
        if until is not None and until > newest:
            raise ValueError(f"until={until} is yet to come: the newest is {newest}")
        last = newest if until is None else until
        history = self._time_machine.history(scopes, since or 1, last)
        if since is not None and history.since > since:
            raise Compacted(history.since)
        return history

    @property
    def replay(self) -> Replay:
        """What plays the recording that is watched: `play()`, `pause()`, `step()`, `seek()`.

        Raises
        ------
        AttributeError
            A server is watched.
        """
        if not isinstance(self._store, ReplayStore):
            raise AttributeError(  # noqa: TRY004 - so that it is as if it were not there
                'this watcher watches a server. To play a recording: Watcher(Recording("lesson.jsonl"))'
            )
        return self._store.replay

    def _readable(self, keys: Keys, *, prefix: bool) -> list[KeyRange]:
        """Give the raw keys that somebody wants to look at, of which our user may read some."""
        scopes = [self._registry.scope(each, prefix=prefix) for each in several(keys)]
        if scopes:
            self._store.admit(scopes, self._timeout, whole=False)
        return scopes

    def _limits(self, changes: Sequence[tuple[Change, KeyRange]], since: int) -> list[str]:
        """Say of which keys the journal tells only from later on than `since`."""
        if isinstance(self._store, ReplayStore):  # all there is
            return []
        tell = self._time_machine.falls_short
        found = [tell(given.name_of(each.key), scope, since) for each, scope in changes]
        return list(dict.fromkeys(filter(None, found)))

    def _check_since(self, since: int | None) -> None:
        """Refuse a revision to begin with that is later than the next one."""
        given.check_since(since)
        if since is not None and not isinstance(self._store, ReplayStore):  # that knows its future
            self._check_past(since - 1, f"since={since}")

    def _check_past(self, revision: int, given_as: str) -> None:
        """Refuse a revision that is yet to come: to wait for it without a word helps nobody."""
        if revision <= self._feed.revision:
            return
        newest = self._feed.newest_revision(self._timeout)
        if revision > newest:
            raise ValueError(f"{given_as} is yet to come: the newest is {newest}")

    def _with_ranges(self, step: Change | AnyOrder) -> Sequence[tuple[Change, KeyRange]]:
        if not isinstance(step, Change | AnyOrder):
            raise TypeError(
                f"a step is a change, such as put('key', 'value') or deleted('key') of "
                f"etcd_watcher.expect, not {step!r}"
            )
        changes = step.changes if isinstance(step, AnyOrder) else (step,)
        return [(each, self._registry.scope(each.key, prefix=each.prefix)) for each in changes]

    def _ranges(self, nothing_else: bool | Keys) -> Sequence[KeyRange] | None:  # noqa: FBT001 - as given
        """Give the raw keys that nothing else may happen to; None where it may."""
        if isinstance(nothing_else, bool):
            return [KeyRange(b"", None)] if nothing_else else None
        return [self._registry.scope(each, prefix=True) for each in several(nothing_else)]
