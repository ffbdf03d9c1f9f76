"""One recorder a member: a plain watch of all keys, begun before the first write."""

from __future__ import annotations

import http.client
import json
import threading
from collections.abc import Callable
from contextlib import closing
from itertools import groupby
from typing import Any

from etcd_watcher.testing import Change
from tests.robustness.access import ANYBODY, Access
from tests.robustness.gateway import Refused, Unanswered, Voice, raw, wired
from tests.robustness.truth import Truth

__all__ = ["Recorder", "V2Recorder", "V3Recorder"]

IDLE = 2.0
"""Seconds without a word after which a recorder asks anew: a paused member says nothing."""

RETRY = 0.05
"""Seconds until a member that does not answer is asked again."""

INDEX_CLEARED = "401"


class Recorder(threading.Thread):
    """Watches all keys of one member, again behind the last revision whenever it breaks.

    Parameters
    ----------
    name : str
        Whose watch it is.
    url : callable
        Gives where the member listens now; another place after each start.
    truth : Truth
        Where it is taken down.
    first : int
        The revision to begin with.
    access : Access
        As whom it comes.
    """

    def __init__(
        self,
        name: str,
        url: Callable[[], str],
        truth: Truth,
        first: int,
        access: Access = ANYBODY,
    ) -> None:
        super().__init__(name=f"recorder-{name}", daemon=True)
        self._url = url
        self._truth = truth
        self._access = access
        self._voice = Voice(IDLE, access)
        self.next = first
        """The revision that comes next."""
        self.lost: list[tuple[int, int]] = []
        """Revisions that this one did not see because the server gave them up."""
        self._end = threading.Event()

    def run(self) -> None:
        while not self._end.is_set():
            try:
                self._follow(self._url())
            except (OSError, http.client.HTTPException, ValueError, Unanswered):
                self._end.wait(RETRY)

    def _follow(self, url: str) -> None:
        raise NotImplementedError

    def _lose(self, until: int) -> None:
        self.lost.append((self.next, until - 1))
        self.next = until

    def close(self) -> None:
        """Stop within a few seconds."""
        self._end.set()
        self.join(3 * IDLE)
        self._voice.close()


class V3Recorder(Recorder):
    """Reads the JSON gateway's watch: one line for each response of the server's."""

    def _follow(self, url: str) -> None:
        create = {
            "key": wired(b"\0"),
            "range_end": wired(b"\0"),
            "start_revision": str(self.next),
        }
        self._voice.forget_token()  # it may be why the last watch ended
        headers = self._voice.headers(url)
        self._voice.close()
        with closing(self._access.connection("v3", url, IDLE)) as connection:
            body = json.dumps({"create_request": create})
            connection.request("POST", "/v3/watch", body, headers)
            response = connection.getresponse()
            while not self._end.is_set():
                line = response.readline()
                if not line:
                    return
                result = json.loads(line).get("result")
                if result is None or not self._take(result):
                    return

    def _take(self, result: dict[str, Any]) -> bool:
        if "compact_revision" in result:
            self._lose(int(result["compact_revision"]))
        if result.get("canceled"):
            return False
        events = result.get("events", [])
        for revision, together in groupby(events, lambda each: int(each["kv"]["mod_revision"])):
            if revision >= self.next:  # etcd before 3.4.24 repeats some
                self._truth.note(self.name, revision, map(_change, together))
                self.next = revision + 1
        return True


def _change(event: dict[str, Any]) -> Change:
    kv = event["kv"]
    deleted = event.get("type") == "DELETE"
    return Change(raw(kv["key"]), None if deleted else raw(kv.get("value", "")))


class V2Recorder(Recorder):
    """Long-polls the v2 API, one change at a time."""

    def _follow(self, url: str) -> None:
        fields = {"wait": "true", "recursive": "true", "waitIndex": str(self.next)}
        try:
            answer, _ = self._voice.v2(url, "GET", "/", fields)
        except Refused as error:
            if error.args[0] == INDEX_CLEARED:
                self._lose(int(error.args[1]["index"]) + 1)
            return
        node = answer["node"]
        index = int(node["modifiedIndex"])
        if index >= self.next:
            renews = answer["action"] in {"set", "create"}
            key = node["key"].encode()
            value = None if "value" not in node else node["value"].encode()
            if not node.get("dir"):
                self._truth.note(self.name, index, [Change(key, value, renews)])
            self.next = index + 1
