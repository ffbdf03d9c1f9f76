"""The ordered stream of a replay's steps: the feed's, in step with those it calls, and the past."""

from __future__ import annotations

import math
from functools import partial

from etcd_watcher.errors import StoreClosed
from etcd_watcher.event import Event, Gap
from etcd_watcher.keys import KeyRange
from etcd_watcher.recording.replay import Replay
from etcd_watcher.stores.base import Batch, KeyValue
from etcd_watcher.stores.synthetic import deleted, written

__all__ = ["ReplayWatch"]

PAST_EVENTS = 1_000
"""Events of the past that are given at a time."""


class ReplayWatch:
    """See `stores.base.Watch`. Guarded by the replay's lock.

    Parameters
    ----------
    live : bool
        Whether it tells what is played: there is one such watch, the feed's. Any other one tells
        what has been told already.
    """

    def __init__(self, replay: Replay, scope: KeyRange, after: int, *, live: bool) -> None:
        self._replay = replay
        self._scope = scope
        self._past = replay.place_behind(after)
        """The step that one who tells the past tells next."""
        self.live = live
        self.closed = False
        self._opened = False
        self._wanted = 0
        """The revision that somebody wants us to be complete up to; 0 for none."""
        if live:
            replay.watched = True

    def read(self) -> Batch:
        with self._replay.changed:
            while True:
                if self.closed:
                    raise StoreClosed("this watch is closed")
                batch, delay = self._next()
                if batch is not None:
                    return batch
                self._replay.changed.wait(None if delay == math.inf else delay)

    def _next(self) -> tuple[Batch | None, float]:
        """Give what there is to tell, or the seconds until there may be."""
        replay = self._replay
        if not self._opened:
            self._opened = True
            return Batch(self._scope, opened=True), 0.0
        delay = math.inf
        if not self.live:
            if self._past < replay.position:
                return self._tell_past(), 0.0
        elif replay.target is not None:
            if replay.resting():
                return self._jump(replay.target), 0.0
        elif replay.resting():
            delay = replay.delay(replay.position)
            if delay <= 0:
                return self._tell(), 0.0
        reached = replay.reached(replay.position)
        if 0 < self._wanted <= reached:
            self._wanted = 0
            return Batch(self._scope, complete=reached), 0.0
        return None, delay

    def _tell(self) -> Batch:
        """Give the next step that has something for us, of those that are due."""
        replay = self._replay
        at = replay.position
        while replay.delay(at) <= 0:
            step = replay.steps[at]
            at += 1
            events = [each for each in step.events if each.raw_key in self._scope]
            if events or step.notes:
                return Batch(
                    self._scope,
                    events,
                    complete=step.revision,
                    notes=step.notes,
                    anew=step.anew,
                    taken=partial(replay.told, at),
                )
        return Batch(self._scope, complete=replay.reached(at), taken=partial(replay.told, at))

    def _tell_past(self) -> Batch:
        replay = self._replay
        events: list[Event] = []
        while self._past < replay.position and len(events) < PAST_EVENTS:
            step = replay.steps[self._past]
            events += [each for each in step.events if each.raw_key in self._scope]
            self._past += 1
        return Batch(self._scope, events, complete=replay.reached(self._past))

    def _jump(self, target: int) -> Batch:
        """Give what leads to the state before a step elsewhere."""
        replay = self._replay
        position = replay.position
        here, there = replay.reached(position), replay.reached(target)
        back = target < position
        anew = back or any(step.anew for step in replay.steps[position:target])
        first, last = (there, here) if back else (here, there)
        reason = f"the replay was set {'back' if back else 'forward'}"
        return Batch(
            self._scope,
            self._differences(position, target, there),
            complete=there,
            notes=(Gap(first + 1, max(first + 1, last), reason),),
            anew=anew,
            taken=partial(replay.told, target),
        )

    def _differences(self, position: int, target: int, revision: int) -> list[Event]:
        states = self._replay.states
        before = {each.raw_key: each for each in states.items(self._scope, position)}
        events: list[Event] = []
        for item in states.items(self._scope, target):
            known = before.pop(item.raw_key, None)
            if known != item:
                events.append(_put(item, known, revision))
        events.sort(key=lambda event: event.revision)
        return events + [_delete(each, revision) for each in before.values()]

    def retarget(self, scope: KeyRange, after: int) -> None:
        with self._replay.changed:
            self._scope = scope
            self._past = self._replay.place_behind(after)
            self._opened = False
            self._replay.changed.notify_all()

    def watches(self, scope: KeyRange) -> bool:  # noqa: ARG002 - all of it
        return True

    def probe(self, revision: int) -> None:
        with self._replay.changed:
            self._wanted = max(self._wanted, revision)
            self._replay.changed.notify_all()

    def close(self) -> None:
        with self._replay.changed:
            if self.live and not self.closed:
                self._replay.watched = False
            self.closed = True
            self._replay.changed.notify_all()


def _put(item: KeyValue, before: KeyValue | None, revision: int) -> Event:
    known = None if before is None else before.raw_value
    at = min(item.revision or revision, revision)
    return written(item, at, action="seek", raw_prev_value=known)


def _delete(item: KeyValue, revision: int) -> Event:
    return deleted(item.raw_key, revision, action="seek", raw_prev_value=item.raw_value)
