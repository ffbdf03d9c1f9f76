"""From what a person gives to an open store, and from an open watcher to nothing left."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import replace

from etcd_watcher.catchup import CatchUp
from etcd_watcher.dispatch import WorkerPool
from etcd_watcher.endpoints import DEFAULT_ENDPOINTS, Credentials, parse_endpoints
from etcd_watcher.feed import Feed
from etcd_watcher.journal import Journal
from etcd_watcher.registry import Registry
from etcd_watcher.stores.base import Store
from etcd_watcher.stores.open import open_store

__all__ = ["connect", "shut_down"]

CONNECT_TIMEOUT = 4.5
"""Seconds for finding a server: an answer, or `ConnectionFailed`, comes within 5 s."""


def connect(endpoints: str | Iterable[str] | None, *, api: str, credentials: Credentials) -> Store:
    """Open a store at the endpoints given, at etcdctl's, or at the usual ones.

    Raises
    ------
    ConnectionFailed, ApiNotServed, ValueError, TypeError
        As `Watcher`.
    """
    if endpoints is None:
        endpoints = os.environ.get("ETCDCTL_ENDPOINTS") or DEFAULT_ENDPOINTS
    known = credentials.completed_from(os.environ)
    urls, user, password = parse_endpoints(endpoints, tls=known.uses_tls)
    if user is not None and credentials.user is None:
        known = replace(known, user=user, password=password)
    known.check()
    return open_store(urls, api=api, credentials=known, timeout=CONNECT_TIMEOUT)


def shut_down(  # noqa: PLR0913, PLR0917 - the parts of a watcher, each once
    feed: Feed,
    store: Store,
    pool: WorkerPool,
    registry: Registry,
    catch_up: CatchUp,
    journal: Journal,
) -> None:
    """Stop every part of a watcher: first what makes work, then those who do it."""
    catch_up.close()
    feed.close()
    for mailbox in registry.mailboxes():
        mailbox.closed = True
        if mailbox.notify is not None:
            mailbox.notify()
    store.close()
    pool.close()
    journal.close()
