"""The users of a `LocalEtcd` or a `LocalCluster`, and what each may read and write."""

from __future__ import annotations

import base64
import http
import json
import secrets
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any
from urllib.parse import quote

from etcd_watcher.errors import RequestRejected
from etcd_watcher.keys import KeyRange, to_bytes
from etcd_watcher.local.gateway import Gateway, Login
from etcd_watcher.secret import Secret, conceal

__all__ = ["Users", "switch_on"]

ROOT = "root"
"""The name of the user and of the role without which etcd lets nobody switch users on."""


class Users:
    """Adds users to a server that was made with `user=`, and changes what they may do.

    Both APIs have the same users: v2 where it is served. Reached as `etcd.users`. All methods raise
    `RequestRejected` where the server refuses, such as for a name that is known already, and
    `ConnectionFailed` where it does not answer.

    Examples
    --------
    >>> with LocalEtcd(user="luis") as etcd:
    ...     etcd.users.add("juan", "secret", read=["news/"])
    ...     juan = Watcher(etcd, user="juan", password="secret")
    """

    def __init__(self, gateway: Callable[[], Gateway], *, v2: bool) -> None:
        self._gateway = gateway
        self._v2 = v2

    def __repr__(self) -> str:
        return f"Users(of 127.0.0.1:{self._gateway().port})"

    def add(
        self, name: str, password: str, *, read: Iterable[str] = (), write: Iterable[str] = ()
    ) -> None:
        """Add a user who may read and write what starts with certain prefixes.

        Parameters
        ----------
        name, password : str
            The new user.
        read, write : iterable of str
            Prefixes: "news/", or "" for everything.
        """
        _check(name, password)
        password = conceal(password)
        reads, writes = _several(read), _several(write)
        self._ask("user/add", name=name, password=password)
        self._ask("role/add", name=name)
        self._ask("user/grant", user=name, role=name)
        if self._v2:
            self._put_v2(f"roles/{quote(name)}", role=name, permissions={"kv": {}})
            self._put_v2(f"users/{quote(name)}", user=name, password=password, roles=[name])
        for prefix in dict.fromkeys([*reads, *writes]):
            self.grant(name, prefix, prefix=True, read=prefix in reads, write=prefix in writes)

    def remove(self, name: str) -> None:
        """Remove a user."""
        self._ask("user/delete", name=name)
        self._ask("role/delete", role=name)
        if self._v2:
            for what in ("users", "roles"):
                _v2(self._gateway(), "DELETE", f"{what}/{quote(name)}")

    def change_password(self, name: str, password: str) -> None:
        """Give a user another password. Who is logged in has to log in again."""
        _check(name, password)
        password = conceal(password)
        self._ask("user/changepw", name=name, password=password)
        if self._v2:
            self._put_v2(f"users/{quote(name)}", user=name, password=password)

    def grant(
        self, name: str, key: str, *, prefix: bool = False, read: bool = True, write: bool = False
    ) -> None:
        """Allow a user a key, or all keys that start with it, from now on."""
        scope = _range(key, prefix=prefix)
        kind = {(True, False): "READ", (False, True): "WRITE", (True, True): "READWRITE"}
        if (read, write) not in kind:
            raise ValueError("read=False and write=False allow nothing: use revoke()")
        perm = {"permType": kind[read, write], **scope}
        try:
            self._ask("role/grant", name=name, perm=perm)
        except RequestRejected as error:
            if "role name not found" not in str(error):
                raise
            raise RequestRejected(
                f"there is no user {name!r} to grant {key!r} to: add it"
            ) from None
        if self._v2:
            patterns = _v2_patterns(key, prefix=prefix)
            allowed = {"read": patterns if read else [], "write": patterns if write else []}
            self._change_v2(name, grant={"kv": allowed})

    def revoke(self, name: str, key: str, *, prefix: bool = False) -> None:
        """Take away what `grant`, or `add`, gave for that very key or prefix."""
        self._ask("role/revoke", role=name, **_range(key, prefix=prefix))
        if self._v2:
            patterns = _v2_patterns(key, prefix=prefix)
            for way in ("read", "write"):
                with suppress(RequestRejected):  # it was only the other
                    self._change_v2(name, revoke={"kv": {way: patterns}})

    def _ask(self, path: str, **fields: Any) -> None:
        self._gateway().ask(f"auth/{path}", **fields)

    def _put_v2(self, path: str, **fields: Any) -> None:
        _v2(self._gateway(), "PUT", path, **fields)

    def _change_v2(self, name: str, **fields: Any) -> None:
        self._put_v2(f"roles/{quote(name)}", role=name, **fields)


def switch_on(gateway: Gateway, user: str, password: str, *, v2: bool) -> Login:
    """Have a server let in nobody but `user`, who may do everything; no harm if it does already.

    Parameters
    ----------
    gateway : Gateway
        Of nobody.
    """
    try:
        gateway.ask("auth/authenticate", name=user, password=password)
    except RequestRejected as error:
        if "not enabled" not in str(error):
            raise
    else:
        return Login(user, password)
    made_up = Secret(secrets.token_urlsafe(12))
    known = {user: password} if user == ROOT else {ROOT: made_up, user: password}
    with suppress(RequestRejected):  # we were interrupted behind this before
        gateway.ask("auth/role/add", name=ROOT)
    for name, word in known.items():
        with suppress(RequestRejected):
            gateway.ask("auth/user/add", name=name, password=word)
        gateway.ask("auth/user/grant", user=name, role=ROOT)
    if v2:
        for name, word in known.items():
            _v2(gateway, "PUT", f"users/{quote(name)}", user=name, password=word, roles=[ROOT])
        _v2(gateway, "PUT", "enable")
        login = Gateway(gateway.port, gateway.timeout, gateway.context, Login(user, password))
        everything = {"kv": {"read": ["/*"], "write": ["/*"]}}
        _v2(login, "PUT", "roles/guest", role="guest", revoke=everything)
    gateway.ask("auth/enable")
    return Login(user, password)


def _v2(gateway: Gateway, method: str, path: str, **fields: Any) -> None:
    status, answer = gateway.exchange(
        method, f"/v2/auth/{path}", json.dumps(fields).encode(), kind="application/json"
    )
    if status >= http.HTTPStatus.BAD_REQUEST:
        raise RequestRejected(f"v2/auth/{path}: {answer.get('message', status)}")


def _check(name: object, password: object) -> None:
    """Refuse what etcd would make half a user of: one that cannot log in."""
    for what, given in (("name", name), ("password", password)):
        if not isinstance(given, str):
            raise TypeError(f"a user's {what} is text, not {type(given).__name__}")
        if not given:
            raise ValueError(f"a user's {what} is empty: give one")


def _several(given: Iterable[str]) -> list[str]:
    if isinstance(given, str):
        raise TypeError(f"read and write take several prefixes: [{given!r}]")
    return list(given)


def _range(key: str, *, prefix: bool) -> dict[str, str]:
    """Give a range as etcd's permissions have it."""
    raw = to_bytes(key)
    scope = KeyRange.of_prefix(raw) if prefix else KeyRange.of_key(raw)
    texts = {"key": base64.b64encode(scope.start or b"\0").decode()}
    if prefix:
        texts["range_end"] = base64.b64encode(b"\0" if scope.end is None else scope.end).decode()
    return texts


def _v2_patterns(key: str, *, prefix: bool) -> list[str]:
    """Give the same for v2: a prefix is a directory there, which it knows with and without it."""
    path = "/" + key.strip("/")
    if not prefix:
        return [path]
    return ["/*"] if path == "/" else [path, f"{path}/*"]
