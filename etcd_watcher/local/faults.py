"""What can go wrong in a `LocalCluster`, and how it is put right again."""

from __future__ import annotations

from etcd_watcher.errors import EtcdWatcherError
from etcd_watcher.local.ensemble import Ensemble
from etcd_watcher.local.member import Member
from etcd_watcher.local.network import CLIENT, Link

__all__ = ["FaultImpossible", "Faults"]


class FaultImpossible(EtcdWatcherError):
    """What was asked for cannot be done to the cluster as it is now."""


def check_seconds(seconds: object) -> None:
    """Check a delay."""
    number = seconds if isinstance(seconds, int | float) else -1
    if isinstance(seconds, bool) or not 0 <= number < float("inf"):
        raise ValueError(f"seconds is a time from 0 up, not {seconds!r}")


class Faults:
    """Hurts the members of a `LocalCluster` and the links between them: `cluster.faults`.

    A member is given as itself (`cluster.leader`, `cluster.members["m2"]`) or by name. A link has
    two ends: members, or "client", which stands for everybody who is no member. Each call returns
    when the fault is there; `heal` undoes them all.

    A link works on the bytes of its connections, in both directions or, with `one_way=True`, only
    from the first end to the second. Connections between members are known by the id that etcd's
    peers send with each request. A few small requests among peers carry none, and pass all the
    same: probes, questions for the version, and the renewal of a lease that a follower hands to
    the leader.

    All methods raise
    - `ValueError` for a member that is not there, or a link that cannot be;
    - `FaultImpossible` where the cluster as it is does not allow it, such as to pause a member
      that is paused;
    - `ConnectionFailed` once the cluster is stopped.

    Examples
    --------
    >>> cluster.faults.kill(cluster.leader)
    >>> cluster.faults.cut("client", "m2")
    >>> cluster.faults.heal()
    """

    def __init__(self, ensemble: Ensemble) -> None:
        self._ensemble = ensemble

    def __repr__(self) -> str:
        return f"Faults(of {', '.join(self._ensemble.members)})"

    def kill(self, member: Member | str) -> None:
        """End a member with SIGKILL, as a crash would: connections break, the data stays."""
        with self._ensemble.changing():
            self._running(member).kill()

    def start(self, member: Member | str) -> None:
        """Start a member that was killed, with the data that it had.

        It returns when the member serves and has caught up, if it can: if so many others run that
        there is a majority, and no links between members are cut. Else it returns at once, and
        `cluster.wait_ready()` waits for it later.

        Raises
        ------
        StartFailed
            Its program ended.
        """
        with self._ensemble.changing():
            known = self._member(member)
            if known.running:
                raise FaultImpossible(
                    f"{known.name} runs already: restart() it, or kill() it first"
                )
            self._bring_back(known)

    def restart(self, member: Member | str) -> None:
        """Kill a member, if it runs, and start it again; returns as `start` does."""
        with self._ensemble.changing():
            known = self._member(member)
            known.kill()
            self._bring_back(known)

    def pause(self, member: Member | str) -> None:
        """Have a member stand still (SIGSTOP): connections stay open, nothing is answered."""
        with self._ensemble.changing():
            known = self._running(member)
            if known.paused:
                raise FaultImpossible(f"{known.name} is paused already: resume() it first")
            known.pause()

    def resume(self, member: Member | str) -> None:
        """Let a paused member go on. It needs no waiting for: it knows what it knew."""
        with self._ensemble.changing():
            known = self._running(member)
            if not known.paused:
                raise FaultImpossible(f"{known.name} is not paused")
            known.resume()

    def replace(self, member: Member | str) -> None:
        """Put a new member with empty data in the place of one, which may have been killed.

        It is removed from the cluster; then one of the same name and URLs, and with another id, is
        added and started. It gets everything from the others, as a snapshot where more than
        `snapshot_count` + 5,000 transactions were made. Returns when it has caught up.

        Raises
        ------
        FaultImpossible
            One of the others does not run, or links between them are cut: there would be no
            majority, now or while the new one joins.
        ConnectionFailed
            No leader can be found among the others, or the new one does not catch up in 30 s. A
            later `start` or `heal` brings the replacement to its end.
        """
        with self._ensemble.changing():
            known = self._member(member)
            others = [each for each in self._ensemble.members.values() if each is not known]
            if not others or not all(each.answers for each in others):
                raise FaultImpossible(
                    f"{known.name} cannot be replaced unless all others run: there must be some, "
                    "and they must be a majority of each other. heal() brings them back"
                )
            together, majority = self._ensemble.together(others), self._ensemble.majority
            if together < majority:
                raise FaultImpossible(
                    f"{known.name} cannot be replaced: without it {together} of the members can "
                    f"speak with each other, and it takes {majority}. heal() mends their links"
                )
            known.left = True
            known.kill()
            self._bring_back(known)

    def cut(self, one: Member | str, other: Member | str, *, one_way: bool = False) -> None:
        """Let nothing pass: connections stay open, what is sent waits until the link is mended.

        New connections can still be made, because the proxy answers for the far end, but nothing
        comes of them either.
        """
        self._set(one, other, Link(cut=True), one_way=one_way)

    def delay(
        self, one: Member | str, other: Member | str, seconds: float, *, one_way: bool = False
    ) -> None:
        """Let what is sent arrive later, in order: a question and its answer take twice as long."""
        check_seconds(seconds)
        self._set(one, other, Link(delay=seconds), one_way=one_way)

    def reset(self, one: Member | str, other: Member | str) -> None:
        """Close all connections, and any new one as soon as somebody makes it."""
        self._set(one, other, Link(reset=True), one_way=False)

    def mend(self, one: Member | str, other: Member | str | None = None) -> None:
        """Make a link whole, or all the links of one end. No error where nothing was wrong."""
        if other is not None:
            self._set(one, other, Link(), one_way=False)
            return
        with self._ensemble.changing():
            end = self._end(one)
            ways = [way for each in self._ends() if each != end for way in _both(end, each)]
            self._ensemble.network.set(ways, Link())

    def isolate(self, member: Member | str, *, clients: bool = False) -> None:
        """Cut a member off from all others, with `clients=True` from its clients as well."""
        with self._ensemble.changing():
            known = self._member(member)
            others = set(self._ends()) - {known.name} - (set() if clients else {CLIENT})
            ways = [way for each in others for way in _both(known.name, each)]
            self._ensemble.network.set(ways, Link(cut=True))

    def heal(self) -> None:
        """Undo everything: links are whole, who was paused goes on, who was killed runs again.

        Returns when all members serve and have caught up.

        Raises
        ------
        StartFailed
            A member's program ended.
        ConnectionFailed
            They do not serve within 30 s.
        """
        ensemble = self._ensemble
        with ensemble.changing():
            ensemble.network.mend()
            for member in ensemble.members.values():
                if member.paused:
                    member.resume()
            for member in ensemble.members.values():
                if not member.running:
                    ensemble.bring_back(member)
            ensemble.wait(list(ensemble.members.values()))

    def _bring_back(self, member: Member) -> None:
        ensemble = self._ensemble
        ensemble.bring_back(member)
        may_catch_up = len(ensemble.answering()) >= ensemble.majority
        if may_catch_up and ensemble.network.is_whole_between(ensemble.members):
            ensemble.wait([member])

    def _set(self, one: Member | str, other: Member | str, link: Link, *, one_way: bool) -> None:
        with self._ensemble.changing():
            ends = self._end(one), self._end(other)
            if ends[0] == ends[1]:
                raise ValueError(f"a link has two ends, not {ends[0]!r} twice")
            self._ensemble.network.set([ends] if one_way else _both(*ends), link)

    def _member(self, given: Member | str) -> Member:
        name = given.name if isinstance(given, Member) else given
        known = self._ensemble.members.get(name)
        if known is None or (isinstance(given, Member) and given is not known):
            there = ", ".join(self._ensemble.members)
            raise ValueError(f"{given!r} is no member of this cluster: it has {there}")
        return known

    def _running(self, given: Member | str) -> Member:
        known = self._member(given)
        if not known.running:
            raise FaultImpossible(f"{known.name} does not run: start() it first")
        return known

    def _end(self, given: Member | str) -> str:
        if given == CLIENT:
            return CLIENT
        try:
            return self._member(given).name
        except ValueError as error:
            raise ValueError(f"{error}, and {CLIENT!r} for who is none") from None

    def _ends(self) -> list[str]:
        return [CLIENT, *self._ensemble.members]


def _both(one: str, other: str) -> list[tuple[str, str]]:
    return [(one, other), (other, one)]
