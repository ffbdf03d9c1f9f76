"""A channel to one endpoint of etcd's v3 API: its calls, its token, and what its errors mean."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import count
from typing import Any
from urllib.parse import urlsplit

from etcd_watcher.deadline import seconds_left
from etcd_watcher.endpoints import Credentials
from etcd_watcher.errors import (
    ApiNotServed,
    Compacted,
    ConnectionFailed,
    Denied,
    RequestRejected,
    StoreClosed,
)
from etcd_watcher.secret import Secret
from etcd_watcher.stores import wire
from etcd_watcher.stores.diagnosis import diagnose
from etcd_watcher.stores.http2_link import Route
from etcd_watcher.stores.proxies import proxy_to
from etcd_watcher.stores.rpc import Channel, ChannelClosed, Metadata, RpcError, StatusCode
from etcd_watcher.stores.tls import tls_context
from etcd_watcher.stores.v3_login import LOGIN_OVER, LOGIN_TRIES, Login, is_old_token
from etcd_watcher.stores.v3_response import Response
from etcd_watcher.stores.v3_words import did_nothing, gave_up, is_late, plain, wants_leader

__all__ = [
    "MESSAGE_BOUND",
    "NEEDS_LEADER",
    "Connection",
    "Metadata",
    "RequestFailed",
]

MESSAGE_BOUND = 64 * 1024 * 1024
"""Largest message we take, in bytes. The 4 MiB of gRPC's own library are too little: one catch-up response of
200,000 small events was 12 MB. A larger one is asked for again in fragments."""

ADVICE = {
    "user name is empty": ": it has users, give user= and password=",
    "authentication is not enabled": ": it has no users, leave out user= and password=",
    "invalid user ID or password": ": check user= and password=",
}
"""What to do, for what the server says."""

CONNECTING = 3.0
"""Seconds that an endpoint has to answer to connecting, TLS and all."""

LOGIN_PAUSE = 0.05
"""Seconds until the next login, where several in a row did not last until they were used."""

NEEDS_LEADER: Metadata = [("hasleader", "true")]
"""Has a member that has lost its leader say so at once, before it does anything. Else it is silent
until time is up, and nobody knows then what it has done."""

ANSWERED_ALONE = frozenset({"status", "members"})
"""What a member answers without a leader."""

_METHODS = {
    "range": ("/etcdserverpb.KV/Range", wire.RangeResponse),
    "put": ("/etcdserverpb.KV/Put", wire.PutResponse),
    "delete": ("/etcdserverpb.KV/DeleteRange", wire.DeleteRangeResponse),
    "txn": ("/etcdserverpb.KV/Txn", wire.TxnResponse),
    "grant": ("/etcdserverpb.Lease/LeaseGrant", wire.LeaseGrantResponse),
    "revoke": ("/etcdserverpb.Lease/LeaseRevoke", wire.LeaseRevokeResponse),
    "time_to_live": ("/etcdserverpb.Lease/LeaseTimeToLive", wire.LeaseTimeToLiveResponse),
    "authenticate": ("/etcdserverpb.Auth/Authenticate", wire.AuthenticateResponse),
    "user": ("/etcdserverpb.Auth/UserGet", wire.UserGetResponse),
    "role": ("/etcdserverpb.Auth/RoleGet", wire.RoleGetResponse),
    "members": ("/etcdserverpb.Cluster/MemberList", wire.MemberListResponse),
    "status": ("/etcdserverpb.Maintenance/Status", wire.StatusResponse),
}


class RequestFailed(ConnectionFailed):
    """A request had no answer.

    Attributes
    ----------
    endpoint : str
        Where it was to go.
    sent : bool
        Whether it may have been carried out.
    late : bool
        Whether there was no answer in time; else the connection is broken.
    will_pass : bool
        Whether the endpoint said so itself, for want of a leader: it may answer in a moment.
    """

    endpoint: str
    sent = True
    late = False
    will_pass = False


class Connection:
    """One channel to one endpoint, with its calls.

    Parameters
    ----------
    login : Login, optional
        Of our user, where it is shared with other connections.
    """

    def __init__(self, endpoint: str, credentials: Credentials, login: Login | None = None) -> None:
        self.endpoint = endpoint
        self._credentials = credentials
        self._login = login or Login(credentials.user)
        self._proxy = proxy_to(endpoint)
        self._met = False
        """Whether the endpoint has answered on this channel, whatever."""
        self.channel = Channel(self._route(), connecting=CONNECTING, bound=MESSAGE_BOUND)
        method = self.channel.method
        self.calls: dict[str, Any] = {
            name: method(path, response.FromString) for name, (path, response) in _METHODS.items()
        }
        self.watch: Any = method("/etcdserverpb.Watch/Watch", wire.WatchResponse.FromString)
        self.history: Any = method("/etcdserverpb.Watch/Watch", Response)
        """A watch, too, whose responses are not read before somebody wants what they tell."""
        self.database: Any = method(
            "/etcdserverpb.Maintenance/Snapshot", wire.SnapshotResponse.FromString
        )

    def _route(self) -> Route:
        url, context = urlsplit(self.endpoint), None
        if url.scheme == "https":
            context = tls_context(self._credentials)
            context.set_alpn_protocols(["h2"])
        proxy = None if self._proxy is None else self._proxy.given
        return Route(url.hostname or "", url.port or 0, context, proxy)

    def call(self, name: str, request: Any, timeout: float) -> Any:
        """Make a call; with a user, log in first, and again where the login has expired."""
        deadline = time.monotonic() + timeout
        for tries in count(1):
            remaining = seconds_left(deadline)
            metadata = self.metadata(remaining)
            asked = metadata if name in ANSWERED_ALONE else [*NEEDS_LEADER, *metadata]
            try:
                answer = self.calls[name](request, timeout=remaining, metadata=asked)
            except RpcError as error:
                over = self.is_login_over(error, metadata)
                if not over or time.monotonic() + LOGIN_PAUSE > deadline:
                    raise self.explain(error) from error
                if tries >= LOGIN_TRIES:
                    time.sleep(LOGIN_PAUSE)
            else:
                self._met = True
                return answer
        raise AssertionError  # unreachable

    def meet(self, timeout: float) -> None:
        """See to it that the endpoint is there, and knows our user, before a write goes to it.

        It has half of the time for that, and what fails here was never sent: there are others to ask.
        A connection alone does not say so: a proxy takes one where no endpoint is behind it, and what
        fails there counts as sent.
        """
        deadline = time.monotonic() + timeout
        self.metadata(timeout)
        if not self._met:
            self._greet(seconds_left(deadline))

    def _greet(self, timeout: float) -> None:
        try:
            self.calls["status"](wire.StatusRequest(), timeout=timeout)
        except RpcError as error:
            failure = self._explain_unsent(error)
            if not isinstance(failure, RequestRejected):  # which is an answer, too
                raise failure from error
        self._met = True

    def _explain_unsent(self, error: RpcError) -> Exception:
        """Give the error of ours for a request to which nothing else was joined."""
        failure = self.explain(error)
        if isinstance(failure, StoreClosed):
            return ChannelClosed()
        if isinstance(failure, RequestFailed):
            failure.sent = False
        return failure

    def begin(
        self, name: str, requests: Sequence[Any], timeout: float
    ) -> Iterator[Callable[[], Any]]:
        """Make several calls at once; give for each what waits for its answer, as `call` does."""
        metadata = self.metadata(timeout)
        begin = self.calls[name].begin
        calls = [begin(each, timeout=timeout, metadata=metadata) for each in requests]
        for request, call in zip(requests, calls, strict=True):
            yield partial(self._end, call, metadata, partial(self.call, name, request, timeout))

    def _end(self, call: Any, metadata: Metadata, again: Callable[[], Any]) -> Any:
        """Wait for an answer, and ask again where an old login was refused."""
        try:
            return call.result()
        except RpcError as error:
            if self.is_login_over(error, metadata):
                return again()
            raise self.explain(error) from error

    def metadata(self, timeout: float) -> Metadata:
        """Give the token of our user, from a login where there is none yet."""
        try:
            token = self._login.token(self.endpoint, lambda: self._log_in(timeout), timeout)
        except TimeoutError as error:  # somebody else's login took too long
            raise self.failed(str(error), sent=False, late=True) from error
        return [] if token is None else [("token", token)]

    def is_login_over(
        self, refusal: RpcError | str, metadata: Metadata, *, of_watch: bool = False
    ) -> bool:
        """Tell whether a request was refused for want of a new login, which comes with the next.

        Parameters
        ----------
        refusal : RpcError or str
            What the server says.
        metadata : list
            What the request was made with.
        of_watch : bool
            Whether it asked for a watcher: etcd 3.5.1 then says "permission denied" of everything,
            of an old token, too.
        """
        told = refusal if isinstance(refusal, str) else refusal.details
        if not metadata or not (is_old_token(told) or (of_watch and "permission denied" in told)):
            return False
        self._login.forget(dict(metadata)["token"])
        return True

    def _log_in(self, timeout: float) -> str:
        log_in, user = self.calls["authenticate"], self._credentials
        try:
            reply = log_in(
                wire.AuthenticateRequest(name=user.user, password=user.password),
                timeout=timeout,
                metadata=NEEDS_LEADER,
            )
        except ChannelClosed:
            failure: Exception = ChannelClosed()
        except RpcError as error:
            failure = self._explain_unsent(error)
        else:
            self._met = True
            return Secret(reply.token)
        raise failure  # out here, so that it does not lead to the frames with the request

    def explain(self, error: RpcError) -> Exception:
        """Give the error of ours that says what this one of a call means."""
        code, details = error.code, error.details
        if error.by_us:
            return StoreClosed("the connection was closed while a request was under way")
        if error.lost or code in {StatusCode.UNAVAILABLE, StatusCode.CANCELLED} or gave_up(details):
            return self.failed(
                self._proxied(plain(details)),
                sent=error.sent and not did_nothing(details),
                will_pass=wants_leader(details),
            )
        late = code is StatusCode.DEADLINE_EXCEEDED or is_late(details)
        if late or is_old_token(details):
            reason = self._proxied("no answer in time") if late else f"{LOGIN_OVER} ({details})"
            return self.failed(reason, sent=late and error.sent, late=True)
        if code is StatusCode.UNIMPLEMENTED:
            return ApiNotServed(
                f"{self.endpoint} does not serve etcd's v3 API ({details}): is it an etcd from "
                'before 3.0? Try api="v2". Or is it no etcd, or a proxy on the way?'
            )
        if code is StatusCode.OUT_OF_RANGE and "compacted" in details:
            return Compacted(0)
        advice = next((each for said, each in ADVICE.items() if said in details), "")
        if "invalid user ID or password" in details:
            advice += f" (user={self._credentials.user!r})"
        denied = code is StatusCode.PERMISSION_DENIED and not error.page
        refused = Denied if denied else RequestRejected
        return refused(f"{self.endpoint} refused: {details or code}{advice}")

    def failed(
        self, reason: str, *, sent: bool = True, late: bool = False, will_pass: bool = False
    ) -> RequestFailed:
        """Give the error of a request that had no answer, for this reason."""
        error = RequestFailed.to([self.endpoint], reason)
        error.endpoint, error.sent = self.endpoint, sent
        error.late, error.will_pass = late, will_pass
        return error

    def diagnose(self, reason: str, timeout: float) -> str:
        """Say what keeps us from talking to the endpoint: `reason` where nothing better is found.

        It tries by itself, for `timeout` seconds at the most.
        """
        if self._proxy is not None:  # which goes another way than we would
            return reason
        return diagnose(self.endpoint, self._credentials, timeout) or reason

    def _proxied(self, reason: str) -> str:
        if self._proxy is None:
            return reason
        host = urlsplit(self.endpoint).hostname
        return (
            f"{reason} (through the proxy {self._proxy.url}, which the variable {self._proxy.name} "
            f"names: to go directly, have {host} in NO_PROXY)"
        )

    @property
    def is_over(self) -> bool:
        """Whether nothing comes of it any more, once it was closed or retired."""
        return self.channel.is_over

    def retire(self) -> None:
        """Take no more requests, and end with the last of those that are under way."""
        self.channel.retire()

    def close(self) -> None:
        """End it, and all that is under way."""
        self.channel.close()
