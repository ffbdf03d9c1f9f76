"""How one gets into an episode's cluster: as anybody, with certificates, or as a user."""

from __future__ import annotations

import http.client
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from etcd_watcher.local import LocalCluster

__all__ = ["ANYBODY", "LOCKS", "OWNER", "READER", "Access", "keys_for", "lock_for"]

OWNER = "owner"
"""The user who may do everything: that of the writers, the recorders and the adversary."""

READER = "reader"
"""The user who may read what is watched, and nothing else: that of the watchers."""

LOCKS = ("open", "tls", "certificates", "users")
"""Ways to lock a cluster: not at all; TLS; TLS with certificates of clients; that, and users."""


@dataclass(frozen=True)
class Access:
    """As whom the suite's own connections come, which are none of the package's.

    Attributes
    ----------
    contexts : mapping of str to ssl.SSLContext
        TLS by API: etcd's JSON gateway refuses a certificate with a name in it, while v2 takes that
        name for the user, and saves the 50 ms that its check of a password takes at each request.
    password : str or None
        The owner's, for v3; None where there are no users.
    """

    contexts: Mapping[str, ssl.SSLContext] = field(default_factory=dict)
    password: str | None = field(default=None, repr=False)

    @classmethod
    def to(cls, cluster: LocalCluster) -> Access:
        """Come with a cluster's own certificates, as its own user."""
        if cluster.ca_cert is None:
            return ANYBODY
        made = {}
        for api, name in (("v2", "client"), ("v3", "own")):
            context = made[api] = ssl.create_default_context(cafile=cluster.ca_cert)
            place = Path(cluster.ca_cert).parent
            context.load_cert_chain(place / f"{name}.pem", place / f"{name}.key")
        return cls(made, cluster.password)

    def connection(self, api: str, url: str, timeout: float) -> http.client.HTTPConnection:
        """Give a connection to a member, not yet open."""
        place = urlsplit(url)
        host, port = place.hostname or "", place.port
        if not self.contexts:
            return http.client.HTTPConnection(host, port, timeout=timeout)
        return http.client.HTTPSConnection(host, port, timeout=timeout, context=self.contexts[api])


ANYBODY = Access()


def lock_for(lock: str, token_ttl: float | None) -> dict[str, Any]:
    """Give the arguments of a `LocalCluster` that is locked so."""
    found: dict[str, Any] = {}
    if lock != "open":
        found["tls"] = True
    if lock in {"certificates", "users"}:
        found["client_cert"] = True
    if lock == "users":
        found.update(user=OWNER, token_ttl=token_ttl)
    return found


def keys_for(cluster: LocalCluster, lock: str, *, password: str | None) -> dict[str, Any]:
    """Give the arguments of a `Watcher` that gets in: as the reader, where there is a password.

    Without one, where there are users, the certificate alone says who it is: the owner.
    """
    found: dict[str, Any] = {}
    if lock != "open":
        found["ca_cert"] = cluster.ca_cert
    if lock in {"certificates", "users"}:
        found.update(cert=cluster.cert, key=cluster.key)
    if lock == "users" and password is not None:
        found.update(user=READER, password=password)
    return found
