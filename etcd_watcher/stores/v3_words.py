"""What gRPC says of a connection, in plain words."""

from __future__ import annotations

import re

__all__ = ["gave_up", "is_late", "never_left", "plain", "wants_leader"]

WORDS = (
    (r"connection refused", "connection refused"),
    (r"goaway|graceful_stop", "the server is closing the connection"),
    (r"\bping\b|keepalive|watchdog", "no answer to a sign of life"),
    (r"connection reset|broken pipe", "the connection was reset"),
    (r"closed|endpoint closing|\beof\b|stream removed", "the connection was closed"),
    (r"\bdns\b|name resolution|getaddrinfo", "the host's name is not known"),
    (r"no route|unreachable|host is down", "there is no way to that host"),
    (r"timeout|timed out|settings frame", "no answer to connecting"),
    (r"context canceled|raft: stopped", "the server is stopping"),
    (r"raft proposal dropped", "its leader is handing over"),
)
"""For what gRPC's text has in it, whatever the case."""

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

PLACE = re.compile(r"^(?:[A-Z_]+: *)?(?:ipv[46]:[^ ]+: |unix:[^ ]+: )?")
"""What a cause begins with: a status, and an address that we name ourselves."""

NEVER_LEFT = (
    "failed to connect to all addresses",
    "DNS resolution failed",
    f"{ETCD}no leader",
    f"{ETCD}rpc not supported for learner",
    f"{ETCD}not capable",
    "raft proposal dropped",
)
"""How it begins where the request was never sent, or refused before anything was done."""


def plain(details: str) -> str:
    """Give the cause in plain words; gRPC's own, cut down to their end, where none of ours fit."""
    if details.startswith(ETCD):
        return details.removeprefix(ETCD)
    cause = details.rsplit("; last error: ", 1)[-1].strip()
    known = next((words for said, words in WORDS if re.search(said, cause, re.IGNORECASE)), None)
    return known or PLACE.sub("", cause).strip() or "it is not there"


def never_left(details: str) -> bool:
    """Tell whether nothing can have come of a request that failed so."""
    return details.startswith(NEVER_LEFT)


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
