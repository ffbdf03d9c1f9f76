"""What a watcher can ask of its cluster directly: reading and writing, enough for a notebook."""

from __future__ import annotations

import etcd_watcher.arguments as given
from etcd_watcher.arguments import Key
from etcd_watcher.keys import KeyRange, to_bytes, to_text
from etcd_watcher.stores.base import Cluster, KeyPage, KeyValue, Store, TimeToLive

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

    # For those who look before they write.

    def list_keys(
        self, beginning: Key = "", *, after: bytes | None = None, limit: int = 100
    ) -> KeyPage:
        """List the keys that exist and begin so, in order, without their values, page by page.

        Parameters
        ----------
        beginning : str or bytes
            How their names begin: part of a name will do, on v2 too.
        after : bytes, optional
            The `after` of the page before.
        limit : int
            How many of them at the most.

        Examples
        --------
        >>> [head.raw_key for head in watcher.list_keys("no").heads]
        [b'nokia']
        """
        self._check_open()
        given.check_key(beginning, prefix=True)
        given.check_limit(limit)
        raw = to_bytes(beginning)
        if self.api == "v2":
            raw = b"/" + raw.lstrip(b"/")
        return self._store.keys(KeyRange.of_prefix(raw), after, limit, self._timeout)

    def read(self, key: Key) -> KeyValue | None:
        """Read a key with its revision, version and lease; None where there is none."""
        self._check_open()
        given.check_key(key)
        return self._store.get(to_bytes(key), self._timeout)

    def compare_and_put(
        self,
        key: Key,
        value: str | bytes,
        revision: int,
        *,
        ttl: int | None = None,
        lease: int = 0,
    ) -> int:
        """Write a key only if `revision` is still its last one, and give the revision of the write.

        Parameters
        ----------
        revision : int
            What `read` told; 0 for a key that must not be there yet.
        ttl : int, optional
            Seconds after which it goes away by itself.
        lease : int
            Or the lease to hang it on, such as the one that it hung on (v3).

        Raises
        ------
        Conflict
            Somebody else wrote the key meanwhile; nothing was written.
        """
        self._check_open()
        given.check_key(key)
        given.check_value(value)
        given.check_last_revision(revision)
        given.check_ttl(ttl)
        return self._store.compare_and_put(
            to_bytes(key), to_bytes(value), revision, self._timeout, ttl=ttl, lease=lease
        )

    def compare_and_delete(self, key: Key, revision: int) -> None:
        """Delete a key only if `revision` is still its last one; else `Conflict`, as above."""
        self._check_open()
        given.check_key(key)
        given.check_last_revision(revision)
        self._store.compare_and_delete(to_bytes(key), revision, self._timeout)

    def time_left(self, key: Key) -> TimeToLive | None:
        """Tell how long a key has to live; None for one that stays, or is not there."""
        self._check_open()
        given.check_key(key)
        return self._store.time_left(to_bytes(key), self._timeout)

    def cluster(self) -> Cluster:
        """Ask how the cluster stands: version, members and leader, revision, size."""
        self._check_open()
        return self._store.cluster(self._timeout)

    @property
    def api(self) -> str:
        """The API in use: "v2" or "v3"."""
        return self._store.api

    @property
    def endpoints(self) -> tuple[str, ...]:
        """The endpoints to choose from."""
        return self._store.endpoints
