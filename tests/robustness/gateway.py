"""Speaking with one etcd member as JSON over HTTP: nothing of what is being tested has a part in it.

Writers and recorders are here to know the truth. They use the server's own JSON gateway (v3) and
its v2 API, on the standard library alone, straight at the member and past the cluster's proxy.
"""

from __future__ import annotations

import base64
import http.client
import json
from typing import Any
from urllib.parse import quote, urlencode

from tests.robustness.access import ANYBODY, OWNER, Access

__all__ = ["Refused", "Unanswered", "Voice", "raw", "wired"]


LOGINS = 5
"""How often a request is made for which a token has just come to its end. The end of one that lasts
1 s is cut down to a whole second."""

TOKEN_IS_OLD = ("invalid auth token", "auth store is old", "revision in header is old")


class Unanswered(Exception):
    """There was no answer: what was asked for may have been done, or may be done yet."""


class Refused(Exception):
    """The server answered that it did not do it."""


class Voice:
    """One connection to one member, opened again when it breaks. For one thread.

    Parameters
    ----------
    timeout : float
        Seconds to wait for an answer.
    access : Access
        As whom it speaks.
    """

    def __init__(self, timeout: float, access: Access = ANYBODY) -> None:
        self._timeout = timeout
        self._access = access
        self._token = ""
        self._place = ("", "")
        """The API and the URL that the connection is for."""
        self._connection: http.client.HTTPConnection | None = None

    def v3(self, url: str, path: str, fields: dict[str, Any]) -> dict[str, Any]:
        """Make a call of the v3 API."""
        for _ in range(LOGINS):
            headers = self.headers(url)
            status, text = self._ask("v3", url, "POST", f"/v3/{path}", json.dumps(fields), headers)
            answer: dict[str, Any] = _parsed(text)
            if status == http.HTTPStatus.OK:
                return answer
            said = str(answer.get("message") or answer.get("error"))
            if not self._token or not any(each in said for each in TOKEN_IS_OLD):
                break
            self.forget_token()
        # Of a request that timed out or lost its leader etcd itself does not know.
        raise (Unanswered if status >= http.HTTPStatus.INTERNAL_SERVER_ERROR else Refused)(said)

    def headers(self, url: str) -> dict[str, str]:
        """Give what says who we are, after a login where that is needed."""
        password = self._access.password
        if password is None:
            return {}
        if not self._token:
            who = json.dumps({"name": OWNER, "password": password})
            _, text = self._ask("v3", url, "POST", "/v3/auth/authenticate", who, {})
            self._token = str(_parsed(text).get("token", ""))
            if not self._token:
                raise Unanswered("no login")  # nothing was asked for yet, but that is rare
        return {"Authorization": self._token}

    def forget_token(self) -> None:
        """Log in anew next time."""
        self._token = ""

    def v2(
        self, url: str, method: str, key: str, fields: dict[str, str]
    ) -> tuple[dict[str, Any], int]:
        """Make a call of the v2 API, and give the answer with the server's index."""
        path, body = f"/v2/keys{quote(key)}", urlencode(fields)
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        if method != "PUT":
            path, body, headers = f"{path}?{body}", "", {}
        status, text = self._ask("v2", url, method, path, body, headers)
        answer = _parsed(text)
        if status >= http.HTTPStatus.INTERNAL_SERVER_ERROR or not answer:
            raise Unanswered(str(answer))
        if status >= http.HTTPStatus.BAD_REQUEST:
            raise Refused(str(answer.get("errorCode")), answer)
        return answer, self.index

    index = 0
    """v2's index, as the last answer told it."""

    def _ask(
        self, api: str, url: str, method: str, path: str, body: str, headers: dict[str, str]
    ) -> tuple[int, bytes]:
        try:
            if self._connection is None or (api, url) != self._place:
                self.close()
                self._place = (api, url)
                self._connection = self._access.connection(api, url, self._timeout)
            self._connection.request(method, path, body or None, headers)
            response = self._connection.getresponse()
            text = response.read()
        except (OSError, http.client.HTTPException) as error:
            self.close()
            raise Unanswered(repr(error)) from error
        self.index = int(response.headers.get("X-Etcd-Index", 0))
        return response.status, text

    def close(self) -> None:
        """Close the connection."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def _parsed(text: bytes) -> dict[str, Any]:
    try:
        answer = json.loads(text)
    except ValueError:
        return {}
    return answer if isinstance(answer, dict) else {}


def wired(value: bytes) -> str:
    """Give bytes as JSON has them."""
    return base64.b64encode(value).decode()


def raw(text: str) -> bytes:
    """Give the bytes that JSON has."""
    return base64.b64decode(text)
