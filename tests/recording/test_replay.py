"""A recording that is played: the same subscribers hear the same, without a server."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from etcd_watcher import Event, Gap, LocalEtcd, Recording, Status, Subscriber, Watcher
from etcd_watcher.errors import ExpectationFailed, RequestRejected
from etcd_watcher.event import Record
from etcd_watcher.expect import put
from etcd_watcher.recording.file import save
from etcd_watcher.recording.format import Header
from tests.fake_store import PATIENCE, event
from tests.threads import threads_left

Make = Callable[..., Watcher]


@pytest.fixture
def play(path: Path) -> Iterator[Callable[..., Watcher]]:
    """Make a watcher of some records, which came one second after the other."""
    made: list[Watcher] = []

    def make(records: Sequence[Record], speed: float | str = "max", api: str = "v3") -> Watcher:
        save(path, Header(api), records, [float(second) for second in range(len(records))])
        made.append(Watcher(Recording(path), speed=speed, request_timeout=PATIENCE))
        return made[-1]

    yield make
    for watcher in made:
        watcher.close()
    assert not threads_left()


def puts(count: int, key: str = "a") -> list[Record]:
    return [event(revision, key, f"{revision}") for revision in range(2, count + 2)]


class Diary:
    """A subscriber that writes down who was told of what, in one list for all."""

    def __init__(self, name: str, told: list[tuple[str, str, str | None]]) -> None:
        self.name = name
        self.told = told

    def note(self, key: str, value: str | None) -> None:
        self.told.append((self.name, key, value))


EVERY_KIND: list[Record] = [
    event(2, "a", "1"),
    event(3, "a", "2"),
    event(3, "b", b"\xff"),
    Status("reconnecting", "http://one:2379", "refused", 5.0, 6.0),
    Status("connected", "http://one:2379"),
    event(4, "a", None, prev=b"2")._replace(expired=True),
    Gap(5, 9, "compacted"),
    event(9, "b", "x")._replace(synthetic=True),
    event(9, "c", None)._replace(synthetic=True),
    event(10, "a", "again")._replace(lease=77),
    Gap(11, 12, "fell behind", "Luis"),
]


# What is told.


def test_the_journal_of_a_replay_is_the_one_that_was_recorded(play: Make) -> None:
    watcher = play(EVERY_KIND)
    watcher.add_key("", prefix=True)
    watcher.sync()
    assert list(watcher.journal) == EVERY_KIND


def test_a_server_whose_data_was_replaced_begins_anew_in_the_replay_too(play: Make) -> None:
    records = [*puts(5), Gap(7, 7, "replaced"), event(2, "a", "new"), event(3, "a", "newer")]
    watcher = play(records)
    told: list[str | None] = []
    watcher.on("a")(lambda event: told.append(event.value))
    watcher.sync()
    assert list(watcher.journal) == records
    assert told == ["2", "3", "4", "5", "6", "new", "newer"]
    assert watcher.revision == 3


def test_that_the_recorded_watcher_was_closed_is_not_told(play: Make) -> None:
    watcher = play([*puts(1), Status("closed")])
    watcher.add_key("a")
    watcher.sync()
    assert list(watcher.journal) == puts(1)
    assert watcher.status.state == "connected"


def test_only_what_is_watched_is_told(play: Make) -> None:
    watcher = play([event(2, "a"), event(3, "b"), event(4, "a"), event(4, "c")])
    watcher.add_key("a")
    watcher.sync()
    assert [(each.revision, each.key) for each in watcher.journal.events()] == [(2, "a"), (4, "a")]
    assert watcher.revision == 4


def test_all_callbacks_come_in_one_order_every_time(play: Make) -> None:
    """Of two subscribers of a live server, who speaks first is a matter of chance."""
    records = [event(revision, "ab"[revision % 2]) for revision in range(2, 50)]
    orders = set()
    for speed in ("max", "max", 1000):
        told: list[tuple[str, str, str | None]] = []
        watcher = play(records, speed)
        for name in ("Luis", "Juan", "Ana"):
            watcher.register(["a", "b"], Diary(name, told), "note")
        watcher.sync()
        orders.add(tuple(told))
    (order,) = orders
    assert [name for name, _, _ in order] == ["Luis", "Juan", "Ana"] * 48


def test_what_a_callback_sees_is_the_moment_of_its_event(play: Make) -> None:
    watcher = play(puts(30))
    seen: list[tuple[int, int, str | None]] = []

    def look(event: Event) -> None:
        seen.append((event.revision, watcher.journal.last_revision, watcher.get("a")))

    watcher.on("a")(look)
    watcher.sync()
    assert seen == [(revision, revision, str(revision)) for revision in range(2, 32)]


def test_who_is_registered_by_a_callback_is_told_from_there_on(play: Make) -> None:
    watcher = play(puts(20))
    told: list[tuple[str, str, str | None]] = []

    @watcher.on("a")
    def join(event: Event) -> None:
        if event.revision == 10:
            watcher.register("a", Diary("late", told), "note")

    watcher.sync()
    assert [value for _, _, value in told] == [str(revision) for revision in range(11, 22)]


def test_async_callbacks_are_awaited_one_after_the_other(play: Make) -> None:
    async def main() -> list[str]:
        watcher = play(puts(20))
        told: list[str] = []

        @watcher.on("a")
        async def slow(event: Event) -> None:
            told.append(f"begin {event.revision}")
            await asyncio.sleep(0)
            told.append(f"end {event.revision}")

        watcher.on("a")(lambda event: told.append(f"quick {event.revision}"))
        await watcher.sync_async()
        return told

    expected = [[f"begin {each}", f"end {each}", f"quick {each}"] for each in range(2, 22)]
    assert asyncio.run(main()) == [line for lines in expected for line in lines]


def test_sync_within_the_loop_of_an_async_callback_says_what_to_do(play: Make) -> None:
    async def main() -> None:
        watcher = play(puts(3))

        @watcher.on("a")
        async def slow(_: Event) -> None: ...

        with pytest.raises(RuntimeError, match="sync_async"):
            watcher.sync()
        await watcher.sync_async()

    asyncio.run(main())


def test_a_callback_may_wait_for_what_is_still_to_come(play: Make) -> None:
    watcher = play([event(2, "a"), event(3, "b", "1"), event(4, "b", "2"), event(5, "a")])
    watcher.add_key("b")
    found: list[int] = []

    @watcher.on("a")
    def wait(_: Event) -> None:
        watcher.sync()  # the others come when it has returned: it returns at once
        if not found:
            found.append(watcher.wait_for("b", lambda event: event.value == "2").revision)

    watcher.sync()
    assert found == [4]
    assert watcher.delivery(wait).delivered == 2


def test_a_callback_that_raises_is_counted_as_it_is_live(play: Make) -> None:
    watcher = play(puts(3))

    @watcher.on("a")
    def fail(_: Event) -> None:
        raise ValueError("no")

    watcher.sync()
    assert watcher.delivery(fail).failed == 3


def test_loops_get_all_of_it_too(play: Make) -> None:
    watcher = play(puts(5000))
    with watcher.events("a") as events:
        watcher.sync(60)
        assert [next(events).revision for _ in range(5000)] == list(range(2, 5002))


def test_loops_may_begin_in_the_past(play: Make) -> None:
    watcher = play(puts(50))
    watcher.add_key("a")
    watcher.replay.step(30)
    watcher.sync()
    with watcher.events("a", since=11) as events:
        watcher.replay.play()
        assert [next(events).revision for _ in range(41)] == list(range(11, 52))


def test_keys_are_those_of_the_api_that_was_recorded(play: Make) -> None:
    watcher = play([event(2, "/news/a"), event(3, "/newspaper")], api="v2")
    watcher.add_key("news", prefix=True)
    watcher.sync()
    assert [each.key for each in watcher.journal.events("news", prefix=True)] == ["/news/a"]
    with pytest.raises(ValueError, match="begins with '_'"):
        watcher.add_key("_hidden")


# When it is told.


def test_nothing_is_told_until_somebody_plays_or_waits(play: Make) -> None:
    watcher = play(puts(3))
    told: list[int] = []
    watcher.on("a")(lambda event: told.append(event.revision))
    assert repr(watcher.replay) == "Replay('lesson.jsonl', paused, 0 of 3 steps)"
    assert (watcher.get("a"), watcher.revision, told) == (None, 1, [])
    watcher.sync()
    assert told == [2, 3, 4]
    assert repr(watcher.replay) == "Replay('lesson.jsonl', finished, 3 of 3 steps)"
    assert watcher.replay.finished
    watcher.sync()


@pytest.mark.parametrize(
    "wait",
    [
        lambda watcher: watcher.wait_for("a", lambda event: event.value == "4"),
        lambda watcher: watcher.expect(put("a", "4")),
        lambda watcher: watcher.expect(*[put("a")] * 3, nothing_else=True),
        lambda watcher: asyncio.run(watcher.sync_async()),
    ],
)
def test_each_way_to_wait_plays(play: Make, wait: Callable[[Watcher], object]) -> None:
    watcher = play(puts(3))
    watcher.add_key("a")
    wait(watcher)
    assert watcher.revision == 4


def test_it_is_played_at_the_pace_at_which_it_was_recorded(play: Make) -> None:
    watcher = play([*puts(3), event(5, "a")], speed=20)
    watcher.add_key("a")
    begun = time.time()
    watcher.sync()
    times = watcher.journal.read_timed(0)[1]
    # Never sooner; later is the machine's affair.
    assert all(at - begun > 0.05 * number - 0.005 for number, at in enumerate(times))
    assert watcher.replay.duration == 3.0


def test_the_pace_may_change_on_the_way(play: Make) -> None:
    watcher = play(puts(4), speed=0.001)
    watcher.add_key("a")
    watcher.replay.play()
    watcher.wait_for("a")
    assert watcher.replay.playing
    watcher.replay.speed = "max"
    watcher.sync()
    assert watcher.revision == 5
    assert not watcher.replay.playing


def test_without_a_pause_it_can_be_paused_and_slowed_down(play: Make) -> None:
    watcher = play(puts(100))

    @watcher.on("a")
    def slow_down(event: Event) -> None:
        if event.revision == 20:
            watcher.replay.pause()
        if event.revision == 40:
            watcher.replay.speed = 0.001

    watcher.sync()
    assert watcher.revision == 20
    watcher.replay.play()
    watcher.wait_for("a", lambda event: event.revision == 40)
    with pytest.raises(TimeoutError, match="at 39 of 100 steps"):
        watcher.sync(0.05)


def test_sync_that_has_not_enough_time_says_how_much_it_takes(play: Make) -> None:
    watcher = play(puts(100), speed=1)
    watcher.add_key("a")
    with pytest.raises(TimeoutError, match=r"at 1 of 100 steps, and at speed 1 it takes 9\d\.\d s"):
        watcher.sync(timeout=0.05)


def test_pause_and_play(play: Make) -> None:
    watcher = play(puts(100), speed=100)
    told: list[int] = []

    @watcher.on("a")
    def pause(event: Event) -> None:
        told.append(event.revision)
        if event.revision == 20:
            watcher.replay.pause()

    watcher.sync()
    assert told[-1] == watcher.revision == 20
    assert repr(watcher.replay) == "Replay('lesson.jsonl', paused, 19 of 100 steps)"
    watcher.sync()
    assert told[-1] == 20
    watcher.replay.play("max")
    watcher.sync()
    assert told == list(range(2, 102))


def test_step_tells_one_transaction_at_a_time(play: Make) -> None:
    records = [event(2, "a"), event(2, "b"), Status("reconnecting"), event(3, "a"), event(4, "a")]
    watcher = play(records)
    watcher.add_key(["a", "b"])
    for begin, end in [(0, 2), (2, 3), (3, 4)]:
        assert watcher.replay.step() == records[begin:end]
        watcher.sync()
        assert list(watcher.journal) == records[:end]
    assert watcher.replay.step(9) == records[4:]
    assert watcher.replay.step() == []
    watcher.sync()
    assert list(watcher.journal) == records


def test_steps_may_be_taken_faster_than_callbacks_return(play: Make) -> None:
    watcher = play(puts(10))
    go_on = threading.Event()
    told: list[int] = []

    @watcher.on("a")
    def slow(event: Event) -> None:
        go_on.wait(PATIENCE)
        told.append(event.revision)

    for _ in range(4):
        watcher.replay.step()
    go_on.set()
    watcher.sync()
    assert told == [2, 3, 4, 5]


def test_a_wait_ends_when_the_replay_does(play: Make) -> None:
    watcher = play(puts(3))
    watcher.add_key("a")
    with pytest.raises(TimeoutError, match="until the replay ended there was no event of 'a'"):
        watcher.wait_for("a", lambda event: event.value == "9", timeout=PATIENCE * 10)
    with pytest.raises(ExpectationFailed, match="did not come before the replay ended: put 'a'"):
        watcher.expect(put("a", "9"), within=PATIENCE * 10)
    watcher.replay.seek(2)
    with pytest.raises(ExpectationFailed, match="did not come before the replay was paused"):
        watcher.expect(put("a", "9"), within=PATIENCE * 10)


# Going elsewhere.


def state(watcher: Watcher) -> dict[str, str | None]:
    """Give what a reader of the journal believes."""
    found: dict[str, str | None] = {}
    for each in watcher.journal.events():
        found[each.key] = each.value
    return {key: value for key, value in found.items() if value is not None}


def test_seek_brings_every_key_to_its_value_at_that_moment(play: Make) -> None:
    records = [
        event(2, "a", "1"),
        event(3, "b", "1"),
        event(4, "a", None, prev=b"1"),
        event(5, "c", "1"),
        event(6, "b", "2", prev=b"1"),
        event(7, "c", None, prev=b"1"),
    ]
    moments = {1: {}, 2: {"a": "1"}, 3: {"a": "1", "b": "1"}, 4: {"b": "1"}}
    moments |= {5: {"b": "1", "c": "1"}, 6: {"b": "2", "c": "1"}, 7: {"b": "2"}}
    watcher = play(records)
    told: dict[str, str | None] = {}

    @watcher.on("", prefix=True)
    def keep(event: Event) -> None:
        told[event.key] = event.value

    watcher.add_key("", prefix=True)
    for revision in [4, 2, 7, 1, 6, 3, 3, 5, 7, 1]:
        watcher.replay.seek(revision)
        watcher.sync()
        there = {key: value for key, value in told.items() if value is not None}
        assert state(watcher) == there == moments[revision]
        assert watcher.revision == revision
        for key in "abc":
            assert watcher.get(key) == moments[revision].get(key)


def test_what_is_passed_over_is_a_gap_and_what_is_told_instead_is_synthetic(play: Make) -> None:
    watcher = play(puts(9))
    watcher.add_key("a")
    watcher.replay.seek(5)
    watcher.sync()
    watcher.replay.seek(3)
    watcher.sync()
    forward, put_5, back, put_3 = watcher.journal
    assert forward == Gap(2, 5, "the replay was set forward")
    assert back == Gap(4, 5, "the replay was set back")
    assert isinstance(put_5, Event)
    assert isinstance(put_3, Event)
    assert (put_5.value, put_5.synthetic, put_5.action) == ("5", True, "seek")
    assert (put_3.value, put_3.revision, put_3.prev_value) == ("3", 3, "5")


def test_it_plays_on_from_where_it_was_set(play: Make) -> None:
    watcher = play(puts(9))
    told: list[str | None] = []
    watcher.on("a")(lambda event: told.append(event.value))
    watcher.replay.seek(8)
    watcher.replay.play()
    watcher.sync()
    assert told == ["8", "9", "10"]
    watcher.replay.seek(0)
    watcher.sync()
    assert told[3:] == [None]
    watcher.replay.play()
    watcher.sync()
    assert told[4:] == [*map(str, range(2, 11))]


def test_seconds_are_as_good_as_a_revision(play: Make) -> None:
    watcher = play(puts(9), speed=1)
    watcher.add_key("a")
    watcher.replay.seek(seconds=4.5)
    watcher.sync()
    assert (watcher.get("a"), watcher.replay.seconds) == ("6", 4.5)


def test_subscribers_of_the_middle_hear_what_is_played_again(play: Make) -> None:
    watcher = play(puts(9))
    watcher.add_key("a")
    watcher.replay.step(5)
    watcher.sync()
    told: list[str | None] = []
    watcher.on("a")(lambda event: told.append(event.value))
    watcher.replay.seek(3)
    watcher.replay.step()
    watcher.sync()
    assert told == ["3", "4"]


# What it cannot do.


@pytest.mark.parametrize(
    "write",
    [
        lambda watcher: watcher.put("a", "b"),
        lambda watcher: watcher.put("a", "b", ttl=5),
        lambda watcher: watcher.delete("a"),
        lambda watcher: watcher.delete("a", prefix=True),
    ],
)
def test_a_recording_cannot_be_written_to(play: Make, write: Callable[[Watcher], object]) -> None:
    watcher = play(puts(1))
    with pytest.raises(
        RequestRejected, match=r"lesson.jsonl is a recording, and cannot be written"
    ):
        write(watcher)


def test_what_cannot_be_meant_is_refused_at_once(play: Make) -> None:
    watcher = play(puts(1))
    replay = watcher.replay
    for wrong in (0, -1, True, 1.5, "x"):
        with pytest.raises(ValueError, match=r"step\("):
            replay.step(wrong)  # type: ignore[arg-type]
    for speed in (0, -1, True, "fast", None, float("nan")):
        with pytest.raises(ValueError, match="speed="):
            replay.speed = speed  # type: ignore[assignment]
    with pytest.raises(ValueError, match=r"seek\('x'\)"):
        replay.seek("x")  # type: ignore[arg-type]
    for where in ({}, {"revision": 1, "seconds": 1}):
        with pytest.raises(TypeError, match="seek where"):
            replay.seek(**where)
    with pytest.raises(ValueError, match="speed=0"):
        Watcher(replay.recording, speed=0)


def test_speed_and_replay_are_for_recordings(etcd: LocalEtcd) -> None:
    with pytest.raises(TypeError, match=r"speed=10 is for a recording: Watcher\(Recording"):
        Watcher(etcd.url, speed=10)
    with Watcher(etcd.url) as watcher:
        with pytest.raises(AttributeError, match="this watcher watches a server"):
            _ = watcher.replay
        assert not hasattr(watcher, "replay")


def test_closing_it_ends_whoever_waits(play: Make) -> None:
    watcher = play(puts(2), speed=0.0001)
    watcher.add_key("a")
    threading.Timer(0.05, watcher.close).start()
    with pytest.raises(RuntimeError, match="closed"):
        watcher.sync(timeout=PATIENCE)


def test_one_recording_can_be_played_by_several(play: Make, path: Path) -> None:
    watcher = play(puts(3))
    watcher.add_key("a")
    with Watcher(Recording(path), speed="max") as other, Watcher(watcher.replay.recording) as third:
        other.add_key("a")
        other.sync()
        third.add_key("a")
        assert (other.revision, third.revision, watcher.revision) == (4, 1, 1)


# The live run and its replay.


def test_a_replay_can_be_recorded_and_that_is_the_same_again(play: Make, path: Path) -> None:
    watcher = play(EVERY_KIND)
    watcher.add_key("", prefix=True)
    with watcher.record(path.with_name("copy.jsonl")):
        pass
    copy = Recording(path.with_name("copy.jsonl"))
    assert (list(copy), copy.api) == (EVERY_KIND, "v3")


@pytest.mark.parametrize("api", ["v2", "v3"])
def test_a_replay_prints_byte_for_byte_what_the_live_run_did(
    etcd: LocalEtcd, fresh_key: str, path: Path, api: str, capsys: pytest.CaptureFixture[str]
) -> None:
    def lesson(watcher: Watcher) -> None:
        luis = Subscriber("Luis")
        watcher.register([f"{fresh_key}/a", f"{fresh_key}/b"], luis, "do_things")

        @watcher.on(fresh_key, prefix=True)
        def show(event: Event) -> None:
            sys.stderr.write(f"{event!r} {event.prev_value!r} {event.version} {event.action}\n")

    with Watcher(etcd.url, api=api) as watcher:
        lesson(watcher)
        with watcher.record(path):
            for number in range(50):
                watcher.put(f"{fresh_key}/{'ab'[number % 2]}", f"Übung {number}\n\x1b")
            watcher.delete(f"{fresh_key}/a")
        watcher.sync()
        live = list(watcher.journal)
    said = capsys.readouterr()
    for _ in range(3):
        with Watcher(Recording(path), speed="max") as watcher:
            lesson(watcher)
            watcher.sync()
            assert list(watcher.journal) == live
        assert capsys.readouterr() == said
    assert said.out.count("\n") == said.err.count("\n") == 51


def test_it_needs_neither_grpc_nor_python_etcd(path: Path) -> None:
    save(path, Header("v2"), [event(2, "/nokia", "hello")], [0.0])
    code = f"""
import sys

class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {{"grpc", "google", "etcd", "urllib3", "IPython", "pandas"}}:
            raise AssertionError(f"{{name}} was imported")

sys.meta_path.insert(0, Refuse())
from etcd_watcher import Recording, Subscriber, Watcher
from etcd_watcher.expect import put

with Watcher(Recording({str(path)!r}), speed="max") as watcher:
    watcher.register("nokia", Subscriber("Luis"), "do_things")
    watcher.expect(put("nokia", "hello"), nothing_else=True)
    watcher.sync()
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("Luis: nokia = hello\n", "")


def test_beyond_the_end_is_the_end_and_before_the_beginning_is_nothing(play: Make) -> None:
    watcher = play(puts(3))
    watcher.add_key("a")
    for revision in (-1, 1.5, "2", True):
        with pytest.raises(ValueError, match=r"seek\(.*\): give a whole number, 0 or more"):
            watcher.replay.seek(revision)  # type: ignore[arg-type]
    for seconds in (-1, "2", True, float("nan")):
        with pytest.raises(ValueError, match=r"seek\(seconds=.*\): give a number of seconds"):
            watcher.replay.seek(seconds=seconds)  # type: ignore[arg-type]
    watcher.replay.seek(10**6)
    watcher.sync()
    assert watcher.get("a") == watcher.journal.events("a")[-1].value
    assert watcher.replay.position == len(watcher.replay.steps)
