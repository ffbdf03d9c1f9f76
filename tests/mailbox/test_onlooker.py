"""Who stands by while callbacks are called."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator

import pytest

from etcd_watcher.event import Event
from etcd_watcher.mailbox import Mailbox
from etcd_watcher.onlooker import attend
from tests.fake_store import event
from tests.mailbox.parts import drain, no_refill, run, subscribe


class Board:
    """A witness that keeps what it saw, and whose mailbox the code then belonged to."""

    def __init__(self, *, shows_failures: bool) -> None:
        self.saw: list[object] = []
        self._shows_failures = shows_failures

    def begin(self, mailbox: Mailbox) -> None:
        self.saw.append(("begin", mailbox.who))

    def end(self, mailbox: Mailbox) -> None:
        self.saw.append(("end", mailbox.who))

    def failed(self, mailbox: Mailbox, text: str) -> bool:
        error = sys.exception()
        self.saw.append(("failed", text.splitlines()[-1] if error is None else error))
        return self._shows_failures


@pytest.fixture
def board(request: pytest.FixtureRequest) -> Iterator[Board]:
    board = Board(shows_failures=getattr(request, "param", True))
    attend(board)
    yield board
    attend(None)


def test_a_witness_is_there_before_and_after_each_call(board: Board) -> None:
    mailbox = Mailbox("who", no_refill, None)
    subscription = subscribe(mailbox, lambda each: board.saw.append(each.revision))
    for revision in (1, 2):
        mailbox.offer(event(revision), subscription)
    drain(mailbox)
    begin, end = ("begin", "who"), ("end", "who")
    assert board.saw == [begin, 1, end, begin, 2, end]
    attend(None)
    mailbox.offer(event(3), subscription)
    drain(mailbox)
    assert board.saw[6:] == [3]


@pytest.mark.parametrize("board", [True, False], indirect=True)
def test_a_failure_that_the_witness_shows_is_not_logged(
    board: Board, request: pytest.FixtureRequest, caplog: pytest.LogCaptureFixture
) -> None:
    error = ValueError("no number")

    def fail(_: Event) -> None:
        raise error

    mailbox = Mailbox("who", no_refill, None)
    mailbox.offer(event(1), subscribe(mailbox, fail))
    drain(mailbox)
    assert board.saw == [("begin", "who"), ("failed", error), ("end", "who")]
    assert mailbox.delivery.failed == 1
    assert "no number" in mailbox.delivery.last_error
    shown = request.node.callspec.params["board"]
    assert len(caplog.records) == (0 if shown else 1)


def test_a_witness_sees_async_callbacks_to_their_end(board: Board) -> None:
    error = ValueError("late")

    async def tell(each: Event) -> None:
        await asyncio.sleep(0)
        board.saw.append(each.revision)
        if each.revision == 2:
            raise error

    async def main() -> None:
        mailbox = Mailbox("who", no_refill, None)
        loop, done = asyncio.get_running_loop(), asyncio.Event()
        subscription = subscribe(mailbox, tell, loop=loop)
        for revision in (1, 2):
            mailbox.offer(event(revision), subscription)
        assert run(mailbox, done.set) == "parked"
        await done.wait()

    asyncio.run(main())
    begin, end = ("begin", "who"), ("end", "who")
    assert board.saw == [begin, 1, end, begin, 2, ("failed", error), end]


def test_a_witness_is_told_of_a_coroutine_that_nobody_awaits(board: Board) -> None:
    async def tell(_: Event) -> None:
        pytest.fail("nobody awaits it")

    mailbox = Mailbox("who", no_refill, None)
    mailbox.offer(event(1), subscribe(mailbox, lambda each: tell(each)))  # noqa: PLW0108
    drain(mailbox)
    assert [each[0] for each in board.saw] == ["begin", "failed", "end"]  # type: ignore[index]
