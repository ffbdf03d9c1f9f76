"""What a member says of its cluster, and the calls that change the cluster."""

from __future__ import annotations

import base64
import time
from dataclasses import dataclass

from etcd_watcher.arguments import check_room
from etcd_watcher.errors import ConnectionFailed, RequestRejected
from etcd_watcher.local.gateway import Gateway

__all__ = [
    "Standing",
    "add_member",
    "compact",
    "member_ids",
    "remove_member",
    "revision",
    "standing",
]

SECOND = 1.5
"""The second that a refused addition is tried for, with some grace."""

POLL = 0.05
"""Seconds between two tries."""


@dataclass(frozen=True, slots=True)
class Standing:
    """How a member sees the cluster.

    Attributes
    ----------
    member : int
        Its own id.
    leader : int
        The id of the leader that it follows, or is; 0 where it knows none.
    """

    member: int
    leader: int


def standing(gateway: Gateway) -> Standing | None:
    """Ask a member; None where it does not answer."""
    try:
        answer = gateway.ask("maintenance/status")
    except (ConnectionFailed, RequestRejected):
        return None
    return Standing(int(answer["header"]["member_id"]), int(answer.get("leader", 0)))


def member_ids(gateway: Gateway) -> dict[str, int]:
    """Give the id of each member by the URL that it advertises to its peers."""
    members = gateway.ask("cluster/member/list").get("members", [])
    return {url: int(each["ID"]) for each in members for url in each.get("peerURLs", [])}


def remove_member(gateway: Gateway, member: int) -> None:
    """Remove a member, by id."""
    gateway.ask("cluster/member/remove", ID=str(member))


def add_member(gateway: Gateway, peer_url: str) -> int:
    """Add a member, and give its id."""
    deadline = time.monotonic() + SECOND
    while True:
        try:
            return int(gateway.ask("cluster/member/add", peerURLs=[peer_url])["member"]["ID"])
        except RequestRejected as error:
            # The id is a hash of the URLs and the time in seconds: two members within one second at
            # one place would be one. etcd says of that it knows no such member.
            if "member not found" not in str(error) or time.monotonic() > deadline:
                raise
            time.sleep(POLL)


def revision(gateway: Gateway) -> int:
    """Give the newest revision of the v3 keys (a linearizable read)."""
    # etcd leaves no key empty, so somebody has to be asked for; the revision comes with nothing.
    nothing = base64.b64encode(b"\0").decode()
    return int(gateway.ask("kv/range", key=nothing, count_only=True)["header"]["revision"])


def compact(gateway: Gateway, at: int | None) -> int:
    """Drop the history before a revision, the newest if None, and give that revision."""
    if at is None:
        at = revision(gateway)
    check_room("the oldest revision to keep, at", at)
    # physical: it answers once the history is gone, so that a test need not wait for it.
    gateway.ask("kv/compaction", revision=str(at), physical=True)
    return at
