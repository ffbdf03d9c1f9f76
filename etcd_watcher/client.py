"""What a watcher can ask of its cluster directly: reading and writing, enough for a notebook."""

from __future__ import annotations

import etcd_watcher.arguments as given
from etcd_watcher.arguments import Key
from etcd_watcher.keys import to_bytes, to_text
from etcd_watcher.stores.base import Store

__all__ = ["Client"]


class Client:
    """Reads and writes keys, through the store that is watched. The base of `Watcher`.

    Parameters
    ----------
    store : Store
        Where the keys are.
    timeout : float
        Seconds for one request to it.
    """

    def __init__(self, store: Store, timeout: float) -> None:
        self._store = store
        self._timeout = timeout

    def _check_open(self) -> None:
        """Raise `WatcherClosed` once nothing may be asked any more."""

    def put(self, key: Key, value: str | bytes, *, ttl: int | None = None) -> int:
        """Write a key, and give the revision of the write.

        With `ttl` it goes away by itself after so many seconds (v3: with a lease of its own).
        """
        self._check_open()
        given.check_key(key)
        given.check_value(value)
        given.check_ttl(ttl)
        return self._store.put(to_bytes(key), to_bytes(value), ttl, self._timeout)

    def get(self, key: Key) -> str | None:
        """Read a key; None where there is none."""
        self._check_open()
        given.check_key(key)
        found = self._store.get(to_bytes(key), self._timeout)
        return None if found is None else to_text(found.raw_value)

    def delete(self, key: Key, *, prefix: bool = False) -> int:
        """Delete a key, or all that starts with it, and give the number of keys deleted."""
        self._check_open()
        given.check_key(key, prefix=prefix)
        return self._store.delete(to_bytes(key), self._timeout, prefix=prefix)

    @property
    def api(self) -> str:
        """The API in use: "v2" or "v3"."""
        return self._store.api

    @property
    def endpoints(self) -> tuple[str, ...]:
        """The endpoints to choose from."""
        return self._store.endpoints
