"""Asking one server over HTTP, with the standard library only: JSON in, JSON out.

http.client and not urllib: it knows no proxies, and `http_proxy` is never meant for loopback.
"""

from __future__ import annotations

import http.client
import json
from contextlib import closing
from dataclasses import dataclass
from typing import Any

from etcd_watcher.errors import ConnectionFailed, RequestRejected

__all__ = ["Gateway"]


@dataclass(frozen=True, slots=True)
class Gateway:
    """The HTTP side of a server on a port of loopback.

    Attributes
    ----------
    port : int
    timeout : float
        Seconds for a request.
    """

    port: int
    timeout: float

    def ask(self, path: str, **fields: Any) -> dict[str, Any]:
        """Make a call of the v3 API through the server's own JSON gateway.

        Raises
        ------
        ConnectionFailed
            No answer in time.
        RequestRejected
            The server refuses.
        """
        status, answer = self.exchange("POST", f"/v3/{path}", json.dumps(fields).encode())
        if status != http.HTTPStatus.OK:
            raise RequestRejected(f"{path}: {answer.get('message') or answer.get('error')}")
        return answer

    def exchange(
        self, method: str, path: str, body: bytes | None = None
    ) -> tuple[int, dict[str, Any]]:
        """Give the status and the JSON object of an answer; an empty one where it was none.

        Raises
        ------
        ConnectionFailed
            No answer in time.
        """
        headers = {} if body is None else {"Content-Type": "application/x-www-form-urlencoded"}
        with closing(
            http.client.HTTPConnection("127.0.0.1", self.port, timeout=self.timeout)
        ) as connection:
            try:
                connection.request(method, path, body, headers)
                response = connection.getresponse()
                text = response.read()
            except (OSError, http.client.HTTPException) as error:
                reason = str(error) or type(error).__name__
                raise ConnectionFailed.to([f"http://127.0.0.1:{self.port}"], reason) from error
        try:
            answer = json.loads(text)
        except ValueError:
            answer = None
        return response.status, answer if isinstance(answer, dict) else {}
