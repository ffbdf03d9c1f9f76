"""The members of a `LocalCluster` and what they have in common: network, guardian, leader."""

from __future__ import annotations

import secrets
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from etcd_watcher.errors import ConnectionFailed, RequestRejected
from etcd_watcher.local.binary import Binary, clean_environment
from etcd_watcher.local.client import is_healthy
from etcd_watcher.local.companion import CompanionLost
from etcd_watcher.local.guarded import Guardian
from etcd_watcher.local.member import Member
from etcd_watcher.local.membership import add_member, member_ids, remove_member, standing
from etcd_watcher.local.network import Network
from etcd_watcher.local.process import PortTaken, StartFailed
from etcd_watcher.local.security import Security

__all__ = ["Ensemble"]

START_TIMEOUT = 30.0
"""Seconds until members that do not serve count as failed; a whole cluster takes about 1."""

ASK_TIMEOUT = 1.0
"""Seconds for one question how a member stands."""

CHANGE_TIMEOUT = 5.0
"""Seconds for a change of the cluster's members."""

POLL = 0.01
"""Seconds between two rounds of questions."""

PORT_TRIES = 10
"""How many pairs of ports a member may try, should others take them before it binds them."""

ELECTIONS = 10
"""How many election timeouts we wait for a leader: votes may split, and machines be busy."""


class Ensemble:
    """Members by name, and the doing behind `LocalCluster` and `Faults`.

    All but `leader` and `wait` are called within `changing`.
    """

    def __init__(  # noqa: PLR0913 - what LocalCluster is given
        self,
        size: int,
        binary: Binary,
        security: Security,
        *,
        v2: bool,
        election_timeout: float,
        snapshot_count: int,
    ) -> None:
        self._v2 = v2
        self._security = security
        self._election_timeout = election_timeout
        milliseconds = int(election_timeout * 1000)
        self._flags = {
            "initial-cluster-token": secrets.token_hex(8),
            "heartbeat-interval": str(max(milliseconds // 10, 1)),
            "election-timeout": str(milliseconds),
            "snapshot-count": str(snapshot_count),
            # It refuses to remove or add a member within 5 s of any trouble; nobody's data is at
            # stake here, and `Faults.replace` looks for a majority itself.
            "strict-reconfig-check": "false",
        }
        self._root = Path(tempfile.gettempdir(), f"etcd_watcher-{secrets.token_hex(8)}")
        self._guardian = Guardian(str(self._root))
        self.network = Network()
        names = [f"m{number}" for number in range(1, size + 1)]
        self.members = {
            name: Member(name, self._guardian, binary, self._root, security) for name in names
        }
        self._lock = threading.RLock()
        """Held while members or links are changed, so that changes come one after the other."""
        self._ended = False

    @property
    def majority(self) -> int:
        """How many members it takes for anything to be decided."""
        return len(self.members) // 2 + 1

    def together(self, members: list[Member]) -> int:
        """Give with how many of these one can speak, itself included, who can speak with most."""
        return max(
            sum(each is one or self.network.is_open(one.name, each.name) for each in members)
            for one in members
        )

    def answering(self) -> list[Member]:
        """Give the members that run and are not paused."""
        return [each for each in self.members.values() if each.answers]

    @contextmanager
    def changing(self) -> Iterator[None]:
        """Change members or links, one thread at a time.

        Raises
        ------
        ConnectionFailed
            The cluster has ended.
        EtcdWatcherError
            This is a fork of its owner.
        """
        # First the owner: in a fork the lock may be held by a thread that is not there.
        self._guardian.check_owner()
        with self._lock:
            self.check_not_ended()
            yield

    def check_not_ended(self) -> None:
        """Raise ConnectionFailed after `end`."""
        if self._ended:
            raise ConnectionFailed("this LocalCluster is stopped: make a new LocalCluster()")

    def start(self) -> None:
        """Start everything, and wait until all serve."""
        environment = clean_environment()
        try:
            self._guardian.start(environment)
            self._security.write(self._root)
            self.network.start(environment)
            for member in self.members.values():
                member.ask_for_ports(self.network)
        except (OSError, CompanionLost) as error:
            raise StartFailed(f"the cluster's own processes did not start: {error}") from error
        for member in self.members.values():
            self._launch(member)
        try:
            self.wait(list(self.members.values()), START_TIMEOUT)
        except ConnectionFailed as error:
            raise StartFailed(str(error)) from None
        self._security.set_up(self.leader().gateway(CHANGE_TIMEOUT), v2=self._v2)

    def stop(self) -> None:
        """End everything, for good."""
        if self._guardian.is_foreign:
            return  # at the end of a fork's `with` block the cluster is still its parent's
        self._ended = True  # whoever waits in `wait` stops waiting
        with self._lock:
            self.end()

    def end(self) -> None:
        """End everything, and remove the data: a finalizer, which takes no lock."""
        if not self._guardian.is_foreign:
            self._ended = True
            self._guardian.end()
            self.network.end()

    def leader(self) -> Member:
        """Give the member that leads a majority with which it can speak; wait for an election.

        Raises
        ------
        ConnectionFailed
            Too few members run, or none was elected.
        """
        self.check_not_ended()
        deadline = time.monotonic() + ELECTIONS * max(self._election_timeout, 0.1)
        while True:
            answering = self.answering()
            if len(answering) < self.majority:
                raise ConnectionFailed(
                    f"no leader: {len(answering)} of {len(self.members)} members run, "
                    f"{self.majority} are needed. cluster.faults.heal() brings the others back"
                )
            found = self._leader_of(answering)
            if found is not None:
                return found
            if time.monotonic() > deadline:
                raise ConnectionFailed(
                    "no leader was elected: are links cut? cluster.faults.heal() mends them"
                )
            time.sleep(POLL)

    def bring_back(self, member: Member) -> None:
        """Launch a member that does not run; first take it in again where it has left."""
        if member.left:
            self._take_in(member)
        self._launch(member)

    def wait(self, members: list[Member], timeout: float = START_TIMEOUT) -> None:
        """Wait until members serve, and launch those again whose ports others took.

        Raises
        ------
        StartFailed
            The program of one has ended.
        ConnectionFailed
            Time is up.
        """
        deadline = time.monotonic() + timeout
        tries = dict.fromkeys((each.name for each in members), 1)
        while True:
            self.check_not_ended()
            waiting = []
            for member in members:
                try:
                    member.check()
                except PortTaken:
                    tries[member.name] += 1
                    if tries[member.name] > PORT_TRIES:
                        raise
                    with self.changing():
                        self._launch(member)
                if not _serves(member):
                    waiting.append(member)
            if not waiting:
                self._get_acquainted()
                return
            members = waiting
            if time.monotonic() > deadline:
                names = " and ".join(each.name for each in waiting)
                what = f"does not serve after {timeout:g} s (missing: {names})"
                raise ConnectionFailed(waiting[0].complaint(what))
            time.sleep(POLL)

    def _launch(self, member: Member) -> None:
        """Start a member's process, on new ports of its own behind the proxy's."""
        peers = (f"{each.name}={each.peer_url}" for each in self.members.values())
        flags = {**self._flags, "initial-cluster": ",".join(peers)}
        member.launch(self.network, flags, v2=self._v2)

    def _take_in(self, member: Member) -> None:
        """Have the cluster expect a member, new and empty, in the place of one that has left.

        We may have been interrupted in here before, so it looks how far that went.
        """
        gateway = self.leader().gateway(CHANGE_TIMEOUT)
        known = member_ids(gateway).get(member.peer_url)
        if known == member.id:
            remove_member(gateway, known)
            known = None
        member.forget()
        member.joins = True
        member.id = add_member(gateway, member.peer_url) if known is None else known
        member.left = False
        self._introduce()

    def _get_acquainted(self) -> None:
        """Learn the members' ids from one that serves."""
        for member in self.answering():
            if _serves(member):
                ids = member_ids(member.gateway(ASK_TIMEOUT))
                for each in self.members.values():
                    each.id = ids.get(each.peer_url, each.id)
                break
        self._introduce()

    def _introduce(self) -> None:
        self.network.introduce({each.name: each.id for each in self.members.values()})

    def _leader_of(self, answering: list[Member]) -> Member | None:
        followers: dict[int, list[Member]] = {}
        for member in answering:
            stands = standing(member.gateway(ASK_TIMEOUT))
            if stands is not None:
                followers.setdefault(stands.leader, []).append(member)
        for leader in answering:
            heard = [
                each
                for each in followers.get(leader.id, [])
                if each is leader or self.network.is_open(leader.name, each.name)
            ]
            if leader in heard and len(heard) >= self.majority:
                return leader
        return None


def _serves(member: Member) -> bool:
    gateway = member.gateway(ASK_TIMEOUT)
    try:
        # A stranger who took the port might answer until ours gives up; and /health reads through
        # the whole cluster, so that who answers has caught up.
        return is_healthy(gateway) and member.peer_url in member_ids(gateway)
    except (ConnectionFailed, RequestRejected):
        return False
