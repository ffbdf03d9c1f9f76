"""What a failing callback does: it is counted, logged once, and nobody else notices."""

from __future__ import annotations

import logging

import pytest

from etcd_watcher import mailbox as module
from etcd_watcher.event import Event
from etcd_watcher.mailbox import Mailbox
from etcd_watcher.subscriber import Subscription
from tests.fake_store import event
from tests.mailbox.parts import drain, no_refill, subscribe


def failing(mailbox: Mailbox, message: str) -> Subscription:
    def callback(_: Event) -> None:
        raise ValueError(message)

    return subscribe(mailbox, callback)


@pytest.mark.parametrize("error", [ValueError("bad"), SystemExit(3), KeyboardInterrupt()])
def test_a_callback_may_raise_anything_and_the_next_event_is_told(
    error: BaseException, caplog: pytest.LogCaptureFixture
) -> None:
    mailbox, told = Mailbox("Luis", no_refill, None), list[int]()

    def callback(each: Event) -> None:
        told.append(each.revision)
        raise error

    subscription = subscribe(mailbox, callback)
    for revision in (1, 2, 3):
        mailbox.offer(event(revision), subscription)
    drain(mailbox)
    assert told == [1, 2, 3]
    assert (mailbox.delivery.delivered, mailbox.delivery.failed) == (0, 3)
    assert type(error).__name__ in mailbox.delivery.last_error
    assert "callback" in mailbox.delivery.last_error  # the traceback names the function
    assert mailbox.settled(3)


def test_an_error_is_logged_once_with_who_what_and_its_traceback(
    caplog: pytest.LogCaptureFixture,
) -> None:
    mailbox = Mailbox("Luis", no_refill, None)
    subscription = failing(mailbox, "bad")
    for revision in range(1, 50):
        mailbox.offer(event(revision), subscription)
    drain(mailbox)
    assert mailbox.delivery.failed == 49
    (record,) = caplog.records
    assert record.name == "etcd_watcher"
    assert record.levelno == logging.ERROR
    for part in ("'Luis'", "revision=1)", "ValueError: bad", "Traceback"):
        assert part in caplog.text


def test_errors_that_differ_are_logged_each_up_to_a_bound(
    caplog: pytest.LogCaptureFixture,
) -> None:
    mailbox = Mailbox("Luis", no_refill, None)

    def callback(each: Event) -> None:
        raise ValueError(f"number {each.revision}")

    subscription = subscribe(mailbox, callback)
    for revision in range(1, module.ERRORS_SHOWN + 50):
        mailbox.offer(event(revision), subscription)
    drain(mailbox)
    assert mailbox.delivery.failed == module.ERRORS_SHOWN + 49
    assert len(caplog.records) == module.ERRORS_SHOWN
    assert "number 149" in mailbox.delivery.last_error


def test_a_subscriber_whose_repr_fails_does_not_stop_the_others_news(
    capsys: pytest.CaptureFixture[str],
) -> None:
    class Nameless:
        def __repr__(self) -> str:
            raise RuntimeError("no repr")

    mailbox, told = Mailbox(Nameless(), no_refill, None), list[Event]()
    bad = failing(mailbox, "bad")
    good = subscribe(mailbox, told.append, b"other")
    mailbox.offer(event(1), bad)
    mailbox.offer(event(2), good)
    logger = logging.getLogger("etcd_watcher")
    handler = logging.StreamHandler()
    logger.addHandler(handler)
    logger.propagate = False
    try:
        drain(mailbox)
    finally:
        logger.removeHandler(handler)
        logger.propagate = True
    assert len(told) == 1
    assert mailbox.delivery.failed == 1


def test_a_plain_callback_that_gives_a_coroutine_has_failed(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def later() -> None: ...

    mailbox = Mailbox("Luis", no_refill, None)
    mailbox.offer(event(1), subscribe(mailbox, lambda _: later()))
    drain(mailbox)
    assert (mailbox.delivery.delivered, mailbox.delivery.failed) == (0, 1)
    assert "register the `async def` itself" in mailbox.delivery.last_error
