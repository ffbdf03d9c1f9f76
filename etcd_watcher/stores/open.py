"""Find a server and the API to speak with it."""

from __future__ import annotations

import time
from collections.abc import Sequence

from etcd_watcher.endpoints import Credentials
from etcd_watcher.errors import ApiNotServed, ConnectionFailed
from etcd_watcher.stores.base import Store
from etcd_watcher.stores.tls import tls_context

__all__ = ["APIS", "open_store"]

APIS = ("auto", "v2", "v3")

NO_V2 = (
    "{endpoint} does not serve etcd's v2 API. It is off by default since etcd 3.4: start the "
    "server with --enable-v2 (LocalEtcd() does). etcd 3.6 has removed it: there, and wherever the "
    'server is not yours, use api="v3"'
)

AGAIN = 0.5
"""Seconds that v2 has to answer once v3 has, where it has not before."""


def open_store(
    endpoints: Sequence[str], *, api: str, credentials: Credentials, timeout: float
) -> Store:
    """Connect to the first endpoint that answers.

    Parameters
    ----------
    api : {"auto", "v2", "v3"}
        With "auto": v2 where the server serves `/v2/keys` (someone switched it on), else v3.
    timeout : float
        Seconds for all endpoints together.

    Raises
    ------
    ConnectionFailed
        Nothing answers at any endpoint.
    ApiNotServed
        Something answers, but not on this API.
    RequestRejected
        It refuses our user.
    ValueError
        A file holds no usable certificate or key.
    """
    deadline = time.monotonic() + timeout
    if any(each.startswith("https:") for each in endpoints):
        tls_context(credentials)  # files that hold nothing usable are an error before anything else
    if api == "v3":
        return _open_v3(endpoints, credentials, timeout)
    if api == "v2":
        store = _open_v2(endpoints, credentials, timeout)
        if store is None:
            raise ApiNotServed(NO_V2.format(endpoint=", ".join(endpoints)))
        return store
    try:
        store = _open_v2(endpoints, credentials, timeout / 2)
    except ConnectionFailed:
        # v2 knows no proxies: behind one there may be a server all the same. And a load balancer may
        # take HTTP/2 alone, or have only gRPC behind it.
        return _open_either(endpoints, credentials, deadline)
    return store or _open_v3(endpoints, credentials, deadline - time.monotonic())


def _open_either(endpoints: Sequence[str], credentials: Credentials, deadline: float) -> Store:
    """Find v3, and v2 where a server serves that by now that was not there, or silent, just before."""
    found = _open_v3(endpoints, credentials, deadline - time.monotonic())
    try:
        left = min(AGAIN, deadline - time.monotonic())
        store = _open_v2(endpoints, credentials, left)
    except ConnectionFailed:
        return found
    except BaseException:
        found.close()
        raise
    if store is None:
        return found
    found.close()
    return store


def _open_v2(endpoints: Sequence[str], credentials: Credentials, timeout: float) -> Store | None:
    """Give a v2 store; None where the first server that answers does not serve it."""
    from etcd_watcher.stores.v2 import V2Store  # noqa: PLC0415 - loads python-etcd
    from etcd_watcher.stores.v2_served import serves_v2  # noqa: PLC0415

    reasons: dict[str, str] = {}
    for first, endpoint in enumerate(endpoints):
        try:
            served = serves_v2(endpoint, timeout / len(endpoints), credentials=credentials)
        except ConnectionFailed as error:
            reasons[endpoint] = error.reason
        else:
            ordered = [*endpoints[first:], *endpoints[:first]]
            return V2Store(ordered, credentials=credentials) if served else None
    raise ConnectionFailed.to_each(reasons)


def _open_v3(endpoints: Sequence[str], credentials: Credentials, timeout: float) -> Store:
    from etcd_watcher.stores.v3 import V3Store  # noqa: PLC0415 - loads protobuf

    store = V3Store(endpoints, credentials=credentials)
    try:
        store.connect(timeout)
    except BaseException:
        store.close()
        raise
    return store
