"""What EventLog tells its page, takes from it, and gives to code."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import pytest
from traitlets import TraitError

from etcd_watcher.event import Event, Gap, Status
from etcd_watcher.watcher import Watcher
from etcd_watcher.widgets import EventLog
from etcd_watcher.widgets import event_log as event_log_module
from etcd_watcher.widgets.base import LiveWidget
from etcd_watcher.widgets.log_page import as_python
from tests.fake_store import event

Sent = list[tuple[LiveWidget, dict[str, Any]]]


def draw(log: EventLog, sent: Sent, now: float = 0.0) -> dict[str, Any] | None:
    """Draw once and give what was sent."""
    sent.clear()
    log.draw(now)
    assert len(sent) <= 1, "one message a drawing"
    return sent[0][1] if sent else None


def drawn(log: EventLog, sent: Sent) -> dict[str, Any]:
    message = draw(log, sent)
    assert message is not None
    json.dumps(message, ensure_ascii=False).encode()  # no lone surrogate
    return message


def keep(watcher: Watcher, *revisions: int, **fields: Any) -> None:
    for revision in revisions:
        watcher.journal.append([event(revision, **fields)])


@pytest.fixture
def log(fake_watcher: Watcher, monkeypatch: pytest.MonkeyPatch) -> EventLog:
    monkeypatch.setattr(event_log_module, "LOOK", 60.0)  # one drawing reads all, on any machine
    return EventLog(fake_watcher)


def test_a_row_tells_time_revision_type_key_value_and_lease(
    fake_watcher: Watcher, sent: Sent, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("etcd_watcher.journal.time.time", lambda: 12.5)
    fake_watcher.journal.append([event(7, "nokia", "hello")._replace(lease=0xAB)])
    assert drawn(EventLog(fake_watcher), sent)["rows"] == [
        {
            "number": 0,
            "came": 12.5,
            "kind": "created",
            "revision": 7,
            "key": "nokia",
            "value": "hello",
            "lease": "ab",
        }
    ]


def test_gaps_and_the_connection_have_rows_of_their_own(log: EventLog, sent: Sent) -> None:
    log.watcher.journal.append([Gap(3, 5, "compacted")])
    log.watcher.journal.append([Status("reconnecting", "http://127.0.0.1:2379", "refused")])
    rows = drawn(log, sent)["rows"]
    assert [(row["kind"], row["note"]) for row in rows] == [
        ("gap", "revisions 3 to 5 are lost: compacted"),
        ("connection", "reconnecting http://127.0.0.1:2379: refused"),
    ]


def test_words_of_a_strangers_recording_are_shown_whatever_they_are(
    log: EventLog, sent: Sent
) -> None:
    words = "\ud800 \udcff\n"
    log.watcher.journal.append([Gap(3, 5, words), Status("reconnecting", words, words)])
    log.watcher.journal.append([event(6)._replace(action=words)])
    shown = r"\ud800 \udcff\n"
    rows = drawn(log, sent)["rows"]
    assert [row.get("note") for row in rows] == [
        f"revisions 3 to 5 are lost: {shown}",
        f"reconnecting {shown}: {shown}",
        None,
    ]
    log._take(log, {"ask": "open", "epoch": 0, "number": 2}, [])
    assert drawn(log, sent)["opened"]["action"] == shown
    for text in (log.to_csv(), log.to_json_lines()):
        assert text is not None
        assert text.encode().count(b"ud800") == 3


def test_the_changes_of_a_transaction_say_so(log: EventLog, sent: Sent) -> None:
    log.watcher.journal.append([event(4, "a"), event(4, "b")])
    assert [(row["place"], row["of"]) for row in drawn(log, sent)["rows"]] == [(1, 2), (2, 2)]


def test_a_message_holds_the_newest_rows_and_a_page_asks_for_others(
    log: EventLog, sent: Sent
) -> None:
    keep(log.watcher, *range(1, 1001))
    message = drawn(log, sent)
    assert (message["first"], message["end"], message["read"]["created"]) == (0, 1000, 1000)
    assert [row["number"] for row in message["rows"]] == list(range(960, 1000))
    log._take(log, {"ask": "rows", "epoch": 0, "start": 100, "stop": 103}, [])
    assert [row["revision"] for row in drawn(log, sent)["answer"]] == [101, 102, 103]
    log._take(log, {"ask": "rows", "epoch": 0, "start": 0, "stop": 10**9}, [])
    assert len(drawn(log, sent)["answer"]) == 200, "never more than a block"
    assert draw(log, sent) is None


def test_a_question_that_comes_with_a_new_page_is_answered_too(log: EventLog, sent: Sent) -> None:
    keep(log.watcher, 1)
    drawn(log, sent)
    log._take(log, {"ask": "rows", "epoch": 0, "start": 0, "stop": 1}, [])
    log._take(log, {"ask": "whole"}, [])
    message = drawn(log, sent)
    assert message["kind"] == "whole"
    assert len(message["answer"]) == 1


def test_a_question_about_another_filters_rows_is_passed_over(log: EventLog, sent: Sent) -> None:
    keep(log.watcher, 1)
    drawn(log, sent)
    log.key = "k"
    log._take(log, {"ask": "rows", "epoch": 0, "start": 0, "stop": 1}, [])
    log._take(log, {"ask": "open", "epoch": 0, "number": 0}, [])
    assert "answer" not in drawn(log, sent)
    assert log.selected is None


@pytest.mark.parametrize(
    "nonsense",
    [
        {},
        {"ask": "rows"},
        {"ask": "rows", "epoch": "0", "start": None, "stop": []},
        {"ask": "open", "epoch": 0, "number": 99},
        {"ask": "export", "format": "exe", "id": 1},
    ],
)
def test_a_question_that_makes_no_sense_does_no_harm(
    log: EventLog, sent: Sent, nonsense: dict[str, Any]
) -> None:
    drawn(log, sent)
    log._take(log, nonsense, [])
    draw(log, sent)


def test_the_filter_can_be_changed_while_events_come(log: EventLog, sent: Sent) -> None:
    keep(log.watcher, *range(1, 11), key="a")
    keep(log.watcher, *range(11, 21), key="b")
    assert drawn(log, sent)["end"] == 20
    log.set_state({"key": "b"})
    message = drawn(log, sent)
    assert (message["epoch"], message["end"], message["read"]["created"]) == (1, 10, 20)
    keep(log.watcher, 21, key="b")
    assert drawn(log, sent)["end"] == 11
    log.types = ["deleted"]
    assert drawn(log, sent)["end"] == 0


def test_settings_are_there_from_the_first_drawing(fake_watcher: Watcher, sent: Sent) -> None:
    keep(fake_watcher, 1, key="a")
    keep(fake_watcher, 2, key="b")
    log = EventLog(fake_watcher, key="b", paused=True, types="created")
    keep(fake_watcher, 3, key="b")
    message = drawn(log, sent)
    assert (message["end"], message["paused"], message["behind"]) == (1, True, 1)
    assert repr(log) == "EventLog(key='b', paused=True, types=['created'])"
    assert drawn(EventLog(fake_watcher, between=(0, 1)), sent)["end"] == 0


def test_paused_it_tells_how_much_waits_and_then_shows_all_of_it(log: EventLog, sent: Sent) -> None:
    keep(log.watcher, 1)
    drawn(log, sent)
    log.pause()
    drawn(log, sent)
    keep(log.watcher, 2, 3)
    message = drawn(log, sent)
    assert (message["end"], message["behind"], message["paused"]) == (1, 2, True)
    assert len(log.records) == 1
    log.resume()
    message = drawn(log, sent)
    assert (message["end"], message["behind"], message["paused"]) == (3, 0, False)


def test_pausing_is_told_at_once_even_when_nothing_comes(log: EventLog, sent: Sent) -> None:
    drawn(log, sent)
    log.pause()
    assert drawn(log, sent)["paused"]


def test_what_the_journal_forgot_meanwhile_is_told_in_a_row(log: EventLog, sent: Sent) -> None:
    log.watcher.journal.max_events = 5
    keep(log.watcher, 1)
    drawn(log, sent)
    log.pause()
    keep(log.watcher, *range(2, 21))
    log.resume()
    message = drawn(log, sent)
    assert message["missed"] == log.missed == 14
    assert "14 records were forgotten" in message["rows"][0]["note"]
    assert len(log.records) == 5


def test_an_opened_event_shows_what_changed_and_how_to_do_it_again(
    log: EventLog, sent: Sent
) -> None:
    before, after = b'{"replicas": 2, "name": "shop"}', b'{"replicas": 3, "name": "shop"}'
    log.watcher.journal.append(
        [event(9, "config", after, prev=before)._replace(created=4, version=3, lease=255)]
    )
    drawn(log, sent)
    log._take(log, {"ask": "open", "epoch": 0, "number": 0}, [])
    opened = drawn(log, sent)["opened"]
    assert log.selected is not None
    assert log.selected.revision == 9
    assert opened["after"]["text"] == '{\n  "replicas": 3,\n  "name": "shop"\n}'
    assert ["gone", '  "replicas": 2,'] in [list(each) for each in opened["differences"]]
    assert ["new", '  "replicas": 3,'] in [list(each) for each in opened["differences"]]
    assert opened["python"] == """watcher.put('config', '{"replicas": 3, "name": "shop"}')"""
    assert (opened["version"], opened["created"], opened["lease"]) == (3, 4, "ff")
    log._take(log, {"ask": "close"}, [])
    assert drawn(log, sent)["opened"] is None
    assert log.selected is None


def test_a_row_without_an_event_opens_too(log: EventLog, sent: Sent) -> None:
    log.watcher.journal.append([Gap(3, 5, "compacted")])
    drawn(log, sent)
    log._take(log, {"ask": "open", "epoch": 0, "number": 0}, [])
    assert "compacted" in drawn(log, sent)["opened"]["note"]
    assert log.selected is None


def test_a_row_that_is_gone_says_so_when_it_is_opened(log: EventLog, sent: Sent) -> None:
    drawn(log, sent)
    log._take(log, {"ask": "open", "epoch": 0, "number": 5}, [])
    assert drawn(log, sent)["opened"] == {"number": 5, "kind": "forgotten"}


@pytest.mark.parametrize(
    ("made", "python"),
    [
        (event(1, "k", "a'b"), "watcher.put('k', \"a'b\")"),
        (event(1, "k", b"\xff"), r"watcher.put('k', b'\xff')"),
        (event(1, b"\xff", None), r"watcher.delete(b'\xff')"),
        (event(1, "k", b"x" * 10**6), "watcher.put('k', log.selected.raw_value)"),
    ],
)
def test_copied_python_makes_the_same_change(made: Event, python: str) -> None:
    assert as_python(made) == python


HOSTILE = [
    (b"<img src=x onerror=alert(1)>", b"</script>"),
    (b"\x1b[31mred", b"right \xe2\x80\xae to left"),
    (b"nul\0", b"\xff\xfe"),
    (b"x" * 10**6, b"y" * 10**6),
    ("é".encode() * 500, "日本".encode() * 500),
]


@pytest.mark.parametrize(("key", "value"), HOSTILE)
def test_untrusted_text_is_short_printable_and_plain_json(
    log: EventLog, sent: Sent, key: bytes, value: bytes
) -> None:
    log.watcher.journal.append([event(1, key, value, prev=value)])
    row = drawn(log, sent)["rows"][0]
    assert row["key"].isprintable()
    assert row["value"].isprintable()
    assert len(row["key"]) <= 120
    assert len(row["value"]) <= 160
    log._take(log, {"ask": "open", "epoch": 0, "number": 0}, [])
    message = drawn(log, sent)
    assert len(json.dumps(message)) < 2_000_000


def test_a_setting_with_bytes_that_are_not_text_reaches_the_page(log: EventLog) -> None:
    log.within = "a\udcff"
    assert log.get_state()["within"] == r"a\xff"
    assert log.within == "a\udcff"


def shown(log: EventLog) -> str:
    text = log.to_csv()
    assert text is not None
    return text


def test_csv_holds_exactly_the_rows_shown_with_their_whole_values(
    log: EventLog, tmp_path: Path
) -> None:
    long = "y" * 10_000
    log.watcher.journal.append(
        [event(1, "a", 'with "quotes",\nand lines'), event(2, "b", long), event(3, "a", b"\xff")]
    )
    log.watcher.journal.append([event(4, "a", None, prev=b"\xff"), Gap(5, 6, "compacted")])
    log.key = "a"
    rows = list(csv.DictReader(io.StringIO(shown(log))))
    assert [(row["revision"], row["type"], row["key"], row["value"]) for row in rows] == [
        ("1", "created", "a", 'with "quotes",\nand lines'),
        ("3", "created", "a", r"\xff"),
        ("4", "deleted", "a", ""),
        ("5", "gap", "", "5 to 6: compacted"),
    ]
    log.key = "b"
    assert long in shown(log)
    log.to_csv(tmp_path / "log.csv")
    assert (tmp_path / "log.csv").read_text() == shown(log)


def test_json_lines_lose_no_byte(log: EventLog, tmp_path: Path) -> None:
    log.watcher.journal.append([event(1, b"\xff", "é"), event(2, "b", None, prev=b"\x00\xff")])
    log.to_json_lines(tmp_path / "log.jsonl")
    first, second = map(json.loads, (tmp_path / "log.jsonl").read_text("utf-8").splitlines())
    assert (first["key_base64"], first["value"], first["revision"]) == ("/w==", "é", 1)
    assert (second["key"], second["prev_value_base64"], second["type"]) == ("b", "AP8=", "deleted")


def test_a_data_frame_has_the_rows_shown(log: EventLog) -> None:
    pytest.importorskip("pandas")
    log.watcher.journal.append([event(1, "a", "x"), event(2, "b", None), Gap(3, 4, "compacted")])
    log.watcher.journal.append([event(5, b"\xff", b"\xfe")])
    frame = log.to_pandas()
    assert frame["key"].iloc[3] == "\udcff"
    frame = frame.iloc[:3]
    assert list(frame["type"]) == ["created", "deleted", "gap"]
    assert list(frame["revision"]) == [1, 2, 3]
    assert str(frame["time"].dt.tz) == "UTC"
    log.types = []
    assert log.to_pandas().empty


def test_without_pandas_it_says_what_to_install(
    log: EventLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "pandas", None)
    with pytest.raises(ImportError, match=r"pip install 'etcd-watcher\[pandas\]'"):
        log.to_pandas()


def test_a_page_saves_a_file_part_by_part(
    log: EventLog, sent: Sent, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(event_log_module, "PART", 1000)
    keep(log.watcher, *range(1, 201), value="v" * 50)
    drawn(log, sent)
    log._take(log, {"ask": "export", "format": "csv", "id": 7}, [])
    keep(log.watcher, 201)  # comes after the click: not in the file
    parts: list[bytes] = []
    monkeypatch.setattr(EventLog, "_tell", lambda _, message: told.append(message))
    told: list[dict[str, Any]] = []
    while not (told and told[-1]["export"]["last"]):
        log.draw(0.0)
        parts += told[-1]["buffers"]
    assert told[-1]["export"] == {
        "id": 7,
        "name": "events.csv",
        "type": "text/csv;charset=utf-8",
        "last": True,
    }
    assert len(parts) > 10
    log.key = "nothing of this"
    text = b"".join(parts).decode()
    assert [row["revision"] for row in csv.DictReader(io.StringIO(text))] == [
        str(each) for each in range(1, 201)
    ]


@pytest.mark.parametrize(
    "settings",
    [
        {"types": ["made"]},
        {"height": 1},
        {"between": (1,)},
        {"between": (2, 1)},
        {"paused": "no"},
        {"key": 5},
    ],
)
def test_a_setting_that_cannot_be_is_refused(fake_watcher: Watcher, settings: Any) -> None:
    with pytest.raises(TraitError):
        EventLog(fake_watcher, **settings)


def test_nothing_that_comes_from_etcd_is_in_a_trait(log: EventLog, sent: Sent) -> None:
    log.watcher.journal.append([event(1, "secret-key", "secret-value")])
    drawn(log, sent)
    log._take(log, {"ask": "open", "epoch": 0, "number": 0}, [])
    drawn(log, sent)
    assert "secret" not in str(log.get_state())
    assert "secret" not in str(log._repr_mimebundle_())
