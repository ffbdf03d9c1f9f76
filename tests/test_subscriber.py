"""Those who want to know: what can be called, where, and who counts as the same."""

from __future__ import annotations

import asyncio
import functools
import threading
import types
from typing import Any
from unittest.mock import Mock

import pytest

from etcd_watcher import Event, subscriber
from etcd_watcher.keys import KeyRange
from etcd_watcher.subscriber import (
    Subscriber,
    Subscription,
    check_takes,
    code_of,
    identity,
    loop_for,
    recurring_name,
    resolve,
)
from tests.fake_store import event


class Plotter(Subscriber):
    def plot(self, key: str, value: str | None) -> None: ...

    async def plot_later(self, key: str, value: str | None) -> None: ...


def module_level(key: str, value: str | None) -> None: ...


async def async_module_level(key: str, value: str | None) -> None: ...


def test_a_subscriber_prints_one_line_for_each_change(capsys: pytest.CaptureFixture[str]) -> None:
    luis = Subscriber("Luis")
    luis.do_things("nokia", "hello")
    luis.do_things("nokia", "")
    luis.do_things("nokia", None)
    assert (
        capsys.readouterr().out == "Luis: nokia = hello\nLuis: nokia = \nLuis: nokia was deleted\n"
    )


def test_a_printed_value_cannot_break_out_of_its_line(capsys: pytest.CaptureFixture[str]) -> None:
    Subscriber("Luis").do_things("a\nb", "\x1b[2J\u202e\udcff")
    assert capsys.readouterr().out == "Luis: a\\nb = \\x1b[2J\\u202e\\udcff\n"


def test_the_repr_is_the_class_and_the_name() -> None:
    assert repr(Subscriber("Luis")) == "Subscriber('Luis')"
    assert repr(Plotter("Ana")) == "Plotter('Ana')"
    assert repr(Subscriber("a\n\u202e")).isprintable()


class Odd:
    """Says nothing about itself."""

    def __getattr__(self, name: str) -> object:
        raise RuntimeError(name)

    def __call__(self, *arguments: object) -> None: ...


@functools.wraps(module_level)
def wrapper_that_takes_another_number(event: object) -> None: ...


class Claims:
    __signature__ = "none of yours"

    def __call__(self, key: str, value: str | None) -> None: ...


@pytest.mark.parametrize(
    "call",
    [
        module_level,
        async_module_level,
        Plotter("Ana").plot,
        lambda *_: None,
        lambda key, value, more=3: (key, value, more),
        functools.partial(lambda a, b, c: (a, b, c), 1),
        print,
        dict.fromkeys,
        Mock(),
        Claims(),
    ],
)
def test_a_callback_that_may_take_what_it_gets_is_let_through(call: Any) -> None:
    check_takes(call, "key", "value")


def test_a_callback_that_raises_when_it_is_asked_is_let_through() -> None:
    check_takes(Odd(), "key", "value")


@pytest.mark.parametrize(
    "call",
    [
        lambda: None,
        lambda key: key,
        lambda key, value, more: (key, value, more),
        lambda *, key, value: (key, value),
        functools.partial(module_level, "x"),
        functools.partial(module_level, value="x"),
        functools.partial(Plotter("Ana").plot, "x"),
        Plotter.plot,
        wrapper_that_takes_another_number,
        threading.Event().set,
    ],
)
def test_a_callback_that_cannot_take_what_it_gets_is_refused(call: Any) -> None:
    with pytest.raises(TypeError, match=r"is called with key and value, which it does not take: "):
        check_takes(call, "key", "value")


def test_the_refusal_of_a_callback_names_it_and_what_is_wrong() -> None:
    with pytest.raises(
        TypeError, match=r"callback Plotter\.plot is called with event, .*: missing .*'value'"
    ):
        check_takes(Plotter("Ana").plot, "event")


def test_a_method_is_found_by_its_name() -> None:
    ana = Plotter("Ana")
    assert resolve(ana, "plot") == ana.plot
    assert resolve(ana, "do_things") == ana.do_things


def test_anything_that_can_be_called_is_taken_as_it_is() -> None:
    seen: list[object] = []
    for each in (module_level, seen.append, print, functools.partial(print, end=""), Plotter):
        assert resolve(object(), each) is each


def test_an_unknown_method_is_refused_with_those_that_there_are() -> None:
    with pytest.raises(AttributeError) as caught:
        resolve(Plotter("Ana"), "plto")
    message = str(caught.value)
    assert message == ("Plotter('Ana') has no method 'plto'; it has: do_things, plot, plot_later")


def test_an_unknown_method_of_what_has_none_is_refused() -> None:
    with pytest.raises(AttributeError, match="it has: none"):
        resolve(object(), "plot")


@pytest.mark.parametrize("what", ["name", None, 7])
def test_what_cannot_be_called_is_refused(what: Any) -> None:
    with pytest.raises(TypeError, match="a callback is the name of a method or something to call"):
        resolve(Subscriber("Luis"), what)


def test_a_method_that_is_set_to_none_cannot_be_called() -> None:
    muted = types.SimpleNamespace(shout=None)
    with pytest.raises(TypeError, match="not None"):
        resolve(muted, "shout")


class AsyncCallable:
    async def __call__(self, key: str, value: str | None) -> None: ...


class PlainCallable:
    def __call__(self, key: str, value: str | None) -> None: ...


@functools.wraps(async_module_level)
def wrapped(*args: Any) -> Any:
    return async_module_level(*args)


ASYNC = [
    async_module_level,
    Plotter("Ana").plot_later,
    functools.partial(async_module_level, "key"),
    AsyncCallable(),
    wrapped,
]
PLAIN = [module_level, Plotter("Ana").plot, functools.partial(print, "x"), PlainCallable(), print]


@pytest.mark.parametrize("call", ASYNC)
def test_what_is_async_runs_on_the_loop_that_runs_now(call: Any) -> None:
    async def ask() -> bool:
        return loop_for(call, None) is asyncio.get_running_loop()

    assert asyncio.run(ask())


@pytest.mark.parametrize("call", ASYNC)
def test_what_is_async_is_refused_where_no_loop_runs(call: Any) -> None:
    with pytest.raises(RuntimeError, match="none is running here"):
        loop_for(call, None)


@pytest.mark.parametrize("call", PLAIN)
def test_what_is_plain_runs_on_a_worker_unless_the_loop_is_asked_for(call: Any) -> None:
    async def ask() -> bool:
        assert loop_for(call, None) is None
        return loop_for(call, "loop") is asyncio.get_running_loop()

    assert asyncio.run(ask())
    with pytest.raises(RuntimeError, match="none is running here"):
        loop_for(call, "loop")


def test_a_subscription_gives_its_own_key_for_an_exact_one_and_the_events_for_a_prefix() -> None:
    calls: list[tuple[str, str | None]] = []

    def note(key: str, value: str | None) -> None:
        calls.append((key, value))

    scope = KeyRange.of_key(b"/nokia")
    exact = Subscription.of_values("nokia", scope, False, object(), note, None)  # noqa: FBT003
    below = Subscription.of_values("nok", scope, True, object(), note, None)  # noqa: FBT003
    exact.call(event(1, "/nokia", "one"))
    exact.call(event(2, "/nokia", None))
    below.call(event(3, "/nokia", "two"))
    assert calls == [("nokia", "one"), ("nokia", None), ("/nokia", "two")]


def test_the_same_object_is_the_same_subscriber_and_an_equal_one_is_not() -> None:
    first, second = [1], [1]
    assert identity(first) == identity(first)
    assert identity(first) != identity(second)


def test_a_bound_method_is_the_same_each_time_it_is_asked_for() -> None:
    ana, eva = Plotter("Ana"), Plotter("Ana")
    assert identity(ana.plot) == identity(ana.plot)
    assert identity(ana.plot) != identity(ana.do_things)
    assert identity(ana.plot) != identity(eva.plot)
    assert identity(ana.plot) != identity(ana)


def test_subscribers_of_one_class_and_name_recur() -> None:
    assert recurring_name(Subscriber("Luis")) == recurring_name(Subscriber("Luis"))
    assert recurring_name(Subscriber("Luis")) != recurring_name(Subscriber("Ana"))
    assert recurring_name(Subscriber("Ana")) != recurring_name(Plotter("Ana"))


def run_cell(source: str) -> Any:
    """Run source as a notebook cell is: in a module of its own name, again and again."""
    namespace: dict[str, Any] = {"__name__": "__main__"}
    exec(compile(source, "cell", "exec"), namespace)  # noqa: S102 - that is what a cell is
    return namespace["made"]


@pytest.mark.parametrize(
    ("cell", "other"),
    [
        ("def made(event): pass", "def made2(event): pass\nmade = made2"),
        ("made = lambda event: 1", "made = lambda event: 2"),
        ("made = lambda event, x=1: x", "made = lambda event, x=2: x"),
    ],
)
def test_a_function_recurs_when_its_cell_is_run_again(cell: str, other: str) -> None:
    assert recurring_name(run_cell(cell)) == recurring_name(run_cell(cell)) is not None
    assert recurring_name(run_cell(cell)) != recurring_name(run_cell(other))


def test_lambdas_of_a_loop_that_differ_in_a_default_are_several() -> None:
    made = run_cell("made = [lambda event, n=n: n for n in range(3)]")
    assert len({recurring_name(each) for each in made}) == 3


def test_what_has_no_lasting_name_does_not_recur() -> None:
    def inner(event: object) -> None: ...

    for each in (inner, object(), 7, Plotter("Ana").plot, functools.partial(print)):
        assert recurring_name(each) is None


def test_every_name_of_the_module_is_there() -> None:
    assert set(subscriber.__all__) <= set(vars(subscriber))


class Called:
    def __call__(self, event: Event) -> None: ...

    def method(self, event: Event) -> None: ...


def called(event: Event) -> None: ...


@functools.wraps(called)
def wrapper(event: Event) -> None: ...


def hands_on(*arguments: object) -> None: ...


class Pretender:
    """Claims to be a function, as a mock with a spec does."""

    __class__ = types.FunctionType  # type: ignore[assignment]
    __code__ = called.__code__
    __call__ = functools.partial(called)

    def __getattr__(self, name: str) -> object:
        pytest.fail(f"it was asked for {name}")


@pytest.mark.parametrize(
    ("call", "runs"),
    [
        (called, called.__code__),
        (Called().method, Called.method.__code__),
        (Called(), Called.__call__.__code__),
        (wrapper, None),
        (hands_on, None),
        (functools.partial(called), None),
        (Called, None),
        (print, None),
        ([].append, None),
        (Mock(), None),
        (Mock(spec=called), None),
    ],
)
def test_what_code_a_callback_runs_is_told_where_that_says_what_it_does(
    call: object, runs: types.CodeType | None
) -> None:
    assert code_of(call) is runs


def test_an_object_is_not_asked_what_code_it_runs() -> None:
    assert code_of(Pretender()) is None


def test_a_new_callback_brings_its_code() -> None:
    first, second = (
        Subscription("k", KeyRange.of_key(b"k"), prefix=False, code=each.__code__)
        for each in (called, hands_on)
    )
    first.become(second)
    assert first.code is hands_on.__code__
