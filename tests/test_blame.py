"""What is shown of an error of ours: who called us, and what they were handling themselves."""

from __future__ import annotations

import traceback
from types import TracebackType
from typing import Any

import pytest

from etcd_watcher.blame import up_to_our_caller, without_causes_of_ours
from etcd_watcher.errors import ConnectionFailed

OURS: dict[str, Any] = {
    "__name__": "etcd_watcher.stores.wire",
    "ConnectionFailed": ConnectionFailed,
}
"""The names of a module of the package."""

exec(  # noqa: S102 - a frame is of the package by the name of its module alone
    """
def ask():
    try:
        try:
            {}["grpc"]
        except KeyError as error:
            raise OSError("of the network") from error
    except OSError as error:
        raise ConnectionFailed("no answer") from error

def call(theirs):
    theirs()
""",
    OURS,
)


def failure(call: Any, *arguments: Any) -> BaseException:
    with pytest.raises((ConnectionFailed, ZeroDivisionError)) as raised:
        call(*arguments)
    return raised.value


def frames(step: TracebackType) -> list[str]:
    return [each.name for each in traceback.extract_tb(step)]


def chain(error: BaseException) -> str:
    return "".join(traceback.format_exception(error))


def test_it_ends_with_who_called_us() -> None:
    def helper() -> None:
        OURS["ask"]()

    error = failure(helper)
    assert error.__traceback__ is not None
    assert frames(error.__traceback__) == ["failure", "helper", "ask"]
    assert frames(up_to_our_caller(error.__traceback__)) == ["failure", "helper"]


def test_what_they_raised_within_a_call_of_ours_is_all_shown() -> None:
    def theirs() -> None:
        raise ZeroDivisionError

    whole = failure(OURS["call"], theirs).__traceback__
    assert whole is not None
    assert frames(up_to_our_caller(whole)) == ["failure", "call", "theirs"]


def test_what_we_found_out_is_left_out_for_as_long_as_it_is_shown() -> None:
    error = failure(OURS["ask"])
    before = chain(error)
    assert "of the network" in before
    assert "grpc" in before
    with without_causes_of_ours(error):
        shown = chain(error)
    assert "no answer" in shown
    assert "of the network" not in shown
    assert "grpc" not in shown
    assert chain(error) == before


def test_what_they_were_handling_stays() -> None:
    def handling() -> None:
        try:
            int("of the caller")
        except ValueError:
            OURS["ask"]()

    error = failure(handling)
    with without_causes_of_ours(error):
        shown = chain(error)
    assert "of the caller" in shown
    assert "of the network" not in shown
    assert "grpc" not in shown


def test_what_they_said_that_it_came_from_stays() -> None:
    def saying() -> None:
        raise ConnectionFailed("no answer") from LookupError("of the caller")

    error = failure(saying)
    with without_causes_of_ours(error):
        assert "of the caller" in chain(error)
