"""A server that goes and comes back: the feed goes on where it stood."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from etcd_watcher import Event, Gap, LocalEtcd, Recording, Status, Watcher
from tests.watcher.conftest import News


@pytest.fixture
def server() -> Iterator[LocalEtcd]:
    """A server of the test's own."""
    with LocalEtcd(version="3.5") as made:
        yield made


@pytest.mark.parametrize("stop", ["restart", "kill"])
def test_nothing_is_lost_or_told_twice_over_a_restart(
    server: LocalEtcd, api: str, news: News, stop: str
) -> None:
    with Watcher(server.url, api=api) as watcher:
        watcher.register("key", news, "tell")
        for number in range(10):
            server.put("key", f"before {number}", api=api)
        if stop == "restart":
            server.restart()
        else:
            server.kill()
            server.start()
        for number in range(10):
            server.put("key", f"after {number}", api=api)
        watcher.sync()
        assert news.values == [
            f"{when} {number}" for when in ("before", "after") for number in range(10)
        ]
        assert watcher.status.state == "connected"


def test_the_status_tells_of_the_loss_and_the_journal_keeps_it(
    server: LocalEtcd, api: str, news: News
) -> None:
    with Watcher(server.url, api=api) as watcher:
        watcher.register("key", news, "tell")
        assert watcher.status == Status("connected", server.url)
        server.kill()
        cursor = watcher.journal.cursor(since=0)
        while watcher.status.state == "connected":
            assert cursor.wait(10)
            cursor.read()
        lost = watcher.status
        assert (lost.state, lost.endpoint) == ("reconnecting", server.url)
        assert lost.reason
        assert lost.next_try is not None
        server.start()
        watcher.sync()  # nothing was written meanwhile: that can be told without a connection
        while watcher.status.state != "connected":
            assert cursor.wait(10)
            cursor.read()
        states = [each.state for each in watcher.journal if isinstance(each, Status)]
        assert states == ["reconnecting", "connected"]


def test_a_key_can_be_registered_after_a_reconnect(server: LocalEtcd, api: str, news: News) -> None:
    with Watcher(server.url, api=api) as watcher:
        watcher.add_key("first")
        server.restart()
        watcher.sync()
        watcher.register("second", news, "tell")
        watcher.put("second", "x")
        watcher.sync()
        assert news.values == ["x"]


def test_a_server_that_comes_back_with_other_data_is_a_gap_and_told_anew(
    server: LocalEtcd, api: str, news: News
) -> None:
    with Watcher(server.url, api=api) as watcher:
        watcher.register(["gone", "stays"], news, "tell")
        for number in range(10):
            server.put("gone", str(number), api=api)
            server.put("stays", str(number), api=api)
        watcher.sync()
        seen = watcher.revision
        news.told.clear()
        server.stop()
        server.start()  # without its data
        server.put("stays", "new", api=api)
        watcher.sync()
        (gap,) = [each for each in watcher.journal if isinstance(each, Gap)]
        assert gap.first == seen + 1
        assert "replaced" in gap.reason
        assert watcher.revision < seen
        assert ("gone", None) in news.told
        assert news.told[-1] == ("stays", "new") or news.told[-1] == ("gone", None)
        news.told.clear()
        watcher.register("later", news, "tell")
        for key in ("gone", "stays", "later"):
            watcher.put(key, "once")
        watcher.sync()
        assert news.told == [("gone", "once"), ("stays", "once"), ("later", "once")]


def test_a_recording_that_is_continued_has_the_other_data_too(
    server: LocalEtcd, api: str, tmp_path: Path
) -> None:
    path = tmp_path / "lesson.jsonl"
    with Watcher(server.url, api=api) as watcher:
        watcher.add_key("key")
        with watcher.record(path):
            for number in range(10):
                watcher.put("key", f"old {number}")
            watcher.sync()
        with watcher.record(path):  # continues it
            server.stop()
            server.start()  # without its data
            for number in range(3):
                server.put("key", f"new {number}", api=api)
            watcher.sync()
        told = [each.value for each in Recording(path).events()]
        assert told[:10] == [f"old {number}" for number in range(10)]
        assert told[-1] == "new 2"
        journal = [each.value for each in watcher.journal if isinstance(each, Event)]
        assert told == journal


def test_other_data_that_came_while_nobody_looked_is_watched_like_any(
    server: LocalEtcd, api: str, news: News
) -> None:
    with Watcher(server.url, api=api) as watcher:
        watcher.register("key", news, "tell")
        for number in range(10):
            server.put("key", str(number), api=api)
        watcher.sync()
        watcher.unregister("key", news)
        server.stop()
        server.start()
        news.told.clear()
        watcher.register("key", news, "tell")
        watcher.put("key", "new")
        watcher.sync()
        assert news.values == ["new"]
