"""Threads of the tests' own, and those that the package may leave behind."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator

from tests.fake_store import PATIENCE


def threads_left() -> list[threading.Thread]:
    """Give the threads of ours that do not end; one that is just ending is waited for."""
    ours = [each for each in threading.enumerate() if each.name.startswith("etcd_watcher-")]
    for each in ours:
        each.join(PATIENCE)
    return [each for each in ours if each.is_alive()]


def in_thread(call: Callable[[], object]) -> tuple[threading.Thread, list[object]]:
    """Run something in a thread of its own, and keep what it gives or raises."""
    results: list[object] = []

    def run() -> None:
        try:
            results.append(call())
        except BaseException as error:  # noqa: BLE001 - the test looks at it
            results.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    return thread, results


@contextlib.contextmanager
def interrupted(once: Callable[[], object]) -> Iterator[None]:
    """Expect a KeyboardInterrupt within, and send it from another thread as soon as `once` returns.

    As with a person's Ctrl-C, an interrupt that comes just before the main thread blocks is only
    seen when that ends; so it is sent until it has been seen, and raised one time.
    """
    main = threading.main_thread().ident
    assert main is not None
    raised, done = threading.Event(), threading.Event()

    def raise_once(_: int, __: object) -> None:
        if not raised.is_set():
            raised.set()
            raise KeyboardInterrupt

    def interrupt() -> None:
        once()
        while not done.wait(0.02):
            signal.pthread_kill(main, signal.SIGINT)

    before = signal.signal(signal.SIGINT, raise_once)
    thread = threading.Thread(target=interrupt, daemon=True)
    thread.start()
    try:
        yield
    except KeyboardInterrupt:
        pass
    else:
        raise AssertionError("nothing was interrupted")
    finally:
        done.set()
        thread.join(PATIENCE)
        signal.signal(signal.SIGINT, before)
