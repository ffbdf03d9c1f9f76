"""An old server forgets deletions made at the revision of a compaction: nobody is to miss them."""

from __future__ import annotations

import pytest

from etcd_watcher.errors import Compacted
from etcd_watcher.keys import KeyRange
from etcd_watcher.local import LocalEtcd
from etcd_watcher.stores import v3, v3_watch
from etcd_watcher.stores.history import FAR, replay
from etcd_watcher.stores.v3 import V3Store
from etcd_watcher.stores.v3_outbox import create
from etcd_watcher.stores.v3_target import CATCH_UP_REVISIONS
from etcd_watcher.stores.v3_version import forgets_deletions
from tests.stores.v3_past import ALL, compact, told_by_a_watch, write

pytestmark = pytest.mark.usefixtures("no_leaks")


@pytest.mark.parametrize(
    ("version", "forgets"),
    [
        ("3.3.27", True),
        ("3.4.35", True),
        ("3.4.36", False),
        ("3.5.0", True),
        ("3.5.17", True),
        ("3.5.18", False),
        ("3.6.0-rc.0", False),
        ("", True),
        ("a fork", True),
    ],
)
def test_which_versions_forget(version: str, *, forgets: bool) -> None:
    assert forgets_deletions(version) is forgets


@pytest.fixture
def deletion(server: LocalEtcd) -> int:
    """The revision of a transaction that writes one key and deletes another, compacted there."""
    write(server, [[(b"gone", b"v")]])
    revision = write(server, [[(b"put", b"v"), (b"gone", None)]])
    compact(server, revision)
    return revision


def test_the_server_tells_nothing_of_it(
    store: V3Store, deletion: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If this fails, none of the rest is needed for this server."""
    monkeypatch.setattr(v3, "forgets_deletions", lambda _: False)
    assert [each.key for each in told_by_a_watch(store, ALL, deletion, deletion)] == ["put"]


@pytest.mark.parametrize("more", [0, 1, 2 * FAR])
def test_who_begins_with_that_revision_is_told_that_it_is_not_whole(
    server: LocalEtcd, store: V3Store, deletion: int, more: int
) -> None:
    last = write(server, ([(b"k", b"%d" % number)] for number in range(more))) if more else deletion
    with pytest.raises(Compacted) as lost:
        list(replay(store, ALL, deletion, last))
    assert (lost.value.revision, lost.value.whole_from) == (deletion, deletion + 1)
    assert f"before revision {deletion}, and maybe deletions made in it" in str(lost.value)


@pytest.mark.parametrize("more", [1, 2 * FAR])
def test_who_begins_behind_it_is_told_everything(
    server: LocalEtcd, store: V3Store, deletion: int, more: int
) -> None:
    last = write(server, ([(b"k", b"%d" % number)] for number in range(more)))
    told = [each for events in replay(store, ALL, deletion + 1, last) for each in events]
    assert [each.revision for each in told] == list(range(deletion + 1, last + 1))


def test_a_watch_that_is_fed_history_does_not_miss_one_between_two_feedings(
    server: LocalEtcd, store: V3Store
) -> None:
    """The server goes on where it stopped, whatever was compacted meanwhile."""
    first = write(server, [[(b"gone", b"v")]])
    write(server, ([(b"k", b"%d" % number)] for number in range(CATCH_UP_REVISIONS - 1)))
    deletion = write(server, [[(b"gone", None)]])
    last = write(server, ([(b"k", b"%d" % number)] for number in range(CATCH_UP_REVISIONS)))
    watch = store.watch(ALL, first)
    told: list[int] = []
    lost: tuple[int, int] | None = None  # it may be fed sooner than the server is compacted
    try:
        while not told:
            told += [event.revision for event in watch.read().events]
        assert told == list(range(first + 1, deletion))
        compact(server, deletion)
        while told[-1] < last:
            told += [event.revision for event in watch.read().events]
    except Compacted as error:
        lost = (error.revision, error.whole_from)
    finally:
        watch.close()
    assert told == list(range(first + 1, told[-1] + 1))
    assert (lost, told[-1]) in {(None, last), ((deletion, deletion + 1), deletion - 1)}


def test_a_watch_of_what_comes_is_asked_for_once(
    server: LocalEtcd, store: V3Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []

    def counted(scope: KeyRange, after: int, **how: bool) -> object:
        asked.append(after)
        return create(scope, after, **how)

    monkeypatch.setattr(v3_watch, "create", counted)
    now = write(server, [[(b"k", b"v")]])
    for after in (now, now - 1):
        watch = store.watch(KeyRange.of_key(b"k"), after)
        assert watch.read().opened
        watch.close()
    assert asked == [now, now - 1, now - 2]
