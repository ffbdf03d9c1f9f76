"""Those who are told: each notes what came and when, and from and up to where it was due."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from etcd_watcher import Compacted, ConnectionFailed, Event, Gap, Watcher, WatcherClosed
from etcd_watcher.journal import Record
from etcd_watcher.keys import KeyRange
from etcd_watcher.mailbox import Mailbox
from tests.robustness.truth import Truth

__all__ = ["Audience", "Listener", "Newest"]

Newest = Callable[[], int]
"""Gives the newest committed revision, however long that takes."""

PATIENCE = 60.0
"""Seconds after which what should come counts as never coming."""

GUESTS_PATIENCE = 10.0
"""Seconds that somebody who is about to leave waits for what is still to come."""

ASK_AGAIN = 0.1
"""Seconds until one who could not subscribe tries again."""


@dataclass(eq=False)
class Listener:
    """One who was told of some keys, from some revision on.

    Attributes
    ----------
    name : str
    scope : list of KeyRange
        What it asked for.
    start : int or None
        Nothing of this revision or an earlier one is its business; None if it never began.
    begun : int
        Everything behind this revision is. What was committed in between, while it subscribed,
        comes from some revision on.
    until : int or None
        Everything up to here must have come; None where that cannot be said.
    past : bool
        Whether it asked for what had been before: it reads that for itself, up to when it came.
    told : list of (float, Event)
        When what came, by the monotonic clock.
    gaps : list of Gap
        What it alone was not told.
    """

    name: str
    scope: list[KeyRange]
    start: int | None = None
    begun: int = 0
    until: int | None = None
    past: bool = False
    told: list[tuple[float, Event]] = field(default_factory=list)
    gaps: list[Gap] = field(default_factory=list)
    delay: float = 0.0
    quick: bool = False
    """Whether its silences count: it does not dawdle, and was there all the time."""

    _go_on: threading.Event = field(default_factory=threading.Event)

    def tell(self, event: Event) -> None:
        """Note an event, and dawdle where that is our way."""
        self.told.append((time.monotonic(), event))
        if self.delay:
            self._go_on.wait(self.delay)

    def hurry(self) -> None:
        """Dawdle no more."""
        self.delay = 0.0
        self._go_on.set()


class Audience:
    """Everybody who listens to one watcher.

    Parameters
    ----------
    name : str
        What their names begin with.
    watcher : Watcher
    truth : Truth
        Knows what has been committed, at the least.
    newest : callable
        Knows what has been committed, at the most.
    seed : str
    parts : sequence of bytes
        Where the parts begin that its user may read, in order; none where that is everything.
    """

    def __init__(
        self,
        name: str,
        watcher: Watcher,
        truth: Truth,
        newest: Newest,
        seed: str,
        *,
        parts: Sequence[bytes] = (),
    ) -> None:
        self.name = name
        self.parts = parts
        self.watcher = watcher
        self.listeners: list[Listener] = []
        self.records: list[Record] = []
        """What stood in the journal."""
        self.troubles: list[str] = []
        """What ought not to have happened, beside to the events."""
        self._truth = truth
        self._newest = newest
        self._choice = random.Random(f"{seed}/{name}")  # noqa: S311 - no secret
        self._subscribed: dict[Listener, Callable[[Event], None]] = {}
        self._ending = threading.Event()
        self._threads: list[threading.Thread] = []
        self._guests: list[threading.Thread] = []
        """Those of them that subscribe and leave."""
        self._listen_to_the_journal()

    def _start(self, name: str, body: Callable[[], None]) -> threading.Thread:
        def run() -> None:
            try:
                body()
            except WatcherClosed:
                pass
            except BaseException as error:  # noqa: BLE001 - told in the end
                self.troubles.append(f"{self.name}/{name}: {error!r}")

        thread = threading.Thread(target=run, name=f"{self.name}-{name}", daemon=True)
        self._threads.append(thread)
        thread.start()
        return thread

    def _listen_to_the_journal(self) -> None:
        """Keep what is appended: a small journal may have forgotten it before a cursor reads it."""
        append = self.watcher.journal.append

        def keep(records: Sequence[Record], *more: Any) -> None:
            self.records += records
            append(records, *more)

        self.watcher.journal.append = keep  # type: ignore[assignment,method-assign]

    # Ways to listen.

    def scope(self, keys: Sequence[str], *, prefix: bool) -> list[KeyRange]:
        """Give the ranges that keys mean to this watcher."""
        return [self.watcher._store.key_range(key.encode(), prefix=prefix) for key in keys]

    def _made(self, name: str, keys: Sequence[str], *, prefix: bool) -> Listener:
        listener = Listener(f"{self.name}/{name}", self.scope(keys, prefix=prefix))
        self.listeners.append(listener)
        return listener

    def on(self, name: str, keys: Sequence[str], *, prefix: bool, delay: float = 0.0) -> Listener:
        """Have a function called."""
        listener = self._made(name, keys, prefix=prefix)
        listener.delay = delay
        before = self._truth.reached

        def tell(event: Event) -> None:
            listener.tell(event)

        try:
            self.watcher.on(keys, prefix=prefix)(tell)
        except BaseException:
            self.listeners.remove(listener)  # it was never subscribed
            raise
        self._begin(listener, self.watcher._registry.find_mailbox(tell), before)
        self._subscribed[listener] = tell
        return listener

    def _begin(self, listener: Listener, mailbox: Mailbox | None, before: int) -> None:
        """Note from where on a listener is told: that is for the watcher to say, within limits."""
        assert mailbox is not None
        starts = {each.start for each in mailbox.subscriptions}
        start = max(starts)
        listener.begun, listener.start = self._newest(), start
        if len(starts) > 1 or not before <= start <= listener.begun:
            self.troubles.append(
                f"{listener.name}: is told what is behind {starts}, but what was committed when it "
                f"subscribed was at least {before}, and at most {listener.begun}"
            )

    def pull(self, name: str, keys: Sequence[str], *, prefix: bool, since: int | None) -> None:
        """Iterate on a thread; begin again where the history is gone that was asked for."""
        self._start(name, lambda: self._pull(name, keys, prefix=prefix, since=since))

    def _pull(self, name: str, keys: Sequence[str], *, prefix: bool, since: int | None) -> None:
        while True:
            listener = self._made(name, keys, prefix=prefix)
            before = self._truth.reached
            try:
                with self.watcher.events(keys, prefix=prefix, since=since) as stream:
                    if since is None:
                        self._begin(listener, stream._mailbox, before)
                    else:
                        listener.begun = listener.start = since - 1
                        listener.past = True
                    for event in stream:
                        listener.told.append((time.monotonic(), event))
            except ConnectionFailed:
                self.listeners.remove(listener)
                self._ending.wait(ASK_AGAIN)
            except Compacted as lost:
                since = lost.whole_from
            else:
                return

    def come_and_go(self, keys: Sequence[str], *, prefix: bool) -> None:
        """Have somebody subscribe, listen for a while and leave, again and again."""
        self._guests.append(self._start("guests", lambda: self._come_and_go(keys, prefix=prefix)))

    def _come_and_go(self, keys: Sequence[str], *, prefix: bool) -> None:
        number = 0
        while not self._ending.is_set():
            number += 1
            try:
                guest = self.on(f"guest-{number}", keys, prefix=prefix)
            except ConnectionFailed:
                self._ending.wait(ASK_AGAIN)
                continue
            self._ending.wait(self._choice.uniform(0.2, 3.0))
            self._leave(guest, keys)

    def _leave(self, guest: Listener, keys: Sequence[str]) -> None:
        revision = self._newest()
        # In vain where others dawdle, or nobody can be reached. Whether it comes to an end once all
        # is well is asked in the end.
        with suppress(TimeoutError):
            self.watcher.sync(timeout=GUESTS_PATIENCE)
            guest.until = revision
        tell = self._subscribed.pop(guest)
        guest.gaps = list(self.watcher.delivery(tell).gaps)
        self.watcher.unregister(keys, tell)

    # The end.

    def come_back(self) -> None:
        """Wait until the watcher is with the server again: what is written now is told live."""
        for listener in self.listeners:
            listener.hurry()
        try:
            self.watcher.sync(timeout=PATIENCE)
        except Exception as error:  # noqa: BLE001 - whatever it is, it ought not to be
            self.troubles.append(f"{self.name}: sync: {error!r}")

    def finish(self, last: int) -> None:
        """Wait until everybody has been told of everything up to `last`, and close the watcher."""
        self._ending.set()
        self.come_back()
        self._wait_for_streams(last)
        self._join(self._guests)  # the last one may be about to leave
        for listener, tell in self._subscribed.items():
            delivery = self.watcher.delivery(tell)
            listener.gaps = list(delivery.gaps)
            if delivery.failed:
                self.troubles.append(f"{listener.name}: {delivery.last_error}")
        self.watcher.close()
        self._join(self._threads)
        for listener in self.listeners:
            if listener in self._subscribed:
                listener.until = last

    def _join(self, threads: Sequence[threading.Thread]) -> None:
        for thread in threads:
            thread.join(PATIENCE)
            if thread.is_alive():
                self.troubles.append(f"{thread.name} does not end")

    def _wait_for_streams(self, last: int) -> None:
        """Wait for those who pull: nobody else knows how far they are."""
        deadline = time.monotonic() + PATIENCE
        pause = threading.Event()
        for listener in list(self.listeners):
            if "pull" not in listener.name or self._is_over(listener):
                continue
            due = [each for each in self._truth.history(last).events() if _asked(listener, each)]
            if not due:
                continue
            while not listener.told or listener.told[-1][1].revision < due[-1].revision:
                if time.monotonic() > deadline:
                    self.troubles.append(f"{listener.name}: never came to {due[-1]}")
                    break
                pause.wait(0.01)
            listener.until = last

    def _is_over(self, listener: Listener) -> bool:
        """Tell whether a later one took its place, because its history was gone."""
        same = [each for each in self.listeners if each.name == listener.name]
        return same[-1] is not listener


def _asked(listener: Listener, event: Event) -> bool:
    return (
        listener.start is not None
        and event.revision > listener.begun
        and any(event.raw_key in scope for scope in listener.scope)
    )
