"""What a card keeps: the last lines and outputs, streams merged, and how much came before."""

from __future__ import annotations

import json
import threading
import time
from typing import Any

import pytest

from etcd_watcher.widgets import output_tail
from etcd_watcher.widgets.output_tail import LARGEST, LINE, PENDING, TEXT, Output, OutputTail

PNG = {"image/png": "aGVsbG8=", "text/plain": "<Figure>"}


class Screen:
    """What a screen makes of the news: the outputs as it shows them."""

    def __init__(self, tail: OutputTail) -> None:
        self.tail = tail
        self.outputs: list[Output] = []
        self.told: list[str] = []

    def look(self) -> None:
        news = self.tail.news()
        if news is None:
            return
        how, outputs = news
        self.told.append(how)
        if how == "set":
            self.outputs = []
        for output in json.loads(json.dumps(outputs)):
            last = self.outputs[-1] if self.outputs else None
            if last is not None and last.get("name", "") == output.get("name"):
                last["text"] += output["text"]
            else:
                self.outputs.append(output)

    @property
    def text(self) -> str:
        return "".join(each.get("text", "") for each in self.outputs)


@pytest.fixture
def tail() -> OutputTail:
    return OutputTail(lines=5, rich=3)


@pytest.fixture
def screen(tail: OutputTail) -> Screen:
    screen = Screen(tail)
    screen.look()
    return screen


def say(tail: OutputTail, *lines: str) -> None:
    for line in lines:
        tail.write("stdout", line)  # as print does it
        tail.write("stdout", "\n")


def test_pieces_of_text_become_one_stream(tail: OutputTail, screen: Screen) -> None:
    tail.write("stdout", "a")
    tail.write("stdout", " ")
    tail.write("stdout", "b\n")
    tail.write("stderr", "oh\n")
    tail.write("stdout", "c\n")
    assert tail.outputs() == [
        {"output_type": "stream", "name": "stdout", "text": "a b\n"},
        {"output_type": "stream", "name": "stderr", "text": "oh\n"},
        {"output_type": "stream", "name": "stdout", "text": "c\n"},
    ]
    screen.look()
    assert screen.outputs == tail.outputs()
    assert tail.text() == "a b\noh\nc\n"


def test_a_page_is_told_only_what_is_new(tail: OutputTail, screen: Screen) -> None:
    say(tail, "one")
    screen.look()
    assert tail.news() is None
    tail.write("stdout", "tw")
    assert tail.news() == ("add", [{"output_type": "stream", "name": "stdout", "text": "tw"}])
    tail.write("stdout", "o\n")
    assert tail.news() == ("add", [{"output_type": "stream", "name": "stdout", "text": "o\n"}])
    tail.tell_all()
    screen.look()
    assert screen.told == ["set", "add", "set"]
    assert screen.text == "one\ntwo\n"


def test_only_the_last_lines_are_kept_and_the_others_counted(
    tail: OutputTail, screen: Screen
) -> None:
    for number in range(100):
        say(tail, str(number))
        screen.look()
        shown = screen.text.splitlines()
        assert shown[-1] == str(number)
        assert len(shown) <= 3 * 5 + 1, "the page does not grow for good"
    assert tail.text().splitlines() == ["95", "96", "97", "98", "99"]
    assert tail.lines_left_out == 95
    assert screen.told.count("set") < 20, "and is seldom told all anew"


def test_a_flood_between_two_looks_is_told_once_and_bounded(
    tail: OutputTail, screen: Screen
) -> None:
    for number in range(10_000):
        say(tail, str(number))
    screen.look()
    assert screen.text.splitlines() == ["9995", "9996", "9997", "9998", "9999"]
    assert tail.lines_left_out == 9_995


def test_what_waits_to_be_looked_at_is_bounded(tail: OutputTail) -> None:
    for _ in range(100):
        tail.write("stdout", "x" * 10_000 + "\n")
        assert tail._pending_size <= PENDING + 10_000
    assert tail._pending_size < 100 * 10_000


def test_streams_in_between_count_as_lines_and_go_when_empty(tail: OutputTail) -> None:
    for number in range(10):
        tail.write("stdout", f"out {number}\n")
        tail.write("stderr", f"err {number}\n")
    assert tail.text().splitlines() == ["err 7", "out 8", "err 8", "out 9", "err 9"]
    assert len(tail.outputs()) == 5


def test_a_long_line_is_cut_and_says_so(tail: OutputTail, screen: Screen) -> None:
    tail.write("stdout", "x" * 1_000_000)
    screen.look()
    assert screen.text == "x" * LINE + "… (1,000,000 characters)"
    say(tail, "", "next")
    screen.look()
    assert screen.text.splitlines()[-1] == "next"


def test_many_long_lines_are_bounded_in_sum() -> None:
    tail = OutputTail(lines=1000, rich=1)
    for _ in range(1000):
        tail.write("stdout", "x" * (LINE - 1) + "\n")
    assert len(tail.text()) <= TEXT
    assert tail.lines_left_out >= 1000 - TEXT // (LINE - 1) - 1


def test_a_page_that_is_flooded_with_long_lines_never_holds_much() -> None:
    tail = OutputTail(lines=200, rich=1)
    screen = Screen(tail)
    for _ in range(100):
        for _ in range(15):
            tail.write("stdout", "x" * (LINE - 1) + "\n")
        screen.look()
        assert len(screen.text) <= 3 * 10 * LINE + 15 * LINE


def test_a_progress_bar_keeps_its_last_state(tail: OutputTail, screen: Screen) -> None:
    for percent in range(101):
        tail.write("stdout", f"\r{'#' * percent:100} {percent} %")
        screen.look()
    assert tail.text().rpartition("\r")[2].endswith("100 %")
    assert len(tail.text()) <= 2 * LINE
    assert screen.text.rpartition("\r")[2] == tail.text().rpartition("\r")[2]


def test_the_last_plots_are_kept_where_they_were_among_the_lines(
    tail: OutputTail, screen: Screen
) -> None:
    for number in range(5):
        say(tail, f"line {number}")
        tail.display({"text/plain": f"plot {number}"}, {})
    kept = [each.get("text") or each["data"]["text/plain"] for each in tail.outputs()]
    assert kept == [
        *["line 0\nline 1\nline 2\n", "plot 2"],
        *["line 3\n", "plot 3", "line 4\n", "plot 4"],
    ]
    assert tail.rich_left_out == 2
    screen.look()
    assert screen.outputs[-4:] == tail.outputs()[-4:]
    tail.tell_all()
    screen.look()
    assert screen.outputs == tail.outputs()


def test_plots_in_a_flood_stay_bounded_in_the_page(tail: OutputTail, screen: Screen) -> None:
    for number in range(50):
        tail.display({"text/plain": f"plot {number}"}, {})
        screen.look()
        assert len(screen.outputs) <= 3 * 3 + 1
    assert [each["data"]["text/plain"] for each in tail.outputs()] == [
        "plot 47",
        "plot 48",
        "plot 49",
    ]


def test_an_error_is_an_output_too(tail: OutputTail) -> None:
    tail.fail("ValueError", "no", ["Traceback\n", "ValueError: no\n"])
    assert tail.outputs() == [
        {
            "output_type": "error",
            "ename": "ValueError",
            "evalue": "no",
            "traceback": ["Traceback\nValueError: no\n"],
        }
    ]
    assert tail.text() == "Traceback\nValueError: no\n"


def test_an_output_that_is_too_large_is_named_and_not_shown(tail: OutputTail) -> None:
    tail.display({"image/png": "A" * (LARGEST + 1)}, {})
    (output,) = tail.outputs()
    assert "An output of 1.0 MB is not shown" in output["data"]["text/plain"]


def test_large_outputs_are_bounded_in_sum() -> None:
    tail = OutputTail(lines=1, rich=100)
    for _ in range(10):
        tail.display({"image/png": "A" * 900_000}, {})
    assert len(tail.outputs()) == 2
    assert tail.rich_left_out == 8


def test_a_display_can_be_updated_where_it_is(tail: OutputTail, screen: Screen) -> None:
    tail.display({"text/plain": "first"}, {}, "it")
    say(tail, "below")
    screen.look()
    assert tail.update({"text/plain": "second"}, {}, "it")
    assert not tail.update({"text/plain": "second"}, {}, "another")
    assert not tail.update({"text/plain": "second"}, {}, None)
    screen.look()
    assert tail.text() == "second\nbelow\n"
    assert screen.outputs == tail.outputs()


def test_clearing_forgets_all(tail: OutputTail, screen: Screen) -> None:
    for number in range(20):
        say(tail, str(number))
    screen.look()
    tail.clear()
    screen.look()
    assert (tail.outputs(), screen.outputs, tail.lines_left_out) == ([], [], 0)


def test_clearing_can_wait_for_what_takes_its_place(tail: OutputTail, screen: Screen) -> None:
    say(tail, "old")
    tail.clear(wait=True)
    screen.look()
    assert screen.text == "old\n"
    say(tail, "new")
    screen.look()
    assert screen.text == "new\n"
    tail.clear(wait=True)
    tail.display(PNG, {})
    screen.look()
    assert [each["output_type"] for each in screen.outputs] == ["display_data"]
    tail.clear(wait=True)
    tail.fail("E", "e", ["E: e"])
    assert [each["output_type"] for each in tail.outputs()] == ["error"]


@pytest.mark.parametrize("text", ["\udcff", "a\0b", "\x1b[31m", "\u202e", "</script>"])
def test_any_text_can_be_sent(tail: OutputTail, screen: Screen, text: str) -> None:
    say(tail, text)
    tail.display({"text/plain": text}, {})
    tail.fail(text, text, [text])
    screen.look()
    json.dumps(screen.outputs, ensure_ascii=False).encode()
    assert screen.outputs == tail.outputs()
    if text.isprintable():
        assert text in screen.text


def test_a_bundle_that_json_does_not_know_is_shown_as_text(tail: OutputTail) -> None:
    bundle: dict[str, Any] = {"application/x": {1, 2}}
    tail.display(bundle, {})
    assert tail.outputs()[0]["data"] == {"application/x": "{1, 2}"}


def test_threads_that_write_while_a_page_looks_lose_nothing() -> None:
    tail = OutputTail(lines=10_000, rich=1)
    screen = Screen(tail)

    def write(name: str) -> None:
        for number in range(2_000):
            tail.write("stdout", f"{name} {number}\n")

    threads = [threading.Thread(target=write, args=(name,)) for name in ("a", "b")]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        screen.look()
        time.sleep(0.001)
    screen.look()
    for name in ("a", "b"):
        mine = [line for line in screen.text.splitlines() if line.startswith(name)]
        assert mine == [f"{name} {number}" for number in range(2_000)]


def test_it_is_quick_enough_for_a_flood(monkeypatch: pytest.MonkeyPatch) -> None:
    looks = 0
    look = OutputTail._look

    def count(tail: OutputTail) -> None:
        nonlocal looks
        looks += 1
        look(tail)

    monkeypatch.setattr(output_tail.OutputTail, "_look", count)
    tail = OutputTail(lines=200, rich=1)
    for number in range(20_000):
        tail.write("stdout", f"{number:20}\n")
    assert looks <= 20_000 * 21 // PENDING + 1, "text is looked at in bulk"
