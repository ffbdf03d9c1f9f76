"""A channel to one endpoint of etcd's v3 API: its calls, its token, and what its errors mean."""

from __future__ import annotations

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
from etcd_watcher.stores import wire

__all__ = ["MESSAGE_BOUND", "Connection"]

MESSAGE_BOUND = 64 * 1024 * 1024
"""Largest message we take, in bytes. gRPC's own 4 MiB is too little: one catch-up response of
200,000 small events was 12 MB. A larger one is asked for again in fragments."""

_METHODS = {
    "range": ("/etcdserverpb.KV/Range", wire.RangeResponse),
    "put": ("/etcdserverpb.KV/Put", wire.PutResponse),
    "delete": ("/etcdserverpb.KV/DeleteRange", wire.DeleteRangeResponse),
    "txn": ("/etcdserverpb.KV/Txn", wire.TxnResponse),
    "grant": ("/etcdserverpb.Lease/LeaseGrant", wire.LeaseGrantResponse),
    "time_to_live": ("/etcdserverpb.Lease/LeaseTimeToLive", wire.LeaseTimeToLiveResponse),
    "authenticate": ("/etcdserverpb.Auth/Authenticate", wire.AuthenticateResponse),
    "user": ("/etcdserverpb.Auth/UserGet", wire.UserGetResponse),
    "role": ("/etcdserverpb.Auth/RoleGet", wire.RoleGetResponse),
    "members": ("/etcdserverpb.Cluster/MemberList", wire.MemberListResponse),
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
        except ValueError as error:  # gRPC's word for a channel that was closed before the call
            raise StoreClosed("the connection was closed before a request") from error
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


def _serialize(message: Any) -> bytes:
    return bytes(message.SerializeToString())


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
