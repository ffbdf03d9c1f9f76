"""A recording that is played: the same subscribers hear the same, without a server."""

from __future__ import annotations

import asyncio

import pytest

from etcd_watcher import Event, Gap, Status
from tests.fake_store import event
from tests.recording.replay.parts import EVERY_KIND, Diary, Make, puts


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
