"""etcd's v3 API over gRPC: the store, and its unary calls. Its watch is in `v3_watch`."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import grpc

from etcd_watcher.endpoints import Credentials, is_loopback
from etcd_watcher.errors import (
    ApiNotServed,
    Compacted,
    ConnectionFailed,
    RequestRejected,
    StoreClosed,
)
from etcd_watcher.keys import KeyRange
from etcd_watcher.stores import wire
from etcd_watcher.stores.base import KeyValue, Snapshot
from etcd_watcher.stores.v3_watch import V3Watch

__all__ = ["V3Store"]

MESSAGE_BOUND = 64 * 1024 * 1024
"""Largest message we take, in bytes. gRPC's own 4 MiB is too little: one catch-up response of
200,000 small events was 12 MB. A larger one is asked for again in fragments."""

SNAPSHOT_PAGE = 10_000
"""Keys of a snapshot read at a time."""

_METHODS = {
    "range": ("/etcdserverpb.KV/Range", wire.RangeResponse),
    "put": ("/etcdserverpb.KV/Put", wire.PutResponse),
    "delete": ("/etcdserverpb.KV/DeleteRange", wire.DeleteRangeResponse),
    "grant": ("/etcdserverpb.Lease/LeaseGrant", wire.LeaseGrantResponse),
    "time_to_live": ("/etcdserverpb.Lease/LeaseTimeToLive", wire.LeaseTimeToLiveResponse),
    "authenticate": ("/etcdserverpb.Auth/Authenticate", wire.AuthenticateResponse),
    "status": ("/etcdserverpb.Maintenance/Status", wire.StatusResponse),
}


class Connection:
    """One channel to one endpoint, with its calls and its auth token."""

    def __init__(self, endpoint: str, credentials: Credentials) -> None:
        self.endpoint = endpoint
        self._credentials = credentials
        self.channel = _open_channel(endpoint, credentials)
        self.token: str | None = None
        self.calls: dict[str, Any] = {
            name: self.channel.unary_unary(
                path,
                request_serializer=_serialize,
                response_deserializer=response.FromString,
            )
            for name, (path, response) in _METHODS.items()
        }
        self.watch: Any = self.channel.stream_stream(
            "/etcdserverpb.Watch/Watch",
            request_serializer=_serialize,
            response_deserializer=wire.WatchResponse.FromString,
        )

    def call(self, name: str, request: Any, timeout: float) -> Any:
        """Make a call; with a user, log in first, and again once when the token has expired."""
        try:
            return self.calls[name](request, timeout=timeout, metadata=self.metadata(timeout))
        except grpc.RpcError as error:
            if not _is_expired_token(error) or self._credentials.user is None:
                raise self.explain(error) from error
        self.token = None
        try:
            return self.calls[name](request, timeout=timeout, metadata=self.metadata(timeout))
        except grpc.RpcError as error:
            raise self.explain(error) from error

    def metadata(self, timeout: float) -> list[tuple[str, str]]:
        """Give the token of our user, from a login where there is none yet."""
        if self._credentials.user is None:
            return []
        if self.token is None:
            request = wire.AuthenticateRequest(
                name=self._credentials.user, password=self._credentials.password
            )
            try:
                self.token = self.calls["authenticate"](request, timeout=timeout).token
            except grpc.RpcError as error:
                raise self.explain(error) from error
        return [("token", self.token or "")]

    def explain(self, error: grpc.RpcError) -> Exception:
        """Give the error of ours that says what this one of gRPC's means."""
        code, details = error.code(), error.details() or ""
        if code is grpc.StatusCode.CANCELLED:
            return StoreClosed("the connection was closed while a request was under way")
        if code is grpc.StatusCode.UNAVAILABLE:
            return ConnectionFailed.to([self.endpoint], _short(details))
        if code is grpc.StatusCode.DEADLINE_EXCEEDED:
            return ConnectionFailed.to([self.endpoint], "no answer in time")
        if code is grpc.StatusCode.UNIMPLEMENTED:
            return ApiNotServed(
                f"{self.endpoint} does not serve etcd's v3 API ({details}): is it an etcd from "
                'before 3.0? Try api="v2"'
            )
        if code is grpc.StatusCode.OUT_OF_RANGE and "compacted" in details:
            return Compacted(0)
        return RequestRejected(f"{self.endpoint} refused: {details or code}")

    def close(self) -> None:
        self.channel.close()


class V3Store:
    """The v3 API of one etcd cluster, through one endpoint at a time.

    Parameters
    ----------
    endpoints : sequence of str
        URLs of the cluster's members, as `parse_endpoints` gives them.
    credentials : Credentials
        User and certificates.
    prev_values : bool
        Whether events bring the value before. It costs the server one read an event.
    """

    api = "v3"

    def __init__(
        self,
        endpoints: Sequence[str],
        *,
        credentials: Credentials | None = None,
        prev_values: bool = True,
    ) -> None:
        self.endpoints = tuple(endpoints)
        self.prev_values = prev_values
        self.version = ""
        self.fragment_next = False
        """Set by a watch that got a message over `MESSAGE_BOUND`: the next one asks for fragments.
        Never from the start: on a catch-up the server's fragmenting takes time squared in the
        number of events (200,000 came at 8,000/s instead of 280,000/s)."""
        self._credentials = credentials or Credentials()
        self._lock = threading.Lock()
        """Guards the four below."""
        self._index = 0
        self._connection: Connection | None = None
        self._closed = False
        self._readable = b"\0"
        """A key to ask for when only the revision is wanted: the last one that somebody was
        interested in, because our user may have no right to read others."""

    @property
    def endpoint(self) -> str:
        return self.endpoints[self._index]

    def connection(self) -> Connection:
        """Give the connection in use, opened where there is none."""
        with self._lock:
            if self._closed:
                raise StoreClosed("this store is closed")
            if self._connection is None:
                self._connection = Connection(self.endpoint, self._credentials)
            return self._connection

    def connect(self, timeout: float) -> None:
        """Find an endpoint that answers, within `timeout` seconds for all of them together."""
        reasons = []
        for _ in self.endpoints:
            try:
                status = self.connection().call(
                    "status", wire.StatusRequest(), timeout / len(self.endpoints)
                )
            except ConnectionFailed as error:
                reasons.append(f"{self.endpoint}: {error.reason}")
                self.rotate()
            else:
                self.version = status.version
                return
        raise ConnectionFailed.to(self.endpoints, "; ".join(reasons))

    @property
    def progress_is_barrier(self) -> bool:
        """Whether a progress reply comes after every event up to its revision.

        From 3.4.25 and 3.5.8 on it does; before, one in about 1,000 overtook an event under load.
        """
        try:
            parts = tuple(int(part) for part in self.version.split("-")[0].split("."))
        except ValueError:
            return False
        return parts >= (3, 5, 8) or (3, 4, 25) <= parts < (3, 5)

    def key_range(self, key: bytes, *, prefix: bool) -> KeyRange:
        if not key and not prefix:
            raise ValueError('a key is empty: name one, or use prefix=True with "" for all keys')
        scope = KeyRange.of_prefix(key) if prefix else KeyRange.of_key(key)
        self._readable = scope.start or b"\0"
        return scope

    def revision(self, timeout: float) -> int:
        request = wire.RangeRequest(key=self._readable, count_only=True)
        return int(self.connection().call("range", request, timeout).header.revision)

    def newest_in(self, scope: KeyRange, timeout: float) -> tuple[int, int]:
        """Give the newest revision of the live keys in `scope`, and that of the store."""
        request = wire.RangeRequest(
            key=scope.start or b"\0",
            range_end=range_end(scope),
            limit=1,
            sort_order=2,
            sort_target=3,
            keys_only=True,
        )
        reply = self.connection().call("range", request, timeout)
        newest = max((kv.mod_revision for kv in reply.kvs), default=0)
        return newest, int(reply.header.revision)

    def get(self, key: bytes, timeout: float) -> KeyValue | None:
        reply = self.connection().call("range", wire.RangeRequest(key=key), timeout)
        return _key_value(reply.kvs[0]) if reply.kvs else None

    def put(self, key: bytes, value: bytes, ttl: int | None, timeout: float) -> int:
        connection = self.connection()
        lease = 0
        if ttl is not None:
            lease = connection.call("grant", wire.LeaseGrantRequest(TTL=ttl), timeout).ID
        request = wire.PutRequest(key=key, value=value, lease=lease)
        return int(connection.call("put", request, timeout).header.revision)

    def delete(self, key: bytes, timeout: float, *, prefix: bool) -> int:
        scope = self.key_range(key, prefix=prefix)
        request = wire.DeleteRangeRequest(
            key=scope.start or b"\0", range_end=range_end(scope) if prefix else b""
        )
        return int(self.connection().call("delete", request, timeout).deleted)

    def has_lease(self, lease: int, timeout: float) -> bool:
        """Tell whether a lease still lives."""
        request = wire.LeaseTimeToLiveRequest(ID=lease)
        return int(self.connection().call("time_to_live", request, timeout).TTL) >= 0

    def snapshot(self, scope: KeyRange, at: int | None, timeout: float) -> Snapshot:
        # A large read would starve the watch on its connection, so it gets its own.
        connection = Connection(self.endpoint, self._credentials)
        items: list[KeyValue] = []
        revision, start = at or 0, scope.start or b"\0"
        try:
            while True:
                request = wire.RangeRequest(
                    key=start, range_end=range_end(scope), limit=SNAPSHOT_PAGE, revision=revision
                )
                reply = connection.call("range", request, timeout)
                revision = revision or int(reply.header.revision)
                items.extend(map(_key_value, reply.kvs))
                if not reply.more:
                    return Snapshot(revision, items)
                start = items[-1].raw_key + b"\0"
        finally:
            connection.close()

    def watch(self, scope: KeyRange, after: int) -> V3Watch:
        fragment, self.fragment_next = self.fragment_next, False
        return V3Watch(self, self.connection(), scope, after, fragment=fragment)

    def rotate(self) -> None:
        with self._lock:
            connection, self._connection = self._connection, None
            self._index = (self._index + 1) % len(self.endpoints)
        if connection is not None:
            connection.close()

    def close(self) -> None:
        with self._lock:
            self._closed = True
            connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()


def range_end(scope: KeyRange) -> bytes:
    """Give a range's end as etcd writes it: a single NUL for "no end"."""
    return b"\0" if scope.end is None else scope.end


def _serialize(message: Any) -> bytes:
    return bytes(message.SerializeToString())


def _key_value(kv: Any) -> KeyValue:
    return KeyValue(kv.key, kv.value, kv.mod_revision, kv.create_revision, kv.version, kv.lease)


def _is_expired_token(error: grpc.RpcError) -> bool:
    return error.code() is grpc.StatusCode.UNAUTHENTICATED or "invalid auth token" in (
        error.details() or ""
    )


def _short(details: str) -> str:
    """Cut gRPC's long story down to its end, which names the cause."""
    return details.rsplit("; last error: ", 1)[-1].strip() or "unavailable"


def _open_channel(endpoint: str, credentials: Credentials) -> grpc.Channel:
    url = urlsplit(endpoint)
    options: list[tuple[str, Any]] = [
        ("grpc.max_receive_message_length", MESSAGE_BOUND),
        ("grpc.max_send_message_length", -1),
        # A paused server is noticed in 7 s with these two, in 65 s without; keepalive_timeout_ms
        # does nothing, and pings more often than every 5 s are answered with GOAWAY.
        ("grpc.keepalive_time_ms", 5000),
        ("grpc.http2.ping_timeout_ms", 2000),
        ("grpc.max_reconnect_backoff_ms", 1000),
        # Two channels to one endpoint share a socket unless they are told not to, and a large read
        # on one would hold up the watch on the other.
        ("grpc.use_local_subchannel_pool", 1),
    ]
    if is_loopback(endpoint):
        options.append(("grpc.enable_http_proxy", 0))
    target = url.netloc
    if url.scheme == "http":
        return grpc.insecure_channel(target, options=options)
    secrets = [
        None if path is None else Path(path).read_bytes()
        for path in (credentials.ca_cert, credentials.key, credentials.cert)
    ]
    return grpc.secure_channel(target, grpc.ssl_channel_credentials(*secrets), options=options)
