"""A reader of a watch, for tests: what the feed is in the package."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Self
from urllib.parse import urlsplit

from etcd_watcher.event import Event, EventType
from etcd_watcher.stores.v2 import V2Store
from etcd_watcher.stores.v2_watch import V2Watch

__all__ = ["TIMEOUT", "Follower", "put", "writing"]

TIMEOUT = 20.0
"""Seconds after which what did not come is not going to."""


class Follower:
    """Reads a watch in a thread of its own, and keeps what came.

    Attributes
    ----------
    events : list of Event
        All of them.
    complete : int
        The newest completeness that was told.
    opened : int
        How often the watch said that it is open.
    error : BaseException or None
        What ended it.
    """

    def __init__(self, store: V2Store, key: bytes, *, prefix: bool, after: int | None = None):
        self.store = store
        self.scope = store.key_range(key, prefix=prefix)
        after = store.revision(TIMEOUT) if after is None else after
        self.watch: V2Watch = store.watch(self.scope, after)
        self.events: list[Event] = []
        self.complete = 0
        self.opened = 0
        self.error: BaseException | None = None
        self.changed = threading.Condition()
        self.thread = threading.Thread(target=self._run, name="follower")
        self.thread.start()
        self.until(lambda: self.opened)

    def _run(self) -> None:
        try:
            while True:
                batch = self.watch.read()
                with self.changed:
                    for event in batch.events:
                        last = self.events[-1].revision if self.events else 0
                        assert event.revision >= last, f"{event} behind {last}"
                        assert event.revision > self.complete, f"{event}: it was not complete"
                        self.events.append(event)
                    self.complete = max(self.complete, batch.complete)
                    self.opened += batch.opened
                    self.changed.notify_all()
        except BaseException as error:  # noqa: BLE001 - the test looks at it
            with self.changed:
                self.error = error
                self.changed.notify_all()

    def until(self, condition: Callable[[], object], timeout: float = TIMEOUT) -> None:
        """Wait until something is so; fail if the watch ends before, or it takes too long."""
        with self.changed:
            self.changed.wait_for(lambda: condition() or self.error, timeout)
            assert self.error is None or condition(), repr(self.error)
            assert condition(), f"not within {timeout} s; {self.complete=}, {self.events[-5:]}"

    def until_error(self, timeout: float = TIMEOUT) -> BaseException:
        with self.changed:
            self.changed.wait_for(lambda: self.error, timeout)
            assert self.error is not None, f"no error within {timeout} s"
            return self.error

    def sync(self) -> None:
        """Wait until everything that is committed by now has come."""
        revision = self.store.revision(TIMEOUT)
        self.watch.probe(revision)
        self.until(lambda: self.complete >= revision)

    def brief(self) -> list[tuple[EventType, str, str | None]]:
        return [(event.type, event.key, event.value) for event in self.events]

    def close(self) -> None:
        self.watch.close()
        self.thread.join(TIMEOUT)
        assert not self.thread.is_alive()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


def put(store: V2Store, key: str, value: str = "x", ttl: int | None = None) -> int:
    return store.put(key.encode(), value.encode(), ttl, TIMEOUT)


WRITER = """
import http.client, itertools, sys
connection = http.client.HTTPConnection("127.0.0.1", int(sys.argv[1]))
directory, count, pause = sys.argv[2], int(sys.argv[3]), float(sys.argv[4])
form = {"Content-Type": "application/x-www-form-urlencoded"}
for number in range(count) if count else itertools.count():
    path = f"/v2/keys/{directory}/{number % 50}"
    connection.request("PUT", path, f"value={number}", form)
    connection.getresponse().read()
    if pause:
        import time; time.sleep(pause)
    if not number:
        print("writing", flush=True)
"""


@contextmanager
def writing(
    url: str, directory: str, *, count: int = 0, pause: float = 0.0, writers: int = 1
) -> Iterator[None]:
    """Have other processes write below a directory: `count` times, or until the end of the block.

    At the block's beginning all of them have begun; at its end a counted number is written.
    """
    port = str(urlsplit(url).port)
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", WRITER, port, f"{directory}/{number}", str(count), str(pause)],
            stdout=subprocess.PIPE,
        )
        for number in range(writers)
    ]
    try:
        for process in processes:
            assert process.stdout is not None
            assert process.stdout.readline() == b"writing\n"
        yield
        if count:
            assert [process.wait(60) for process in processes] == [0] * writers
    finally:
        for process in processes:
            process.kill()
            process.communicate()
