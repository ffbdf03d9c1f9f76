"""A recording that is played: a person starts, stops and sets it, and its store tells what is due."""

from __future__ import annotations

import math
import threading
from bisect import bisect_right
from collections.abc import Callable, Sequence

from etcd_watcher.event import Record
from etcd_watcher.recording.file import Recording
from etcd_watcher.recording.playhead import Playhead, check_seconds, check_speed, check_whole
from etcd_watcher.recording.steps import Step, steps_of
from etcd_watcher.states import States

__all__ = ["Replay"]


class Replay:
    """Plays a recording to a watcher. It is what `Watcher.replay` gives.

    It stands at the beginning until somebody plays it, or waits for something (`sync`,
    `wait_for`, `expect`). Each change is told only when the callbacks of the one before have
    returned: so everything that a callback can see is the same in every replay.

    Parameters
    ----------
    recording : Recording
    speed : float
        How many times as fast as it was recorded; "max" (or infinity) for without a pause.
    """

    def __init__(self, recording: Recording, speed: float | str = 1.0) -> None:
        self.recording = recording
        self.steps: Sequence[Step] = steps_of(recording)
        self.changed = threading.Condition()
        """Guards all below; notified when any of it changes."""
        self._clock = Playhead(check_speed(speed))
        self._touched = False
        """Whether anybody has said how to go on."""
        self._allowed = 0
        """The step up to which it goes on whatever the clock says."""
        self._target: int | None = None
        """The step before which it is to stand; None where nobody wants it to be elsewhere."""
        self.position = 0
        """How many steps have been told."""
        self.first_revision = next((each.revision for each in self.steps if each.events), 1)
        """The revision of the first event."""
        self.resting: Callable[[], bool] = lambda: True
        """Tells whether all callbacks have returned. Called with the lock held: it takes none."""
        self.watched = False
        """Whether somebody is there to be told."""
        self._states: States | None = None

    # For a person.

    def play(self, speed: float | str | None = None) -> None:
        """Go on from here, at the pace of the recording or `speed` times that."""
        with self.changed:
            if speed is not None:
                self._set_speed(check_speed(speed))
            self._touched = True
            if not self._clock.running:
                self._clock.run()
            self.changed.notify_all()

    def pause(self) -> None:
        """Tell nothing more, until somebody plays it again."""
        with self.changed:
            self._touched = True
            self._stop()
            self._allowed = self.position
            self.changed.notify_all()

    def step(self, count: int = 1) -> list[Record]:
        """Tell the next transaction, or so many, and pause.

        Returns
        -------
        list of Event, Gap and Status
            What is told.
        """
        check_whole("step", count, 1)
        with self.changed:
            self._touched = True
            self._clock.stop()
            begin = max(self.position, self._allowed) if self._target is None else self._target
            self._allowed = min(len(self.steps), begin + count)
            self.changed.notify_all()
            told = self.steps[begin : self._allowed]
            self._clock.set(self._due(self._allowed))
        return [each for step in told for each in (*step.notes, *step.events)]

    def seek(self, revision: int | None = None, *, seconds: float | None = None) -> None:
        """Go to the moment behind a revision, or so many seconds from the beginning.

        What lies between is not told. Instead a `Gap` says that it was passed over, and synthetic
        events bring every key to its value at that moment, forwards and backwards. It plays on if
        it was playing, and had not come to its end. What is beyond the end is the end.
        """
        if (revision is None) == (seconds is None):
            raise TypeError("seek where? Give a revision, or seconds=")
        if revision is not None:
            check_whole("seek", revision, 0)
        else:
            check_seconds(seconds)
        with self.changed:
            self._touched = True
            if self.position == len(self.steps):
                self._clock.stop()
            if revision is not None:
                target = self._place(revision, 0, len(self.steps))
            else:
                target = bisect_right(self.steps, seconds or 0.0, key=lambda step: step.due)
            self._target = target
            self._allowed = target
            self._clock.set(max(self._due(target), seconds or 0.0))
            self.changed.notify_all()

    @property
    def speed(self) -> float:
        """How many times as fast as it was recorded; infinite for without a pause."""
        return self._clock.speed

    @speed.setter
    def speed(self, speed: float | str) -> None:
        with self.changed:
            self._set_speed(check_speed(speed))
            self.changed.notify_all()

    def _set_speed(self, speed: float) -> None:
        self._clock.speed = speed
        if math.isinf(self._clock.read()):
            self._clock.set(self._due(self.position))

    def _stop(self) -> None:
        self._clock.stop()
        if math.isinf(self._clock.read()):
            self._clock.set(self._due(self.position))

    def _due(self, position: int) -> float:
        """Give the time of the recording at which everything before a step was due."""
        return self.steps[position - 1].due if position else 0.0

    @property
    def duration(self) -> float:
        """Seconds that it took when it was recorded."""
        return self.steps[-1].due if self.steps else 0.0

    @property
    def seconds(self) -> float:
        """How far it is, in seconds of the recording."""
        with self.changed:
            return min(self._clock.read(), self.duration)

    @property
    def playing(self) -> bool:
        """Whether more will be told by itself."""
        with self.changed:
            return self._clock.running and self.position < len(self.steps)

    @property
    def finished(self) -> bool:
        """Whether all has been told."""
        with self.changed:
            return self.position == len(self.steps) and self._target is None

    def __repr__(self) -> str:
        with self.changed:
            state = "playing" if self.playing else "finished" if self.finished else "paused"
            place = f"{self.position:,} of {len(self.steps):,} steps"
            return f"Replay({self.recording.name!r}, {state}, {place})"

    # For the watcher.

    def start(self) -> None:
        """Play, unless somebody has said how to go on: somebody waits for what is recorded."""
        with self.changed:
            touched = self._touched
        if not touched:
            self.play()

    def wait(self, timeout: float) -> bool:
        """Wait until nothing more is told by itself: it is at its end, or was paused.

        False after `timeout` seconds.
        """
        with self.changed:
            return self.changed.wait_for(self._stands, timeout)

    @property
    def stands(self) -> bool:
        """Whether nothing more is told by itself."""
        with self.changed:
            return self._stands()

    def _stands(self) -> bool:
        if not self.watched:
            return True
        if self._target is not None:
            return False
        return self.position >= (len(self.steps) if self._clock.running else self._allowed)

    def too_long(self, timeout: float) -> str:
        """Say what one has waited for in vain."""
        if not self.resting():
            return f"after {timeout:g} s a callback had not returned; the replay waits for it"
        left = (self.duration - self._clock.read()) / self._clock.speed
        return (
            f"after {timeout:g} s the replay was at {self.position:,} of {len(self.steps):,} steps, "
            f"and at speed {self._clock.speed:g} it takes {max(0.0, left):.1f} s more: give it more "
            'time (timeout=), or a higher speed (speed="max" for without a pause)'
        )

    def wake(self) -> None:
        """Look again whether callbacks have returned."""
        with self.changed:
            self.changed.notify_all()

    # For its store, which holds the lock.

    def delay(self, position: int) -> float:
        """Give the seconds until a step is due: infinite while nobody plays."""
        if position == len(self.steps):
            return math.inf
        return 0.0 if position < self._allowed else self._clock.wait(self.steps[position].due)

    @property
    def target(self) -> int | None:
        """The step before which it is to stand, where that is elsewhere."""
        if self._target == self.position:
            self._target = None
            self.changed.notify_all()
        return self._target

    def told(self, position: int) -> None:
        """Take note that everything before a step has been told."""
        with self.changed:
            self.position = position
            if self._target == position:
                self._target = None
            self.changed.notify_all()

    def reached(self, position: int) -> int:
        """Give the revision that is reached before a step."""
        if position:
            return self.steps[position - 1].revision
        return max(0, self.first_revision - 1)

    def place_behind(self, revision: int) -> int:
        """Give the step with which to go on behind a revision: at most the one that is next."""
        return self._place(revision, self._era(self.position), self.position)

    def _era(self, position: int) -> int:
        """Give the first step whose revisions count as those before `position` do."""
        return next((at for at in range(position - 1, 0, -1) if self.steps[at].anew), 0)

    def _place(self, revision: int, low: int, high: int) -> int:
        for at in range(low, high):
            if self.steps[at].revision > revision:
                return at
        return high

    @property
    def states(self) -> States:
        """The values of all keys, by the number of steps told."""
        if self._states is None:
            self._states = States()
            for place, step in enumerate(self.steps, start=1):
                self._states.add(place, step.events)
        return self._states
