"""What is done to the cluster and its links, one thing after the other, at random."""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress

from etcd_watcher import ConnectionFailed, RequestRejected
from etcd_watcher.local import FaultImpossible, LocalCluster, Member
from tests.robustness.access import READER
from tests.robustness.truth import Truth

__all__ = ["Adversary"]

CLIENT = "client"


class Adversary:
    """Hurts a cluster for a while.

    Parameters
    ----------
    cluster : LocalCluster
    truth : Truth
        Of v3: nothing is compacted that no recorder has seen.
    seed : str
    may_kill : bool
        Whether members may be killed. etcd 3.5.0 to 3.5.2 can lose their data's consistency then
        (etcd-io/etcd#13766), and would be found instead of us.
    overrun : callable
        Makes more changes than v2's history holds.
    password : str or None
        The reader's; None where there are no users.
    """

    def __init__(
        self,
        cluster: LocalCluster,
        truth: Truth,
        seed: str,
        *,
        may_kill: bool,
        overrun: Callable[[], None],
        password: str | None = None,
    ) -> None:
        self._cluster = cluster
        self._faults = cluster.faults
        self._truth = truth
        self._overrun = overrun
        self._password = password
        self._choice = random.Random(f"{seed}/adversary")  # noqa: S311 - no secret
        self._pause = threading.Event()
        self.done: Counter[str] = Counter()
        self.log: list[tuple[float, str]] = []
        """When what was done, by the monotonic clock."""
        self.outages: list[tuple[float, float]] = []
        """From when to when no watcher could reach any member."""
        gentle: list[Callable[[], None]] = [
            self.pause_leader,
            self.pause_follower,
            self.pause_ours,
            self.cut_clients,
            self.cut_one_client,
            self.delay_clients,
            self.reset_clients,
            self.compact,
            self.compact_unseen,
            self.overrun_v2,
        ]
        rough: list[Callable[[], None]] = [
            self.kill_leader,
            self.kill_follower,
            self.restart,
            self.stop_all,
        ]
        if len(cluster.members) > 1:
            gentle += [self.cut_members, self.delay_members, self.isolate_leader]
            rough += [self.replace]
        if password is not None:
            gentle += [self.change_rights, self.end_logins]
        self._deck = gentle + (rough if may_kill else [])

    def play(self, seconds: float) -> None:
        """Do one thing after the other, each kind once before any comes twice."""
        deadline = time.monotonic() + seconds
        for act in self._shuffled():
            if time.monotonic() >= deadline:
                break
            self._note(act.__name__)
            try:
                with self._outage() if len(self._cluster.members) == 1 else nullcontext():
                    act()
            except (FaultImpossible, ConnectionFailed) as error:
                # On top of another fault, which leaves no leader, say.
                self._note(f"impossible: {error}")
                self._heal()
            else:
                self.done[act.__name__] += 1
            self._wait(0.2, 1.0)
            # Now and then the next comes on top of it, where that is possible.
            if self._choice.random() < 0.8:
                self._heal()
        self._heal()

    def _shuffled(self) -> Iterator[Callable[[], None]]:
        while True:
            deck = list(self._deck)
            self._choice.shuffle(deck)
            yield from deck

    def _heal(self) -> None:
        self._faults.heal()
        self._note("healed")

    def _note(self, what: str) -> None:
        self.log.append((time.monotonic(), what))

    def _wait(self, least: float, most: float) -> None:
        self._pause.wait(self._choice.uniform(least, most))

    @contextmanager
    def _outage(self) -> Iterator[None]:
        began = time.monotonic()
        yield
        self.outages.append((began, time.monotonic()))

    def _member(self) -> Member:
        return self._choice.choice(list(self._cluster.members.values()))

    def _follower(self) -> Member:
        with suppress(ConnectionFailed):
            followers = self._cluster.followers
            if followers:
                return self._choice.choice(followers)
        return self._member()

    def _leader(self) -> Member:
        try:
            return self._cluster.leader
        except ConnectionFailed:  # there is none: something else is wrong with it already
            return self._member()

    # With members.

    def kill_leader(self) -> None:
        leader = self._leader()
        self._faults.kill(leader)
        self._wait(0.5, 3.0)
        self._faults.start(leader)

    def kill_follower(self) -> None:
        follower = self._follower()
        self._faults.kill(follower)
        self._wait(0.2, 3.0)
        self._faults.start(follower)

    def restart(self) -> None:
        self._faults.restart(self._member())

    def replace(self) -> None:
        self._faults.replace(self._follower())

    def stop_all(self) -> None:
        with self._outage():
            for member in self._cluster.members.values():
                if member.running:
                    self._faults.kill(member)
            self._wait(0.2, 2.0)
            self._faults.heal()

    def pause_leader(self) -> None:
        self._pause_for(self._leader(), 0.5, 4.0)

    def pause_follower(self) -> None:
        self._pause_for(self._follower(), 0.5, 4.0)

    def pause_ours(self) -> None:
        """Pause whomever, until those who are connected to it must have gone elsewhere."""
        self._pause_for(self._member(), 8.0, 11.0)

    def _pause_for(self, member: Member, least: float, most: float) -> None:
        self._faults.pause(member)
        self._wait(least, most)
        self._faults.resume(member)

    # With users.

    def change_rights(self) -> None:
        """Give the reader a right more: what is signed with a revision of all rights is old then."""
        with suppress(RequestRejected):  # the leader has just changed, say
            self._cluster.users.grant(READER, f"other/{self._choice.random()}")

    def end_logins(self) -> None:
        """Give the reader the password that it has, which ends all that it was given for it."""
        with suppress(RequestRejected):
            self._cluster.users.change_password(READER, self._password or "")

    # With links.

    def cut_clients(self) -> None:
        with self._outage():
            for member in self._cluster.members:
                self._faults.cut(CLIENT, member)
            self._wait(0.2, 5.0)
            self._faults.mend(CLIENT)

    def cut_one_client(self) -> None:
        self._faults.cut(CLIENT, self._member(), one_way=self._choice.random() < 0.5)
        self._wait(0.5, 9.0)

    def delay_clients(self) -> None:
        for member in self._cluster.members:
            self._faults.delay(CLIENT, member, self._choice.uniform(0.01, 0.3))
        self._wait(1.0, 3.0)

    def reset_clients(self) -> None:
        with self._all_reset():
            self._wait(0.0, 2.0)

    def cut_members(self) -> None:
        one, other = self._choice.sample(list(self._cluster.members), 2)
        self._faults.cut(one, other, one_way=self._choice.random() < 0.5)
        self._wait(0.5, 3.0)

    def delay_members(self) -> None:
        one, other = self._choice.sample(list(self._cluster.members), 2)
        self._faults.delay(one, other, self._choice.uniform(0.01, 0.1))
        self._wait(1.0, 3.0)

    def isolate_leader(self) -> None:
        self._faults.isolate(self._leader(), clients=self._choice.random() < 0.5)
        self._wait(1.0, 7.0)

    @contextmanager
    def _all_reset(self) -> Iterator[None]:
        """Let no client reach any member."""
        with self._outage():
            for member in self._cluster.members:
                self._faults.reset(CLIENT, member)
            try:
                yield
            finally:
                self._faults.mend(CLIENT)

    # With history.

    def compact(self) -> None:
        """Give up history that those who keep up have read, and those who lag may not have."""
        reached = self._truth.reached
        self._compact(max(1, reached - self._choice.choice([0, 5, 100, 500])))

    def compact_unseen(self) -> None:
        """Give up history that nobody can have read: they are all cut off meanwhile."""
        with self._all_reset():
            before = self._truth.reached
            self._truth.wait(before + self._choice.randint(10, 100), 10)
            self._compact(self._truth.reached - self._choice.choice([0, 3]))
            self._wait(0.0, 1.0)

    def _compact(self, revision: int) -> None:
        # Noted before it is asked for: without an answer it may have been done.
        if revision > max(self._truth.compactions, default=0):
            self._truth.compactions.add(revision)
            with suppress(ConnectionFailed, RequestRejected):
                self._cluster.compact(revision)

    def overrun_v2(self) -> None:
        """Have v2 forget what nobody can have read."""
        with self._all_reset():
            self._overrun()
