"""From what a person gives to an open store, and from an open watcher to nothing left."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any, Protocol, runtime_checkable

from etcd_watcher.catchup import CatchUp
from etcd_watcher.census import Census
from etcd_watcher.dispatch import WorkerPool
from etcd_watcher.endpoints import DEFAULT_ENDPOINTS, Credentials, parse_endpoints
from etcd_watcher.feed import Feed
from etcd_watcher.journal import Journal
from etcd_watcher.pool import Pool
from etcd_watcher.recording.file import Recording
from etcd_watcher.recording.replay import Replay
from etcd_watcher.recording.store import ReplayStore
from etcd_watcher.registry import Registry
from etcd_watcher.stores.base import Store
from etcd_watcher.stores.open import open_store
from etcd_watcher.turns import Turns

__all__ = ["Server", "connect", "make_pool", "shut_down", "shut_down_later"]

CONNECT_TIMEOUT = 4.5
"""Seconds for finding a server: an answer, or `ConnectionFailed`, comes within 5 s."""

CLOSE_TIMEOUT = 1.0
"""Seconds for which closing waits for threads that do not end at once."""


@runtime_checkable
class Server(Protocol):
    """Something that knows where it can be reached: a `LocalEtcd`, a `LocalCluster`.

    It may have the attributes of `Credentials` as well, for who connects without any.
    """

    @property
    def url(self) -> str: ...

    @property
    def endpoints(self) -> list[str]: ...


def connect(
    endpoints: str | Iterable[str] | Server | Store | Recording | None,
    *,
    api: str,
    credentials: Credentials,
    speed: float | str | None = None,
) -> Store:
    """Open a store at the endpoints given, at etcdctl's, or at the usual ones.

    Raises
    ------
    ConnectionFailed, ApiNotServed, ValueError, TypeError
        As `Watcher`.
    """
    if isinstance(endpoints, Recording):
        if api != "auto" or credentials != Credentials():
            raise TypeError(
                "a recording has an API of its own and no users: leave out api= and user="
            )
        return ReplayStore(Replay(endpoints, 1.0 if speed is None else speed))
    if speed is not None:
        raise TypeError(
            f'speed={speed!r} is for a recording: Watcher(Recording("lesson.jsonl"), speed=10)'
        )
    _check_text(endpoints)
    if isinstance(endpoints, Server):
        credentials = credentials.completed_by(endpoints)
        endpoints = endpoints.endpoints
    if endpoints is not None and not isinstance(endpoints, Iterable):
        if hasattr(endpoints, "key_range"):
            return endpoints
        raise TypeError(
            "endpoints are a URL such as http://127.0.0.1:2379, several of them, or a LocalEtcd, "
            f"not {type(endpoints).__name__}"
        )
    if endpoints is None:
        endpoints = os.environ.get("ETCDCTL_ENDPOINTS") or DEFAULT_ENDPOINTS
    known = credentials.completed_from(os.environ)
    urls, user, password = parse_endpoints(endpoints, tls=known.uses_tls)
    if user is not None and credentials.user is None:
        known = replace(known, user=user, password=password)
    known.check()
    return open_store(urls, api=api, credentials=known, timeout=CONNECT_TIMEOUT)


def _check_text(endpoints: object) -> None:
    """Refuse what is easily given for URLs."""
    if isinstance(endpoints, (bytes, bytearray, Mapping)):
        raise TypeError(
            "endpoints are URLs as text, such as http://127.0.0.1:2379, not "
            f"{type(endpoints).__name__}"
        )
    if isinstance(endpoints, str) and endpoints.endswith(".jsonl") and "@" not in endpoints:
        raise ValueError(f"no endpoint but a file? To play it: Watcher(Recording('{endpoints}'))")


def make_pool(store: Store) -> Pool:
    """Make those who call a watcher's callbacks: for a recording, one after the other."""
    if not isinstance(store, ReplayStore):
        return WorkerPool()
    turns = Turns()
    turns.on_rest = store.replay.wake
    store.replay.resting = turns.resting
    return turns


def shut_down(  # noqa: PLR0913, PLR0917 - the parts of a watcher, each once
    feed: Feed,
    store: Store,
    pool: Pool,
    registry: Registry,
    catch_up: CatchUp,
    census: Census,
    journal: Journal,
    pid: int,
) -> None:
    """Stop every part of a watcher: first what makes work, then those who do it.

    Whatever does not end at once, a thread that looks up a host's name or a callback, is waited
    for: `CLOSE_TIMEOUT` seconds for all of it.
    """
    if os.getpid() != pid:
        return  # in a fork of the process that has the threads, where their locks may be held
    deadline = time.monotonic() + CLOSE_TIMEOUT
    journal.close()
    catch_up.close()
    feed.close(CLOSE_TIMEOUT)
    for mailbox in registry.mailboxes():
        mailbox.closed = True
        if mailbox.notify is not None:
            mailbox.notify()
    store.close()
    census.close(max(0.0, deadline - time.monotonic()))
    pool.close(max(0.0, deadline - time.monotonic()))


def shut_down_later(*parts: Any) -> None:
    """Shut down a watcher that was collected: on a thread of its own.

    The collector runs on whatever thread happens to allocate, the feed's and the workers' too,
    with whatever lock they hold. At the end of the interpreter there are no new threads, and no
    such guests either.
    """
    if threading.main_thread().is_alive():
        name = "etcd_watcher-close"
        threading.Thread(target=shut_down, args=parts, name=name, daemon=True).start()
    else:
        shut_down(*parts)
