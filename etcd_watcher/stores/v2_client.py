"""What we ask of python-etcd: its client over our connection, and each question that we have."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode, urlsplit

import etcd

from etcd_watcher.errors import ApiNotServed, Denied, RequestRejected
from etcd_watcher.keys import to_bytes
from etcd_watcher.stores.base import KeyValue
from etcd_watcher.stores.v2_http import Connection, Reply
from etcd_watcher.stores.v2_keys import NO_KEY, Place, is_hidden, quote
from etcd_watcher.stores.v2_wire import TransportFailed

__all__ = [
    "NOT_THERE",
    "Client",
    "EmptyAnswer",
    "Listing",
    "delete",
    "explain",
    "find_change",
    "list_place",
    "read_index",
]

NOT_THERE = (etcd.EtcdKeyNotFound, etcd.EtcdNotDir)
"""There is no such key; or one above it is a key, and not a directory."""

OK, NOT_FOUND, SERVER_ERROR = 200, 404, 500
"""HTTP's statuses."""

DEEPEST = 63
"""Polls that are sent at once with a first, while we are behind: 12,000 changes/s then instead of
4,000 (etcd 3.5, with both of two cores for us and etcd)."""

LEADERLESS = {300, 301, 400}
"""Error codes of a member that cannot serve for now, where another could."""


class EmptyAnswer(Exception):
    """A poll ended without a change: because we half-closed, or because the server is leaving."""


class Client(etcd.Client):  # type: ignore[misc]  # python-etcd has no types
    """python-etcd's client, over a `Connection` of ours.

    Attributes
    ----------
    index : int
        The newest index that the last answer told of; 0 if there was none.
    asks_ahead : bool
        Whether several polls are sent at once while we are behind.
    """

    http: Connection

    def __init__(self, connection: Connection) -> None:
        parts = urlsplit(connection.url)
        host = parts.hostname or ""
        super().__init__(
            host=f"[{host}]" if ":" in host else host,
            port=parts.port,
            protocol=parts.scheme,
            allow_redirect=False,  # a canonical key gets none, and another host was never checked
        )
        self.http = connection
        self.index = 0
        self.asks_ahead = True
        self._ahead = 0
        """How many polls for the next indices go out with a poll."""
        self._is_dense = False
        """Whether the last change had the very index that was polled for."""

    def api_execute(
        self,
        path: str,
        method: str,
        params: dict[str, Any] | None = None,
        timeout: float | None = None,  # noqa: ARG002 - the connection has a deadline
    ) -> Reply:
        """Carry out a request. python-etcd's own logs each failure, and may try elsewhere."""
        params = params or {}
        query = urlencode(params)
        if method == self._MPUT:
            reply = self.http.exchange(method, path, query)
        else:
            index = params.get("waitIndex", 0)
            ahead = (
                f"{path}?{urlencode(params | {'waitIndex': each})}"
                for each in range(index + 1, index + 1 + self._ahead)
            )
            polls = "wait" in params
            reply = self.http.exchange(method, f"{path}?{query}", polls=polls, ahead=ahead)
        self.index = int(reply.headers.get("x-etcd-index", 0))
        if reply.status == OK and not reply.data:
            raise EmptyAnswer
        if reply.status == NOT_FOUND and not reply.data.startswith(b"{"):
            raise ApiNotServed(
                f"{self.http.url} does not serve etcd's v2 API: start etcd with --enable-v2 "
                '(3.4 and 3.5; 3.6 has removed it), or use api="v3"'
            )
        answer: Reply = self._handle_server_response(reply)
        return answer

    def poll(self, place: Place, after: int) -> Any:
        """Give the first change in a place behind an index: an `EtcdResult`."""
        try:
            change = self.watch(place.url, index=after + 1, recursive=place.recursive or None)
        except BaseException:
            self._ahead = 0
            raise
        behind = self.index - change.modifiedIndex
        self._is_dense = change.modifiedIndex == after + 1
        if self.asks_ahead and self._is_dense and behind > 0:
            self._ahead = min(2 * self._ahead + 1, behind, DEEPEST)
        else:
            # Where changes of others lie between, most answers would repeat each other.
            self._ahead = 0
        return change

    @property
    def has_next(self) -> bool:
        """Whether the next change is here, so that `poll` does not have to wait for it."""
        return self._is_dense and self.http.has_answer


def explain(
    error: etcd.EtcdException, endpoint: str, path: bytes, user: str | None = None
) -> Exception:
    """Give the error of ours that says what this one of python-etcd's means, to this user."""
    answer = error.payload if isinstance(error.payload, dict) else {}
    told = f"{answer.get('message', error)} ({answer.get('cause', 'no cause given')})"
    if isinstance(error, etcd.EtcdInsufficientPermissions):
        shown = path.removesuffix(NO_KEY).decode() or "/"
        if user is None:
            return Denied(
                f"{endpoint}: no permission for {shown!r} without a user: give user= and password="
            )
        return Denied(
            f"{endpoint}: no permission for {shown!r} as user {user!r}. Check the user, the "
            "password, and the roles of the user."
        )
    status = answer.get("status", SERVER_ERROR)
    if status >= SERVER_ERROR or answer.get("errorCode") in LEADERLESS:
        return TransportFailed(told, sent=True)
    return RequestRejected(f"{endpoint} refused {path.decode() or '/'!r}: {told}")


@dataclass(frozen=True, slots=True)
class Listing:
    """What is in a place, at one index: the server reads a tree and its index under one lock.

    Attributes
    ----------
    index : int
        That index.
    is_directory : bool
        Whether the path is a directory.
    children : list of bytes
        The names at its top, if so.
    items : list of KeyValue
        The key at the path, or every key in the directory.
    """

    index: int
    is_directory: bool
    children: list[bytes]
    items: list[KeyValue]


def list_place(client: Client, place: Place) -> Listing:
    """Read a place with a quorum."""
    try:
        found = client.read(place.url, recursive=place.recursive, quorum=True)
    except NOT_THERE as error:
        return Listing(error.payload["index"], is_directory=False, children=[], items=[])
    if not found.dir:
        items = [] if place.recursive else [_key_value(vars(found))]
        return Listing(found.etcd_index, is_directory=False, children=[], items=items)
    # The raw nodes: python-etcd's `leaves` makes an object of each, at several times the cost.
    nodes = list(found._children)  # noqa: SLF001
    children = [to_bytes(node["key"]) for node in nodes]
    items = []
    while place.recursive and nodes:
        node = nodes.pop()
        if node.get("dir"):
            nodes += node.get("nodes", ())
        else:
            items.append(_key_value(node))
    return Listing(found.etcd_index, is_directory=True, children=children, items=items)


def _key_value(node: dict[str, Any]) -> KeyValue:
    return KeyValue(
        raw_key=to_bytes(node["key"]),
        raw_value=to_bytes(node["value"]),
        revision=node["modifiedIndex"],
        created=node["createdIndex"],
        version=0,
        lease=0,
    )


def read_index(client: Client, key: bytes) -> int:
    """Read the newest index with a quorum, by reading a key that need not be there."""
    try:
        return int(client.read(quote(key), quorum=True).etcd_index)
    except NOT_THERE as error:
        return int(error.payload["index"])


def find_change(client: Client, place: Place, after: int, until: int) -> int | None:
    """Look at each change behind `after`, up to `until`, until one is in a place.

    Returns
    -------
    int or None
        Its index; 0 where there is none; None where a poll may be told of one, or not.
    """
    index = after
    while index < until:
        change = client.watch("/", index=index + 1, recursive=True)
        index = int(change.modifiedIndex)
        key = to_bytes(change.key)
        if key in place and not is_hidden(key):
            return index
        if change.dir and place.path.startswith(key):
            return None
    return 0


def delete(client: Client, place: Place) -> int:
    """Delete a key, or a directory with all that is in it; give how many changes that was."""
    try:
        client.delete(place.url, recursive=place.recursive)
    except (*NOT_THERE, etcd.EtcdNotFile):  # no such key; or it is a directory
        return 0
    return 1
