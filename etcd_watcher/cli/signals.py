"""Ending as Unix programs end: at once, and by the signal itself."""

from __future__ import annotations

import os
import select
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, Self

__all__ = ["Stop", "die_of", "die_of_signals", "watch_for_reader"]

AGAIN = 10
"""Milliseconds from one signal to ourselves to the next."""


def die_of_signals() -> None:
    """Have the system end this program at a signal, where Python would raise an exception.

    There is nothing to clear up that the system does not (where there is, see `Stop`): connections
    and threads go with the process. An exception in the middle of anything would be worse, and in
    some places (importlib's and the collector's) Python loses it: one run in a hundred then went on.
    Whoever waits for a program that died of SIGINT knows that it was interrupted: a shell ends its
    loop.

    What whoever started us has had ignored stays ignored: SIGHUP under nohup, SIGINT in the
    background of a script. So does SIGPIPE, which Python itself ignores: a connection that a server
    has closed raises it, too.
    """
    if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.SIG_DFL)


def die_of(number: int) -> None:
    """End this process by a signal that came before."""
    signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)


class Stop:
    """Within its `with`, a signal is something to wait for. The second one ends us at once."""

    def __init__(self) -> None:
        self._read, self._write = os.pipe()
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Self:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            if signal.getsignal(number) is not signal.SIG_IGN:
                self._before[number] = signal.signal(number, self._note)
        return self

    def _note(self, number: int, _: FrameType | None) -> None:
        signal.signal(number, signal.SIG_DFL)
        os.write(self._write, bytes([number]))  # a lock might be one that is held right here

    def wait(self, milliseconds: int) -> int:
        """Give the signal that came, waiting for it so long; 0 for none."""
        poll = select.poll()
        poll.register(self._read, select.POLLIN)
        return os.read(self._read, 1)[0] if poll.poll(milliseconds) else 0

    def __exit__(self, *exc: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        os.close(self._read)
        os.close(self._write)


@contextmanager
def watch_for_reader(descriptor: int) -> Iterator[None]:
    """Die, within, when nobody reads any more what we write: of SIGPIPE, or a terminal's SIGHUP.

    Without it, a program that has nothing to write would not notice: of `etcd-watcher watch k | head
    -5` it would outlive `head` until the next change of the key.
    """
    wake_read, wake_write = os.pipe()
    number = signal.SIGHUP if os.isatty(descriptor) else signal.SIGPIPE
    gone = threading.Event()

    def note(_: int, __: FrameType | None) -> None:
        if gone.is_set():  # else it is some connection's
            die_of(signal.SIGPIPE)

    def look() -> None:
        poll, ended = select.poll(), select.poll()
        poll.register(descriptor, 0)  # nothing but that it was closed, or hung up
        for each in poll, ended:
            each.register(wake_read, select.POLLIN)
        if any(found == descriptor for found, _ in poll.poll()):
            gone.set()
            # Once is not enough: Python may look whether a signal has come, and then begin to wait.
            while not ended.poll(AGAIN):
                signal.pthread_kill(main, number)

    main = threading.get_ident()
    before = signal.signal(signal.SIGPIPE, note)
    thread = threading.Thread(target=look, name="etcd_watcher-reader", daemon=True)
    thread.start()
    try:
        yield
    finally:
        os.close(wake_write)
        thread.join()
        os.close(wake_read)
        signal.signal(signal.SIGPIPE, before)
