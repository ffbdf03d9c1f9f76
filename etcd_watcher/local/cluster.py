"""`LocalCluster`: a real etcd cluster on loopback, to be hurt."""

from __future__ import annotations

import os
import weakref
from collections.abc import Mapping
from types import MappingProxyType, TracebackType
from typing import Self

from etcd_watcher.arguments import seconds
from etcd_watcher.errors import EtcdWatcherError
from etcd_watcher.interactive import when_run_again
from etcd_watcher.local.binary import find_binary
from etcd_watcher.local.certificates import Certificates
from etcd_watcher.local.client import KeyApi, key_api
from etcd_watcher.local.ensemble import Ensemble
from etcd_watcher.local.faults import Faults
from etcd_watcher.local.gateway import Gateway
from etcd_watcher.local.member import Member
from etcd_watcher.local.membership import compact, revision
from etcd_watcher.local.security import Security
from etcd_watcher.local.users import Users
from etcd_watcher.secret import conceal

__all__ = ["LocalCluster"]

REQUEST_TIMEOUT = 5.0
"""Seconds for a put, a get or a delete."""

SIZES = range(1, 10)


class LocalCluster:
    """A real etcd cluster: loopback only, free ports, temporary data. Linux and macOS.

    It is running and ready when the constructor returns, in about 1 s, and goes as a `LocalEtcd`
    does: with `stop`, the end of a `with`, the last reference, or the interpreter, however that
    ends. `faults` kills, pauses and replaces its members, and cuts and slows the links between
    them and to clients. Methods may be called from any thread.

    Clients and peers reach a member through a small proxy, a process of its own, on which
    `faults` works. What a member advertises is the proxy, and stays the same for the cluster's
    life.

    Parameters
    ----------
    size : int
        Members: m1, m2, m3 and so on.
    version, binary, v2, tls, client_cert, user, password, token_ttl
        As for `LocalEtcd`. Between members there is no TLS.
    election_timeout : float
        Seconds without a heartbeat after which a member stands for election; heartbeats are ten
        times as frequent. 1.0 is etcd's own default, which busy machines keep without needless
        elections. A lease lasts at least 1.5 times as long.
    snapshot_count : int
        Transactions after which a member writes a snapshot. One that was away for 5,000 more is
        sent a snapshot instead of the transactions (etcd's own default is 100,000).

    Attributes
    ----------
    url : str
        Where clients reach the first member.
    endpoints : list of str
        Where clients reach each member. `Watcher(cluster)` takes them all.
    members : mapping of str to Member
        The members by name, in order.
    version, binary, v2, ca_cert, cert, key, user, password, users
        As of `LocalEtcd`.

    Raises
    ------
    NoBinary
        No etcd program, or none of that version, was found.
    StartFailed
        It did not get ready within 30 s: the message has a member's last lines.

    Examples
    --------
    >>> with LocalCluster() as cluster, Watcher(cluster) as watcher:
    ...     watcher.add_key("nokia")
    ...     cluster.faults.kill(cluster.leader)
    ...     cluster.put("nokia", "still here")
    ...     watcher.wait_for("nokia").value
    'still here'
    """

    def __init__(  # noqa: PLR0913 - all but the first by keyword
        self,
        size: int = 3,
        *,
        version: str | None = None,
        binary: str | os.PathLike[str] | None = None,
        v2: bool = True,
        election_timeout: float = 1.0,
        snapshot_count: int = 1000,
        tls: bool | Certificates = False,
        client_cert: bool = False,
        user: str | None = None,
        password: str | None = None,
        token_ttl: float | None = None,
    ) -> None:
        password = conceal(password)
        if os.name != "posix":
            raise EtcdWatcherError("LocalCluster needs Linux or macOS.")
        if size not in SIZES:
            raise ValueError(f"size is a number of members, 1 to {SIZES[-1]}, not {size!r}")
        found = find_binary(version, binary)
        self.binary = found.path
        self.version = found.version
        self.v2 = v2 and found.release < (3, 6)
        self._security = Security.of(
            tls=tls, client_cert=client_cert, user=user, password=password, token_ttl=token_ttl
        )
        self._ensemble = Ensemble(
            size,
            found,
            self._security,
            v2=self.v2,
            election_timeout=seconds("election_timeout", election_timeout),
            snapshot_count=snapshot_count,
        )
        self.members: Mapping[str, Member] = MappingProxyType(self._ensemble.members)
        # At exit too. It must not refer to self, which would then never go.
        weakref.finalize(self, self._ensemble.end)
        when_run_again(self.stop)
        try:
            self._ensemble.start()
        except BaseException:
            self.stop()
            raise

    @property
    def url(self) -> str:
        """Where clients reach the first member."""
        return self.endpoints[0]

    @property
    def endpoints(self) -> list[str]:
        """Where clients reach each member."""
        return [member.url for member in self.members.values()]

    @property
    def ca_cert(self) -> str | None:
        """Path of the authority's certificate."""
        return self._security.path("ca.pem")

    @property
    def cert(self) -> str | None:
        """Path of a client's certificate."""
        return self._security.path("client.pem")

    @property
    def key(self) -> str | None:
        """Path of the client's key."""
        return self._security.path("client.key")

    @property
    def user(self) -> str | None:
        """Who may do everything."""
        return self._security.user

    @property
    def password(self) -> str | None:
        """The user's password."""
        return self._security.password

    @property
    def users(self) -> Users:
        """Adds users, and changes what they may do."""
        return self._security.users(self._leaders_gateway, v2=self.v2)

    @property
    def faults(self) -> Faults:
        """What can go wrong here, on demand."""
        return Faults(self._ensemble)

    @property
    def leader(self) -> Member:
        """The member that leads, once a majority follows it; an election is waited for.

        A member whose link to the leader is cut or reset, in whichever direction, does not count
        as one that follows it.

        Raises
        ------
        ConnectionFailed
            There can be none, because too few members run; or there is none after ten election
            timeouts.
        """
        return self._ensemble.leader()

    @property
    def followers(self) -> list[Member]:
        """The other members that run, and are not paused."""
        leader = self.leader
        return [each for each in self._ensemble.answering() if each is not leader]

    def put(self, key: str | bytes, value: str | bytes, *, api: str = "v3") -> None:
        """Write a key, as `LocalEtcd.put`, through the leader, past the proxy and its faults."""
        self._api(api).put(key, value)

    def get(self, key: str | bytes, *, api: str = "v3") -> str | None:
        """Read a key, as `LocalEtcd.get`, through the leader."""
        return self._api(api).get(key)

    def delete(self, key: str | bytes, *, api: str = "v3") -> int:
        """Delete a key, as `LocalEtcd.delete`, through the leader."""
        return self._api(api).delete(key)

    @property
    def revision(self) -> int:
        """The newest revision of the v3 keys, from the leader."""
        return revision(self._leaders_gateway())

    def compact(self, at: int | None = None) -> int:
        """Drop the v3 history before a revision, as `LocalEtcd.compact`."""
        return compact(self._leaders_gateway(), at)

    def wait_ready(self, timeout: float = 20.0) -> None:
        """Wait until every running member has caught up with the others and serves.

        Those that are killed or paused are not waited for.

        Raises
        ------
        ConnectionFailed
            Some do not after `timeout` seconds: the message says which.
        StartFailed
            A member's program has ended by itself.
        """
        self._ensemble.wait(self._ensemble.answering(), timeout)

    def stop(self) -> None:
        """End all members and remove their data; for good. May be called any number of times."""
        self._ensemble.stop()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    def __repr__(self) -> str:
        # Nothing that differs from run to run, as ports and leaders do.
        return f"LocalCluster({', '.join(map(repr, self.members.values()))})"

    def _leaders_gateway(self) -> Gateway:
        return self.leader.gateway(REQUEST_TIMEOUT)

    def _api(self, api: str) -> KeyApi:
        return key_api(api)(self._leaders_gateway())
