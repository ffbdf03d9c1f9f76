"""Writing and reading a key with the standard library only, on either of etcd's HTTP APIs."""

from __future__ import annotations

import base64
import http
from collections.abc import Callable
from typing import Any, Protocol
from urllib.parse import quote, urlencode

from etcd_watcher.errors import ApiNotServed, ConnectionFailed, RequestRejected
from etcd_watcher.keys import to_bytes, to_text
from etcd_watcher.local.gateway import Gateway

__all__ = ["KeyApi", "is_healthy", "key_api", "member_names"]

KEY_NOT_FOUND = 100
"""v2's errorCode for a key that is not there."""


class KeyApi(Protocol):
    """The three things that one does with a key."""

    def put(self, key: str | bytes, value: str | bytes) -> None: ...

    def get(self, key: str | bytes) -> str | None: ...

    def delete(self, key: str | bytes) -> int: ...


class V3Api:
    """v3 through the server's own JSON gateway, which takes keys and values in base64."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway

    def put(self, key: str | bytes, value: str | bytes) -> None:
        """Write a key."""
        self._ask("kv/put", key=_key_bytes(key), value=_value_bytes(value))

    def get(self, key: str | bytes) -> str | None:
        """Read a key; None where there is none."""
        found = self._ask("kv/range", key=_key_bytes(key)).get("kvs", [])
        # The gateway leaves empty fields out: a key with an empty value has no "value".
        return to_text(base64.b64decode(found[0].get("value", ""))) if found else None

    def delete(self, key: str | bytes) -> int:
        """Delete a key; give how many there were."""
        return int(self._ask("kv/deleterange", key=_key_bytes(key)).get("deleted", 0))

    def _ask(self, what: str, **fields: bytes) -> dict[str, Any]:
        texts = {name: base64.b64encode(raw).decode() for name, raw in fields.items()}
        return self._gateway.ask(what, **texts)


class V2Api:
    """v2's `/v2/keys`. Values that are not UTF-8 are lost there: v2 answers in JSON."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway

    def put(self, key: str | bytes, value: str | bytes) -> None:
        """Write a key."""
        self._ask("PUT", key, urlencode({"value": _value_bytes(value)}).encode())

    def get(self, key: str | bytes) -> str | None:
        """Read a key; None where there is none, or a directory."""
        answer = self._ask("GET", key)
        value: str | None = answer["node"].get("value") if answer else None
        return value

    def delete(self, key: str | bytes) -> int:
        """Delete a key; give how many there were."""
        return 1 if self._ask("DELETE", key) else 0

    def _ask(self, method: str, key: str | bytes, body: bytes | None = None) -> dict[str, Any]:
        path = "/v2/keys/" + quote(_v2_key(key))
        status, answer = self._gateway.exchange(method, path, body)
        if answer.get("errorCode") == KEY_NOT_FOUND:
            return {}
        if status == http.HTTPStatus.NOT_FOUND:
            raise ApiNotServed(
                "this server does not serve etcd's v2 API: it was made with v2=False, or it is "
                "etcd 3.6 or later, which removed v2. LocalEtcd(version='3.5') serves both."
            )
        if status not in (http.HTTPStatus.OK, http.HTTPStatus.CREATED):
            raise RequestRejected(f"{method} {key!r}: {answer.get('message')}")
        return answer


def key_api(api: str) -> Callable[[Gateway], KeyApi]:
    """Give what speaks one of the two APIs through a gateway.

    Raises
    ------
    ValueError
        It is neither.
    """
    if api not in ("v2", "v3"):
        raise ValueError(f'api is "v3" or "v2", not {api!r}')
    return V3Api if api == "v3" else V2Api


def is_healthy(gateway: Gateway) -> bool:
    """Ask a server whether it can read and write."""
    try:
        return gateway.exchange("GET", "/health")[1].get("health") == "true"
    except ConnectionFailed:
        return False


def member_names(gateway: Gateway) -> list[str]:
    """Give the names of the members of the cluster to which a server belongs."""
    try:
        _, answer = gateway.exchange("POST", "/v3/cluster/member/list", b"{}")
    except ConnectionFailed:
        return []
    return [member.get("name", "") for member in answer.get("members", [])]


def _key_bytes(key: str | bytes) -> bytes:
    raw = _value_bytes(key)
    if not raw:
        raise ValueError("the key is empty: etcd has no such key")
    return raw


def _value_bytes(value: str | bytes) -> bytes:
    if not isinstance(value, str | bytes):
        raise TypeError(f"keys and values are str or bytes, not {type(value).__name__}: {value!r}")
    return to_bytes(value)


def _v2_key(key: str | bytes) -> bytes:
    """Give the path below `/v2/keys/`: in v2 "nokia" and "/nokia" are one key."""
    raw = _key_bytes(key).removeprefix(b"/")
    if {b"", b".", b".."} & set(raw.split(b"/")):
        # The server would take it for another key, "a//b" for "a/b", without a word.
        raise ValueError(f"v2 has no key {key!r}: its parts between slashes must have names")
    return raw
