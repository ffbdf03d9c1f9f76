"""Which proxy is on the way to an endpoint of v3, if any."""

from __future__ import annotations

import os
from typing import NamedTuple
from urllib.parse import urlsplit

from etcd_watcher.endpoints import is_loopback
from etcd_watcher.secret import Secret

__all__ = ["Proxy", "proxy_to"]

NAMES = ("grpc_proxy", "https_proxy", "http_proxy")
"""Where to look, in the order of gRPC's own library and whatever the endpoint's scheme."""


class Proxy(NamedTuple):
    """A proxy: its URL, without user and password, and the variable that names it."""

    url: str
    name: str
    given: Secret
    """The URL as it was given."""


def proxy_to(endpoint: str) -> Proxy | None:
    """Give the proxy on the way to an endpoint.

    None for this machine, and for hosts that NO_PROXY or no_proxy names.
    """
    host = urlsplit(endpoint).hostname or ""
    if is_loopback(endpoint):
        return None
    from urllib.request import proxy_bypass  # noqa: PLC0415 - with all of HTTP it takes 12 ms

    if proxy_bypass(host):
        return None
    for name in NAMES:
        given = os.environ.get(name)
        if given:
            parts = urlsplit(given if "://" in given else f"http://{given}")
            shown = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"
            return Proxy(shown, name, Secret(parts.geturl()))
    return None
