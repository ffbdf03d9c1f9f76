"""One watcher takes over from another, in whatever order the server tells what to which."""

from __future__ import annotations

from collections import deque
from types import SimpleNamespace
from typing import Any

import pytest

from etcd_watcher.errors import ConnectionFailed
from etcd_watcher.event import Event
from etcd_watcher.keys import KeyRange
from etcd_watcher.stores import v3_target, v3_values, wire
from etcd_watcher.stores.v3_watch import V3Watch

ALL = KeyRange.of_prefix(b"")
FIRST, OLD, NEW = 6, 7, 8


class Server:
    """Stands for a connection to one that tells what a test says, in that order."""

    endpoint = "http://127.0.0.1:1"

    def __init__(self) -> None:
        self.script: deque[Any] = deque()
        self.requests: deque[Any] = deque()
        self.watch = SimpleNamespace(begin=lambda **_: self)
        self.finds_values: set[int] = set()
        """The watchers that were asked for with them."""
        self.calls = {"range": SimpleNamespace(begin=self._page)}

    def metadata(self, _: float) -> list[tuple[str, str]]:
        return []

    # The call of the watch.

    def send(self, request: Any) -> None:
        self.requests.append(request)

    def read(self, _: float) -> Any:
        return self.script.popleft()

    def wake(self) -> None:
        pass

    def cancel(self) -> None:
        pass

    # The connection.

    def is_login_over(self, *_: Any, **__: Any) -> bool:
        return False

    def _page(self, request: Any, **_: Any) -> Any:
        """Give all keys as they were at the revision: each is changed at one of its own."""
        page = wire.RangeResponse()
        for revision in range(request.revision + 1, 40):
            kv = page.kvs.add()
            kv.key, kv.value, kv.version = b"k%d" % revision, b"%d" % (revision - 1), 4
        return SimpleNamespace(done=lambda: True, result=lambda: page)

    def tells(self, watch_id: int, *revisions: int) -> None:
        """Tell of a key of its own at each revision, which had existed before."""
        response = wire.WatchResponse(watch_id=watch_id)
        for revision in revisions:
            change = response.events.add()
            change.kv.key = b"k%d" % revision
            change.kv.mod_revision, change.kv.version = revision, 5
            if watch_id in self.finds_values:
                change.prev_kv.value = b"%d" % (revision - 1)
        self.script.append(response)

    def acknowledges(self, watch_id: int, revision: int, refused: str = "") -> None:
        made = wire.WatchResponse(watch_id=watch_id, created=True, cancel_reason=refused)
        made.canceled = bool(refused)
        made.header.revision = revision
        self.script.append(made)

    def cancels(self, watch_id: int) -> None:
        self.script.append(
            wire.WatchResponse(watch_id=watch_id, canceled=True, compact_revision=99)
        )

    def was_asked_for(self) -> list[Any]:
        """Give what was asked of it since it was asked last."""
        requests = list(self.requests)
        self.requests.clear()
        return requests


@pytest.fixture
def server() -> Server:
    return Server()


@pytest.fixture(params=["ours", "the server's"])
def watch(
    server: Server, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> V3Watch:
    """A watch that has asked for a second watcher, having told of revision 11."""
    monkeypatch.setattr(v3_values, "EVENTS_FIRST", 1)
    monkeypatch.setattr(v3_values, "KEYS_FOR_AN_EVENT", 100)
    store: Any = SimpleNamespace(
        prev_values=True,
        readable_parts=lambda scope: [scope],
        progress_is_barrier=True,
        forgets_deletions=request.param == "the server's",
        learn_rights=lambda _: None,
    )
    made = V3Watch(store, server, ALL, 7, fragment=False)  # type: ignore[arg-type]
    ours = request.param == "ours"
    began = OLD if ours else FIRST
    server.finds_values = {began} if ours else {began, NEW}
    server.acknowledges(began, 7)
    assert made.read().opened
    if not ours:
        server.tells(FIRST, 8)
        server.tells(FIRST, 9)
        server.acknowledges(OLD, 9)
        server.tells(OLD, 10)
        server.tells(FIRST, 10)
        assert revisions(made) == [8, 9, 10]
        assert len(server.was_asked_for()) == 3
        monkeypatch.setattr(v3_values, "KNOWN_BYTES", 0)
    server.tells(OLD, 10)
    server.tells(OLD, 11)
    assert revisions(made)[-1] == 11
    *_, asked = server.was_asked_for()
    assert (asked.create_request.start_revision, asked.create_request.prev_kv) == (0, not ours)
    return made


def revisions(watch: V3Watch) -> list[int]:
    """Read until there is no more, and give what was told, having looked at the values before."""
    events: list[Event] = []
    while True:
        try:
            events += watch.read().events
        except IndexError:
            assert all(each.raw_prev_value == b"%d" % (each.revision - 1) for each in events)
            return [event.revision for event in events]


def ends_for_knowing_more(server: Server, watch: V3Watch) -> bool:
    """Tell whether the first cannot go on alone: the watch then ends, and the feed opens another."""
    if NEW not in server.finds_values:
        return False
    with pytest.raises(ConnectionFailed, match="second watcher"):
        revisions(watch)
    return True


def test_it_does_as_soon_as_it_tells_where_all_is_told(server: Server, watch: V3Watch) -> None:
    server.acknowledges(NEW, 11)
    server.tells(OLD, 12)
    server.tells(NEW, 12, 13)
    server.tells(OLD, 13)
    assert revisions(watch) == [12, 13]
    (request,) = server.was_asked_for()
    assert request.cancel_request.watch_id == OLD


def test_it_waits_for_what_the_first_has_still_to_tell(server: Server, watch: V3Watch) -> None:
    server.acknowledges(NEW, 13)
    server.tells(NEW, 14)
    server.tells(NEW, 15)
    server.tells(OLD, 12)
    server.tells(OLD, 13)
    server.tells(NEW, 16)
    server.tells(OLD, 14)
    server.tells(OLD, 15)
    assert revisions(watch) == [12, 13, 14, 15, 16]


def test_what_the_first_has_told_is_not_told_again(server: Server, watch: V3Watch) -> None:
    server.acknowledges(NEW, 12)
    server.tells(NEW, 13)
    server.tells(NEW, 14)
    server.tells(OLD, 12, 13)
    assert revisions(watch) == [12, 13, 14]


def test_a_response_in_fragments_is_told_at_once_when_it_is_whole(
    server: Server, watch: V3Watch
) -> None:
    for revision in (12, 13, 14):
        server.tells(OLD, revision)
    for each in list(server.script)[:2]:
        each.fragment = True
    assert [event.revision for event in watch.read().events] == [12, 13, 14]


@pytest.mark.parametrize("when", ["at once", "later"])
def test_where_the_server_does_not_want_the_second_the_first_goes_on(
    server: Server, watch: V3Watch, when: str
) -> None:
    if when == "at once":
        server.acknowledges(NEW, 12, refused="etcdserver: permission denied")
    else:
        server.acknowledges(NEW, 12)
        server.tells(NEW, 13)
        server.cancels(NEW)
    server.tells(OLD, 12)
    server.tells(OLD, 13)
    if ends_for_knowing_more(server, watch):
        return
    assert revisions(watch) == [12, 13]
    assert not any(each.HasField("create_request") for each in server.was_asked_for())


def test_the_second_is_not_kept_where_the_first_is_far_behind(
    server: Server, watch: V3Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(v3_target, "EARLY_BYTES", 100)
    server.acknowledges(NEW, 30)
    for revision in range(31, 39):
        server.tells(NEW, revision)
    server.tells(OLD, 12)
    if ends_for_knowing_more(server, watch):
        return
    assert revisions(watch) == [12]
    (request,) = server.was_asked_for()
    assert request.cancel_request.watch_id == NEW


def test_what_it_keeps_is_measured_once(
    server: Server, watch: V3Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However much that is: at each of 80,000 responses to measure all before takes minutes."""
    measured: list[int] = []

    def size_of(_: Any) -> int:
        measured.append(1)
        return 1

    monkeypatch.setattr(v3_target, "size_of", size_of)
    server.acknowledges(NEW, 11)
    for revision in range(12, 32):
        server.tells(NEW, revision)
    assert revisions(watch) == []
    assert len(measured) == 20


def test_the_second_is_not_kept_where_an_old_server_feeds_it_history(
    server: Server, watch: V3Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A compaction between two feedings may take deletions along, and nobody would know."""
    monkeypatch.setattr(watch._store, "forgets_deletions", True)
    monkeypatch.setattr(v3_target, "CATCH_UP_REVISIONS", 3)
    server.acknowledges(NEW, 12)
    server.tells(NEW, 13, 14, 15)
    server.tells(OLD, 12)
    server.tells(OLD, 13)
    if ends_for_knowing_more(server, watch):
        return
    assert revisions(watch) == [12, 13]
    (request,) = server.was_asked_for()
    assert request.cancel_request.watch_id == NEW


def test_another_target_meanwhile_has_watchers_of_its_own(server: Server, watch: V3Watch) -> None:
    watch.retarget(KeyRange.of_prefix(b"k"), 11)
    server.acknowledges(NEW, 13)
    server.tells(NEW, 14)
    server.tells(OLD, 12)
    server.acknowledges(9, 11)
    assert watch.read().opened
    first, second, third = server.was_asked_for()
    assert first.cancel_request.watch_id == OLD
    assert (second.create_request.start_revision, second.create_request.prev_kv) == (12, True)
    assert third.cancel_request.watch_id == NEW


@pytest.mark.parametrize("when", ["before", "after"])
def test_the_second_is_complete_only_as_far_as_the_first_had_to_be(
    server: Server, watch: V3Watch, when: str
) -> None:
    (part,) = watch._target.parts
    if when == "before":
        part.raise_floor(20)
    server.acknowledges(NEW, 11)
    server.tells(NEW, 12)
    server.tells(OLD, 12)
    assert revisions(watch) == [12]
    if when == "after":
        part.raise_floor(20)
    (now,) = watch._target.parts
    assert now is not part
    now.behind_since = None
    assert now.may_be_behind
