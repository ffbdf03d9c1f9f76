"""How a record becomes a line."""

from __future__ import annotations

import io

import pytest

from etcd_watcher import Gap, Status
from etcd_watcher.cli.lines import Lines
from etcd_watcher.event import Record
from tests.fake_store import event


class Screen(io.StringIO):
    def isatty(self) -> bool:
        return True


def written(record: Record, stream: io.StringIO | None = None, **options: object) -> str:
    stream = stream or Screen()
    Lines(stream, **options, environ={}).write(record, 0.0)  # type: ignore[arg-type]  # options
    return stream.getvalue()


@pytest.mark.parametrize(
    ("record", "line"),
    [
        (event(12, "nokia", "hello"), "      12  PUT     nokia = hello\n"),
        (event(12, "nokia", ""), "      12  PUT     nokia = \n"),
        (event(12, "nokia", None), "      12  DELETE  nokia\n"),
        (event(12, "nokia", None)._replace(expired=True), "      12  EXPIRE  nokia\n"),
        (
            event(12, "nokia", "x")._replace(synthetic=True),
            "      12  PUT     nokia = x  (after the gap)\n",
        ),
        (Gap(3, 11, "compacted"), "    3-11  GAP     compacted\n"),
        (Status("reconnecting", "http://one:1", "lost"), "          RECONNECTING  lost\n"),
    ],
)
def test_people_get_what_they_ask_first(record: Record, line: str) -> None:
    assert written(record, colour="never") == line
    coloured = written(record, colour="always")
    assert coloured != line
    assert line.rsplit(maxsplit=1)[-1] in coloured


def test_a_reason_that_comes_from_a_server_is_shown_on_one_line() -> None:
    assert written(Gap(1, 2, "a\n\x1b[2J"), colour="never") == "     1-2  GAP     a\\n\\x1b[2J\n"


def test_where_no_person_looks_on_it_is_json() -> None:
    assert written(event(12), io.StringIO()).startswith('{"time": 0.000000, "revision": 12, ')
    assert written(event(12), io.StringIO(), json=False) == "      12  PUT     k = v\n"
    assert written(event(12), Screen(), json=True).startswith("{")


@pytest.mark.parametrize(
    ("environ", "coloured"),
    [({}, True), ({"NO_COLOR": ""}, True), ({"NO_COLOR": "1"}, False), ({"TERM": "dumb"}, False)],
)
def test_colours_are_for_terminals_that_want_them(
    environ: dict[str, str],
    coloured: bool,  # noqa: FBT001 - a parameter
) -> None:
    screen, pipe = Screen(), io.StringIO()
    Lines(screen, environ=environ).write(event(1), 0.0)
    Lines(pipe, json=False, environ=environ).write(event(1), 0.0)
    assert ("\x1b" in screen.getvalue()) is coloured
    assert "\x1b" not in pipe.getvalue()


@pytest.mark.parametrize("record", [Gap(3, 11, "compacted"), event(12), Status("closed")])
def test_each_line_is_out_before_the_next(record: Record) -> None:
    class Pipe(io.StringIO):
        flushed = 0

        def flush(self) -> None:
            self.flushed += 1

    pipe = Pipe()
    Lines(pipe).write(record, 0.0)
    assert pipe.flushed == 1
