"""What etcd says of a request that failed: in plain words, and what can have come of it."""

from __future__ import annotations

__all__ = ["did_nothing", "gave_up", "is_late", "plain", "wants_leader"]

WORDS = {
    "context canceled": "the server is stopping",
    "raft: stopped": "the server is stopping",
    "raft proposal dropped": "its leader is handing over",
}
"""For what a server says in the words of its insides."""

ETCD = "etcdserver: "
"""How etcd's own words begin, which are plain."""

OUT_OF_TIME = "context deadline exceeded"
"""What a server says when our time is up there sooner than here: with the code UNKNOWN, by which it
would be a refusal."""

GAVE_UP = (
    "context canceled",
    f"{ETCD}request canceled",
    "raft: stopped",
    "raft proposal dropped",
)
"""What else it says with the code UNKNOWN (newer ones: CANCELLED), which is no refusal."""

NOTHING_DONE = (
    f"{ETCD}no leader",
    f"{ETCD}rpc not supported for learner",
    f"{ETCD}not capable",
    "raft proposal dropped",
)
"""How it begins where the request was refused before anything was done."""


def plain(details: str) -> str:
    """Give what a server says, or why it was not heard, in plain words."""
    return WORDS.get(details, details.removeprefix(ETCD)) or "it does not say why"


def did_nothing(details: str) -> bool:
    """Tell whether nothing can have come of a request that was refused so."""
    return details.startswith(NOTHING_DONE)


def wants_leader(details: str) -> bool:
    """Tell whether a server has no leader for now, or does not hear from it."""
    if not details.startswith(ETCD):
        return details == "raft proposal dropped"
    return "leader" in details or details.startswith(f"{ETCD}request timed out")


def is_late(details: str) -> bool:
    """Tell whether a server ran out of the time that we gave it."""
    return details == OUT_OF_TIME


def gave_up(details: str) -> bool:
    """Tell whether a server has dropped a request, for a reason that has nothing to do with it."""
    return details in GAVE_UP
