"""People who come, go, write and read on one watcher at the same time, each on a thread.

Each notes what it did and was told, with the revisions at which it began and ended, so that
afterwards one can say what it had to be told and what it must not have been.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, field

from etcd_watcher import Event, Watcher, WatcherClosed

__all__ = ["KEYS", "STEPS", "Play", "Player", "Stay"]

KEYS = ("d/a", "d/b", "e")

PREFIX = "d/"
"""A prefix on v3, a directory on v2."""

STEPS = ("register", "unregister", "on", "off", "add", "remove", "stream", "put", "put", "sync")

PATIENCE = 60.0
"""Seconds after which threads that have not ended hold each other up for good."""


@dataclass
class Stay:
    """A time for which somebody was subscribed to a key or prefix.

    Attributes
    ----------
    key : str
        Its end without the play's own place before it.
    prefix : bool
        Whether it is a prefix.
    before, begun : int
        The newest revision before it was asked for, and once it was acknowledged.
    synced : int
        A revision up to which all had been delivered, before it was left.
    left : int or None
        The newest revision once it was left; None for one that lasted.
    told : list of (int, str)
        Revision and value of what came, in that order.
    """

    key: str
    prefix: bool
    before: int
    begun: int = 0
    synced: int = 0
    left: int | None = None
    told: list[tuple[int, str | None]] = field(default_factory=list)

    def matches(self, key: str) -> bool:
        return key.startswith(self.key) if self.prefix else key == self.key


class Play:
    """One watcher, its players, and all that was written.

    Parameters
    ----------
    watcher : Watcher
        Closed in the end, by a player or by `act`.
    place : str
        What all keys begin with.
    """

    def __init__(self, watcher: Watcher, place: str) -> None:
        self.watcher = watcher
        self.place = place
        self.written: list[tuple[int, str, str]] = []
        """Revision, key and value. Appended by all players: one step in CPython."""
        self.players: list[Player] = []
        self.failures: list[BaseException] = []

    def act(self, programs: list[list[tuple[str, str]]]) -> None:
        """Let the players play, close the watcher, and wait until all is quiet."""
        start = threading.Barrier(len(programs))
        self.players = [
            Player(self, f"player-{number}", program, start)
            for number, program in enumerate(programs)
        ]
        for player in self.players:
            player.start()
        for player in self.players:
            player.join(PATIENCE)
        stuck = [each.name for each in self.players if each.is_alive()]
        assert not stuck, f"these hold each other up: {stuck}"
        if self.failures:
            raise self.failures[0]
        try:
            now = self.now()
            self.watcher.sync(PATIENCE)
        except WatcherClosed:
            return
        for stay in self.stays():
            if stay.left is None and stay.begun:
                stay.synced = now

    def now(self) -> int:
        return self.watcher._store.revision(PATIENCE)

    def stays(self) -> list[Stay]:
        return [stay for player in self.players for stay in player.stays]

    def check(self) -> None:
        """Say what somebody was told wrongly, or not at all."""
        writes = sorted(self.written)
        values = {value: revision for revision, _, value in writes}
        for stay in self.stays():
            # A value is written once, so it tells its revision to those who are not told that.
            told = [(values[value or ""], value) for _, value in stay.told]
            assert told == sorted(set(told)), f"twice or out of order: {stay}"
            wrong = [each for each in told if not stay.matches(self.key_of(each[1]))]
            assert not wrong, f"of other keys: {wrong}"
            if told:
                assert told[0][0] > stay.before, f"from before it was subscribed: {stay}"
                assert stay.left is None or told[-1][0] <= stay.left, f"after it left: {stay}"
            due = [
                (revision, value)
                for revision, key, value in writes
                if stay.begun < revision <= stay.synced and stay.matches(key)
            ]
            missing = [each for each in due if each not in told]
            assert not missing or not stay.begun, f"never told of {missing}: {stay}"

    def key_of(self, value: str | None) -> str:
        return next(key for _, key, each in self.written if each == value)


class Player(threading.Thread):
    """Plays a program: a list of steps, each with a key."""

    def __init__(
        self, play: Play, name: str, program: list[tuple[str, str]], start: threading.Barrier
    ) -> None:
        super().__init__(name=name, daemon=True)
        self._play = play
        self._watcher = play.watcher
        self._program = program
        self._barrier = start
        self._count = 0
        self._exact: dict[str, tuple[object, Stay]] = {}
        """The registrations that stand, with who is registered."""
        self._prefix: tuple[object, Stay] | None = None
        self.stays: list[Stay] = []

    def run(self) -> None:
        try:
            self._barrier.wait(PATIENCE)
            for step, key in self._program:
                getattr(self, f"_{step}")(key)
        except WatcherClosed:
            pass  # by another player
        except BaseException as error:  # noqa: BLE001 - told by the thread that waits for us
            self._play.failures.append(error)

    def _full(self, key: str) -> str:
        return self._play.place + key

    def _stay(self, key: str, *, prefix: bool) -> Stay:
        stay = Stay(key, prefix, self._play.now())
        self.stays.append(stay)
        return stay

    def _register(self, key: str) -> None:
        if key in self._exact:
            return
        stay = self._stay(key, prefix=False)

        def tell(_: str, value: str | None) -> None:
            stay.told.append((0, value))

        who = object()
        self._watcher.register(self._full(key), who, tell)
        self._exact[key] = (who, stay)
        stay.begun = self._play.now()

    def _unregister(self, key: str) -> None:
        if key in self._exact:
            who, stay = self._exact.pop(key)
            self._sync_for(stay)
            self._watcher.unregister(self._full(key), who)
            stay.left = self._play.now()

    def _on(self, _: str) -> None:
        if self._prefix is not None:
            return
        stay = self._stay(PREFIX, prefix=True)

        def tell(event: Event) -> None:
            stay.told.append((event.revision, event.value))

        self._watcher.on(self._full(PREFIX), prefix=True)(tell)
        self._prefix = (tell, stay)
        stay.begun = self._play.now()

    def _off(self, _: str) -> None:
        if self._prefix is not None:
            tell, stay = self._prefix
            self._prefix = None
            self._sync_for(stay)
            self._watcher.unregister(self._full(PREFIX), tell)
            stay.left = self._play.now()

    def _sync_for(self, stay: Stay) -> None:
        now = self._play.now()
        self._watcher.sync(PATIENCE)
        stay.synced = now

    def _add(self, key: str) -> None:
        self._watcher.add_key([self._full(key) + "-noted", self._full(self.name)])

    def _remove(self, key: str) -> None:
        self._watcher.remove_key([self._full(key) + "-noted", self._full(self.name)])

    def _stream(self, key: str) -> None:
        """Open a stream, write once, and read up to there: others may have written meanwhile."""
        stay = self._stay(key, prefix=False)
        with self._watcher.events(self._full(key)) as stream:
            begun = self._play.now()
            revision = self._put(key)
            for event in stream:
                stay.told.append((event.revision, event.value))
                if event.revision >= revision:
                    stay.begun, stay.synced, stay.left = begun, revision, revision
                    break

    def _put(self, key: str) -> int:
        self._count += 1
        value = f"{self.name}: {self._count}"
        revision = self._watcher.put(self._full(key), value)
        self._play.written.append((revision, key, value))
        return revision

    def _sync(self, _: str) -> None:
        self._watcher.sync(PATIENCE)

    def _close(self, _: str) -> None:
        self._watcher.close()
