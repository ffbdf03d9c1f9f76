"""Asking one server over HTTP, with the standard library only: JSON in, JSON out.

http.client and not urllib: it knows no proxies, and `http_proxy` is never meant for loopback.
"""

from __future__ import annotations

import base64
import http.client
import json
import ssl
from contextlib import closing
from dataclasses import dataclass, field, replace
from typing import Any

from etcd_watcher.errors import ConnectionFailed, RequestRejected
from etcd_watcher.secret import Secret
from etcd_watcher.stores.v3_login import LOGIN_TRIES, is_old_token

__all__ = ["Gateway", "Login"]


@dataclass(slots=True)
class Login:
    """A user, and the token that a login gave."""

    user: str
    password: str = field(repr=False)
    token: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Gateway:
    """The HTTP side of a server on a port of loopback.

    Attributes
    ----------
    port : int
    timeout : float
        Seconds for a request.
    context : ssl.SSLContext or None
        For TLS.
    login : Login or None
        Whom to be.
    """

    port: int
    timeout: float
    context: ssl.SSLContext | None = None
    login: Login | None = None

    def ask(self, path: str, **fields: Any) -> dict[str, Any]:
        """Make a call of the v3 API through the server's own JSON gateway.

        Raises
        ------
        ConnectionFailed
            No answer in time.
        RequestRejected
            The server refuses.
        """
        status, answer = self._ask(path, fields)
        for _ in range(LOGIN_TRIES if self.login is not None else 0):
            if status == http.HTTPStatus.OK or not is_old_token(_said(answer)):
                break
            self._log_in()
            status, answer = self._ask(path, fields)
        if status != http.HTTPStatus.OK:
            raise RequestRejected(f"{path}: {_said(answer)}")
        return answer

    def exchange(
        self, method: str, path: str, body: bytes | None = None, *, kind: str | None = None
    ) -> tuple[int, dict[str, Any]]:
        """Give the status and the JSON object of an answer; an empty one where it was none.

        Raises
        ------
        ConnectionFailed
            No answer in time.
        """
        headers = {}
        if body is not None:
            headers["Content-Type"] = kind or "application/x-www-form-urlencoded"
        if self.login is not None and path.startswith("/v2"):
            pair = f"{self.login.user}:{self.login.password}".encode()
            headers["Authorization"] = Secret(f"Basic {base64.b64encode(pair).decode()}")
            del pair
        elif self.login is not None and self.login.token is not None:
            headers["Authorization"] = self.login.token
        reason = ""
        with closing(self._connection()) as connection:
            try:
                connection.request(method, path, body, headers)
                response = connection.getresponse()
                text = response.read()
            except (OSError, http.client.HTTPException) as error:
                reason = str(error) or type(error).__name__
        del body  # which may hold a password, as may the frames of an error that came up here
        if reason:
            raise ConnectionFailed.to([self._url], reason)
        try:
            answer = json.loads(text)
        except ValueError:
            answer = {"message": text.decode("utf-8", "replace").strip()} if text else None
        return response.status, answer if isinstance(answer, dict) else {}

    def _ask(self, path: str, fields: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        if self.login is not None and self.login.token is None:
            self._log_in()
        return self.exchange("POST", f"/v3/{path}", json.dumps(fields).encode())

    def _log_in(self) -> None:
        if self.login is not None:
            nobody = replace(self, login=None)
            who = {"name": self.login.user, "password": self.login.password}
            self.login.token = Secret(nobody.ask("auth/authenticate", **who)["token"])

    def _connection(self) -> http.client.HTTPConnection:
        if self.context is None:
            return http.client.HTTPConnection("127.0.0.1", self.port, timeout=self.timeout)
        return http.client.HTTPSConnection(
            "127.0.0.1", self.port, timeout=self.timeout, context=self.context
        )

    @property
    def _url(self) -> str:
        return f"{'http' if self.context is None else 'https'}://127.0.0.1:{self.port}"


def _said(answer: dict[str, Any]) -> str:
    return str(answer.get("message") or answer.get("error"))
