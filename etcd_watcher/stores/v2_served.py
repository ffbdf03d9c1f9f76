"""Whether a server serves etcd's v2 API, which is off by default since 3.4."""

from __future__ import annotations

from contextlib import closing

from etcd_watcher.endpoints import Credentials
from etcd_watcher.errors import ApiNotServed, RequestRejected
from etcd_watcher.stores.v2 import V2Store

__all__ = ["serves_v2"]


def serves_v2(endpoint: str, timeout: float, credentials: Credentials | None = None) -> bool:
    """Tell whether a server serves the v2 API.

    Raises
    ------
    ConnectionFailed
        Nothing answered within `timeout` seconds.
    """
    with closing(V2Store([endpoint], credentials=credentials)) as store:
        try:
            store.revision(timeout)
        except ApiNotServed:
            return False
        except RequestRejected:
            pass
        return True
