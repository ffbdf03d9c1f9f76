"""What widgets ask of etcd v2 beyond its keys' changes: each question is put by a client of ours."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import partial
from typing import Any, Protocol, TypeVar

import etcd

from etcd_watcher.errors import Conflict, RequestRejected
from etcd_watcher.keys import KeyRange, to_bytes, to_text
from etcd_watcher.stores.base import Cluster, KeyHead, KeyPage, Member, TimeToLive
from etcd_watcher.stores.v2_client import NOT_THERE, Client, read_index
from etcd_watcher.stores.v2_keys import NO_KEY, place_of, quote

__all__ = [
    "Ask",
    "compare_and_delete",
    "compare_and_put",
    "list_keys",
    "read_cluster",
    "read_newest",
    "time_left",
]

T = TypeVar("T")

MOST_DIRECTORIES = 100
"""Directories that are read for one page of keys: each is a request."""

FIRST_BEHIND = b"\xff"
"""Put behind a directory, it comes behind all keys in it: none of them begins with what is no
UTF-8."""


class Ask(Protocol):
    """Puts a question about a path to a server, and gives the answer."""

    def __call__(self, question: Callable[[Client], T], path: bytes) -> T: ...


def list_keys(ask: Ask, scope: KeyRange, after: bytes | None, limit: int) -> KeyPage:
    """Walk the directories of a range in the order of their keys, up to a page of them."""
    top = place_of(scope)
    heads: list[KeyHead] = []
    revision = read = 0
    # What is still to be looked at, the next at the end.
    left: list[Entry] = [(top.path + b"/" if top.recursive else top.path, None)]
    position = after
    while left:
        path, head = left.pop()
        if head is not None:
            if path in scope:
                if len(heads) == limit:
                    return KeyPage(revision, heads, position, None)
                heads.append(head)
            position = path
        elif read == MOST_DIRECTORIES:
            return KeyPage(revision, heads, position, None)
        else:
            read += 1
            index, nodes = ask(partial(_read_level, path=path), path.rstrip(b"/"))
            revision = revision or index
            found = [each for each in map(_entry, nodes) if _matters(each, scope, after)]
            left += sorted(found, reverse=True, key=lambda each: each[0])
            if not found:
                position = max(position or b"", path + FIRST_BEHIND)
    return KeyPage(revision, heads, None, None)


Entry = tuple[bytes, KeyHead | None]
"""A key with its head; or a directory, with a slash at its end, which is where its keys sort."""


def _read_level(client: Client, path: bytes) -> tuple[int, list[dict[str, Any]]]:
    """Read one level of a directory, or one key."""
    directory = path.endswith(b"/")
    url = quote(path.rstrip(b"/"), directory=directory)
    try:
        found = client.read(url, quorum=True)
    except NOT_THERE as error:
        return int(error.payload["index"]), []
    if found.dir:
        return int(found.etcd_index), list(found._children) if directory else []  # noqa: SLF001
    return int(found.etcd_index), [] if directory else [vars(found)]


def _entry(node: dict[str, Any]) -> Entry:
    path = to_bytes(node["key"])
    if node.get("dir"):
        return path + b"/", None
    revision, created = node["modifiedIndex"], node["createdIndex"]
    return path, KeyHead(path, revision, created, 0, 0, node.get("ttl") is not None)


def _matters(entry: Entry, scope: KeyRange, after: bytes | None) -> bool:
    """Tell whether an entry is, or may hold, a key of the range behind `after`."""
    path, head = entry
    if head is not None:
        return path in scope and (after is None or path > after)
    last = path + FIRST_BEHIND
    if last < scope.start or (scope.end is not None and path >= scope.end):
        return False
    return after is None or last > after


def compare_and_put(client: Client, path: bytes, value: str, revision: int, ttl: int | None) -> int:
    """Write a key if it is still at an index; 0: if it is not there."""
    condition: dict[str, Any] = {"prevIndex": revision} if revision else {"prevExist": False}
    try:
        return int(client.write(quote(path), value, ttl=ttl, **condition).modifiedIndex)
    except (etcd.EtcdCompareFailed, etcd.EtcdAlreadyExist, etcd.EtcdKeyNotFound) as error:
        raise _conflict(client, path, revision) from error


def compare_and_delete(client: Client, path: bytes, revision: int) -> None:
    """Delete a key if it is still at an index."""
    try:
        client.delete(quote(path), prevIndex=revision)
    except (etcd.EtcdCompareFailed, etcd.EtcdKeyNotFound) as error:
        raise _conflict(client, path, revision) from error


def _conflict(client: Client, path: bytes, expected: int) -> Conflict:
    """Say where the key is now: the server's own error names it in prose only."""
    try:
        found = client.read(quote(path), quorum=True)
    except NOT_THERE:
        present = 0
    else:
        present = 0 if found.dir else int(found.modifiedIndex)
    return Conflict(to_text(path), expected, present)


def time_left(client: Client, path: bytes) -> TimeToLive | None:
    """Read a key's TTL."""
    try:
        ttl = client.read(quote(path), quorum=True).ttl
    except NOT_THERE:
        return None
    return None if ttl is None else TimeToLive(max(0, int(ttl)), 0, 0)


def read_newest(ask: Ask, keys: Iterable[bytes | None]) -> tuple[int, bytes]:
    """Give the newest index, and the first of these keys that our user may read."""
    known = [key for key in keys if key is not None]
    for key in known[:-1]:
        with suppress(RequestRejected):
            return ask(partial(read_index, key=key), key), key
    return ask(partial(read_index, key=known[-1]), known[-1]), known[-1]


def read_cluster(ask: Ask, readable: bytes | None) -> Cluster:
    """Ask for everything that v2 tells about a cluster; with users, much is for root alone."""
    version = ask(partial(_read_json, path="/version"), b"")["etcdserver"]
    try:
        index = ask(partial(read_index, key=NO_KEY), NO_KEY)
    except RequestRejected:
        index = 0 if readable is None else ask(partial(read_index, key=readable), readable)
    try:
        members = ask(partial(_read_json, path="/v2/members"), b"")["members"]
        leader = ask(partial(_read_json, path="/v2/stats/self"), b"")["leaderInfo"]["leader"]
    except RequestRejected:
        members, leader = [], ""
    known = [
        Member(each["name"], tuple(each["clientURLs"]), each["id"] == leader) for each in members
    ]
    return Cluster(version, index, tuple(sorted(known, key=lambda member: member.name)), 0)


def _read_json(client: Client, path: str) -> Any:
    return json.loads(client.api_execute(path, "GET").data)
