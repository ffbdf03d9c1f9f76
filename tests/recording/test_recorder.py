"""Recording while it happens."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from etcd_watcher import Gap, Journal, LocalEtcd, Recording, Status, Watcher
from etcd_watcher.errors import ConnectionFailed
from etcd_watcher.recording import part as part_module
from etcd_watcher.recording.file import save
from etcd_watcher.recording.format import Header
from etcd_watcher.recording.recorder import Recorder
from tests.fake_store import PATIENCE, FakeStore, event
from tests.recording.test_format import LINE


@pytest.fixture
def watcher(watcher: Watcher) -> Watcher:
    watcher.add_key(["a", "b"])
    return watcher


def told(path: Path) -> list[tuple[int, str, str | None]]:
    return [(each.revision, each.key, each.value) for each in Recording(path).events()]


class CountedKey(bytes):
    """A key that counts how often anything looks it up."""

    looks = 0

    def __hash__(self) -> int:
        CountedKey.looks += 1
        return super().__hash__()


def test_one_more_key_among_many_costs_a_look_at_each(path: Path) -> None:
    """On the feed's thread: to compare each with each took seconds for 10,000."""
    keys = tuple((CountedKey(b"%d" % number), False) for number in range(500))
    header = [Header("v3", keys[:-1])]
    part = part_module.Part(path, lambda: header[0], lambda: 0, overwrite=False)
    part.begin(0, 0.0)
    header[0] = Header("v3", keys)
    CountedKey.looks = 0
    part.take([event(1)], 0.0)
    part.close()
    assert CountedKey.looks <= 2 * len(keys)
    assert Recording(path).watched == keys


def test_what_happens_in_the_block_is_recorded_and_nothing_else(
    store: FakeStore, watcher: Watcher, path: Path
) -> None:
    store.commit(("a", "before"))
    watcher.sync()
    with watcher.record(path) as recorder:
        store.commit(("a", "1"), ("b", "2"))
        store.commit(("c", "nobody asked"))
        store.commit(("a", None))
        assert recorder.recording
    store.commit(("a", "after"))
    watcher.sync()
    assert told(path) == [(3, "a", "1"), (3, "b", "2"), (5, "a", None)]
    assert (len(recorder), recorder.recording, recorder.error) == (3, False, None)
    assert repr(recorder) == "Recorder('lesson.jsonl', closed, 3 records)"
    for line in path.read_text().splitlines():
        LINE.validate(json.loads(line))


def test_the_recording_tells_the_journals_records_and_their_times(
    store: FakeStore, watcher: Watcher, path: Path
) -> None:
    with watcher.record(path):
        for number in range(100):
            store.commit(("a", f"{number}"), ("b", b"\xff%d" % number))
    records, times, _ = watcher.journal.read_timed(0)
    recording = Recording(path)
    assert list(recording) == records
    assert recording.times == pytest.approx(times, abs=1e-6)


def test_what_sync_has_waited_for_is_in_the_file(
    store: FakeStore, watcher: Watcher, path: Path
) -> None:
    watcher.record(path)
    for number in range(3):
        store.commit(("a", f"{number}"))
        watcher.sync()
        assert len(Recording(path)) == number + 1


def test_it_knows_which_keys_are_watched(store: FakeStore, watcher: Watcher, path: Path) -> None:
    with watcher.record(path):
        assert Recording(path).watched == ((b"a", False), (b"b", False))
        watcher.add_key("news/", prefix=True)
        watcher.remove_key("b")
        store.commit(("a", "1"))
        watcher.sync()
        store.commit(("a", "2"))
    assert Recording(path).watched == ((b"a", False), (b"b", False), (b"news/", True))
    assert sum('"KEYS"' in line for line in path.read_text().splitlines()) == 1


def test_losses_and_the_connections_ups_and_downs_are_recorded(
    store: FakeStore, watcher: Watcher, path: Path
) -> None:
    with watcher.record(path):
        watch = store.watch_number(1)
        watch.hold()
        for number in range(5):
            store.commit(("a", f"{number}"))
        store.compact(5)
        watch.hold(held=False)
        watcher.sync()
        records = list(watcher.journal)
    assert list(Recording(path)) == records
    assert any(isinstance(each, Gap) for each in records)


def test_it_ends_with_its_watcher(store: FakeStore, path: Path) -> None:
    with Watcher(store, request_timeout=PATIENCE) as watcher:
        watcher.add_key("a")
        recorder = watcher.record(path)
        store.commit(("a", "1"))
        watcher.sync()
    assert not recorder.recording
    assert not any(isinstance(each, Status) for each in Recording(path))
    recorder.close()


def test_nobody_has_to_hold_it(store: FakeStore, watcher: Watcher, path: Path) -> None:
    watcher.record(path)
    store.commit(("a", "1"))
    watcher.sync()
    assert len(told(path)) == 1


def test_an_error_in_the_block_ends_it_at_once(
    store: FakeStore, watcher: Watcher, path: Path
) -> None:
    recorder = watcher.record(path)
    store.fail_next("revision", ConnectionFailed("it would have waited for this server"))
    with pytest.raises(ZeroDivisionError), recorder:
        raise ZeroDivisionError
    assert not recorder.recording


class Reader:
    """A journal's lock, and somebody who publishes as soon as a file says that it is recorded to."""

    def __init__(self, path: Path, journal: Journal) -> None:
        self._path = path
        self._journal = journal
        self._was = path.read_text() if path.exists() else ""

    def __enter__(self) -> None:
        self._look()

    def __exit__(self, *exc: object) -> None:
        self._look()

    def _look(self) -> None:
        if not len(self._journal) and self._path.exists() and self._path.read_text() != self._was:
            self._journal.append([event(2, "a", "1")])


@pytest.mark.parametrize("before", [None, "", "something else", "a recording"])
def test_who_reads_in_the_file_that_a_key_is_recorded_can_write_it(
    path: Path, before: str | None
) -> None:
    if before == "a recording":
        save(path, Header("v3"), [], [])
    elif before is not None:
        path.write_text(before)
    journal = Journal()
    recorder = Recorder(
        path,
        journal,
        Reader(path, journal),
        complete=lambda: 1,
        newest=lambda: 1,
        arrive=lambda _: None,
        overwrite=before == "something else",
    )
    recorder.close()
    assert told(path) == [(2, "a", "1")]


def test_two_files_at_a_time_hold_the_same(store: FakeStore, watcher: Watcher, path: Path) -> None:
    other = path.with_name("other.jsonl")
    with watcher.record(path), watcher.record(other):
        store.commit(("a", "1"))
    assert told(path) == told(other) == [(2, "a", "1")]


# A file that is there.


def test_a_recording_is_continued_and_what_was_missed_is_a_gap(
    store: FakeStore, watcher: Watcher, path: Path
) -> None:
    with watcher.record(path):
        store.commit(("a", "1"))
    store.commit(("a", "2"))
    store.commit(("a", "3"))
    watcher.sync()
    with watcher.record(path):
        store.commit(("a", "4"))
    assert told(path) == [(2, "a", "1"), (5, "a", "4")]
    recording = Recording(path)
    assert list(recording)[1] == Gap(3, 4, part_module.NOT_RECORDED)
    assert list(recording.parts) == [1]


def test_where_nothing_was_missed_there_is_no_gap(
    store: FakeStore, watcher: Watcher, path: Path
) -> None:
    for value in "12":
        with watcher.record(path):
            store.commit(("a", value))
    assert told(path) == [(2, "a", "1"), (3, "a", "2")]
    assert len(Recording(path)) == 2


def test_it_goes_on_behind_what_is_in_the_file(
    store: FakeStore, watcher: Watcher, path: Path
) -> None:
    """The file's last revision may be one that this watcher has not heard of yet."""
    store.watch_number(1).hold()
    store.commit(("a", "1"))
    save(path, Header("v3"), [event(2, "a", "1")], [1.0])
    with watcher.record(path):
        store.watch_number(1).hold(held=False)
        store.commit(("a", "2"))
    assert told(path) == [(2, "a", "1"), (3, "a", "2")]


@pytest.mark.parametrize("rest", [b'{"time": 1, "rev', b""])
def test_what_was_cut_off_is_removed(
    store: FakeStore, watcher: Watcher, path: Path, rest: bytes
) -> None:
    with watcher.record(path):
        store.commit(("a", "1"))
    # Either half a line more, or a whole one without its end.
    path.write_bytes(path.read_bytes() + rest if rest else path.read_bytes()[:-1])
    with watcher.record(path):
        store.commit(("a", "2"))
    assert told(path) == [(2, "a", "1"), (3, "a", "2")]


def test_overwriting_forgets_what_was_there(store: FakeStore, watcher: Watcher, path: Path) -> None:
    path.write_text("something else")
    with watcher.record(path, overwrite=True):
        store.commit(("a", "1"))
    assert told(path) == [(2, "a", "1")]
    assert [each.name for each in path.parent.iterdir()] == [path.name]


def test_an_empty_file_is_as_good_as_none(store: FakeStore, watcher: Watcher, path: Path) -> None:
    path.touch()
    with watcher.record(path):
        store.commit(("a", "1"))
    assert told(path) == [(2, "a", "1")]


def test_what_is_no_recording_stays_as_it_is(watcher: Watcher, path: Path) -> None:
    path.write_text("something else")
    with pytest.raises(ValueError, match=r"lesson\.jsonl, line 1: it is no JSON"):
        watcher.record(path)
    assert path.read_text() == "something else"


def test_a_recording_of_another_server_is_refused(
    store: FakeStore, watcher: Watcher, path: Path
) -> None:
    with watcher.record(path):
        for _ in range(5):
            store.commit(("a", "1"))
    with (
        Watcher(FakeStore(), request_timeout=PATIENCE) as other,
        pytest.raises(ValueError, match=r"revision 6, and the server is at 1: .* overwrite=True"),
    ):
        other.record(path)


def test_a_recording_of_another_api_is_refused(
    store: FakeStore, watcher: Watcher, path: Path
) -> None:
    with watcher.record(path):
        pass
    v2 = FakeStore()
    v2.api = "v2"
    with (
        Watcher(v2, request_timeout=PATIENCE) as other,
        pytest.raises(ValueError, match="API v3, and this watcher speaks v2"),
    ):
        other.record(path)


@pytest.mark.parametrize("how", [{}, {"overwrite": True}])
def test_two_do_not_write_to_one_file(watcher: Watcher, path: Path, how: dict[str, bool]) -> None:
    watcher.record(path)
    with pytest.raises(ValueError, match="is being recorded to already"):
        watcher.record(path, **how)


@pytest.mark.parametrize("overwrite", [False, True])
def test_what_is_no_file_stays_what_it_is(watcher: Watcher, path: Path, *, overwrite: bool) -> None:
    os.mkfifo(path)  # as a device would: os.replace would put a file in its place
    with pytest.raises(ValueError, match="no file"):
        watcher.record(path, overwrite=overwrite)
    with pytest.raises(ValueError, match="no file"):
        watcher.journal.save(path)
    assert path.is_fifo()
    assert list(path.parent.iterdir()) == [path]


def test_a_refused_file_is_let_go(watcher: Watcher, path: Path) -> None:
    path.write_text("something else")
    for _ in range(2):  # the second is refused for the same reason, and not for the lock
        with pytest.raises(ValueError, match="it is no JSON"):
            watcher.record(path)


def test_a_file_that_cannot_be_continued_after_all_is_let_go(
    store: FakeStore, watcher: Watcher, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: int, __: int) -> None:
        raise OSError(5, "Input/output error")

    with watcher.record(path):
        store.commit(("a", "1"))
    with monkeypatch.context() as patched:
        patched.setattr(os, "ftruncate", fail)
        with pytest.raises(OSError, match="Input/output"):
            watcher.record(path)
    with watcher.record(path):
        store.commit(("a", "2"))
    assert told(path) == [(2, "a", "1"), (3, "a", "2")]


def test_a_folder_that_is_not_there_is_the_systems_own_error(watcher: Watcher, path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        watcher.record(path / "lesson.jsonl")


# A disk that is full.


def test_a_full_disk_is_told_and_ends_the_recording_alone(
    store: FakeStore,
    watcher: Watcher,
    path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def full(_: int, __: object) -> int:
        raise OSError(28, "No space left on device")

    news: list[int] = []
    watcher.on("a")(lambda event: news.append(event.revision))
    recorder = watcher.record(path)
    store.commit(("a", "1"))
    watcher.sync()
    with monkeypatch.context() as patched:
        patched.setattr(os, "write", full)
        store.commit(("a", "2"))
        watcher.sync()
    store.commit(("a", "3"))
    watcher.sync()
    assert repr(recorder) == "Recorder('lesson.jsonl', failed, 1 record)"
    with pytest.raises(OSError, match="No space left"), recorder:
        pass
    assert news == [2, 3, 4]
    assert told(path) == [(2, "a", "1")]
    assert caplog.messages == ["lesson.jsonl is recorded no further: No space left on device"]


def test_a_write_that_is_done_in_pieces_is_whole(
    store: FakeStore, watcher: Watcher, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = os.write
    monkeypatch.setattr(os, "write", lambda file, text: write(file, bytes(text[:7])))
    with watcher.record(path):
        store.commit(("a", "1"), ("b", "2"))
    assert told(path) == [(2, "a", "1"), (2, "b", "2")]


# The real etcd.


@pytest.mark.parametrize("api", ["v2", "v3"])
def test_a_real_server_is_recorded_without_its_password(
    etcd: LocalEtcd, fresh_key: str, path: Path, api: str
) -> None:
    with Watcher(etcd.url, api=api) as watcher:
        watcher.add_key(f"{fresh_key}/", prefix=True)
        with watcher.record(path):
            for value in "abc":
                watcher.put(f"{fresh_key}/x", value)
            watcher.delete(f"{fresh_key}/x")
        assert list(Recording(path)) == list(watcher.journal)
    recording = Recording(path)
    assert recording.api == api
    assert [each.value for each in recording.events(f"{fresh_key}/x")] == ["a", "b", "c", None]
    assert "127.0.0.1" not in path.read_text()
