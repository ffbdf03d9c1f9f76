"""HTML forms: whatever is in a key, a value or a name, it stays text."""

from __future__ import annotations

from html.parser import HTMLParser

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from etcd_watcher._html import (
    card_html,
    code,
    event_html,
    journal_html,
    table_html,
    watcher_html,
)
from etcd_watcher.event import Gap, Status
from etcd_watcher.journal import Journal, Record
from tests.fake_store import event

# On a busy machine nothing has to be quick.
patient = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow], max_examples=50)

OUR_TAGS = {
    "table", "thead", "tbody", "tr", "th", "td", "div", "strong", "code", "p", "em", "caption"
}  # fmt: skip
OUR_ATTRIBUTES = {"scope", "style", "class", "aria-label"}

ATTACKS = [
    "<img src=x onerror=alert(1)>",
    "</script><script>alert(1)</script>",
    "</code></td></tr></table><h1>hello",
    "\" onmouseover='alert(1)' x=\"",
    "'><svg onload=alert(1)>",
    "&lt;b&gt; &amp; &quot;",
    "<!-- comment",
    "]]><![CDATA[",
    "\x1b[31m\u202e\n\r\x00\udcff",
]


class Reader(HTMLParser):
    """Takes HTML apart again, and minds that it is well-formed."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[str] = []
        self.attributes: set[str] = set()
        self.texts: list[str] = []
        self.open: list[str] = []
        self.feed(html)
        self.close()
        assert not self.open, f"never closed: {self.open}"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.open.append(tag)
        self.attributes.update(name for name, _ in attrs)

    def handle_endtag(self, tag: str) -> None:
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append(data)

    def handle_comment(self, data: str) -> None:
        pytest.fail(f"a comment: {data!r}")

    def unknown_decl(self, data: str) -> None:
        pytest.fail(f"a declaration: {data!r}")


def read(html: str) -> Reader:
    """Check that HTML has nothing in it but what we put there ourselves."""
    reader = Reader(html)
    assert set(reader.tags) <= OUR_TAGS
    assert reader.attributes <= OUR_ATTRIBUTES
    assert html.encode()
    return reader


def shown(attack: str) -> str:
    """Give an attack as a reader has to see it: as it is, but on one line."""
    return attack.encode("unicode_escape").decode() if not attack.isprintable() else attack


@pytest.mark.parametrize("attack", ATTACKS)
def test_a_key_a_value_and_a_value_before_are_text_in_an_event(attack: str) -> None:
    raw = attack.encode("utf-8", "surrogateescape")
    reader = read(event_html(event(3, raw, raw, prev=raw)))
    assert reader.texts.count(shown(attack)) == 3


@pytest.mark.parametrize("attack", ATTACKS)
def test_records_of_all_kinds_are_text_in_a_journal(attack: str) -> None:
    raw = attack.encode("utf-8", "surrogateescape")
    records: list[Record] = [
        event(3, raw, raw, prev=raw),
        Gap(4, 5, attack),
        Status("reconnecting", attack, attack),
    ]
    reader = read(journal_html(records, 3))
    assert reader.texts.count(shown(attack)) == 5


@pytest.mark.parametrize("attack", ATTACKS)
def test_names_endpoints_and_reasons_are_text_in_a_watcher(attack: str) -> None:
    status = Status("reconnecting", attack, attack)
    html = watcher_html("v3", [attack], status, [(attack, True, [attack, "Luis"])], Journal())
    joined = "".join(read(html).texts)
    assert joined.count(shown(attack)) == 4  # endpoint, reason, key, subscriber


@patient
@given(st.binary(max_size=300), st.none() | st.binary(max_size=300))
def test_no_bytes_make_a_tag(key: bytes, value: bytes | None) -> None:
    read(event_html(event(3, key, value, prev=value)))
    read(journal_html([event(3, key, value, prev=value)], 0))


@patient
@given(st.text(st.characters(), max_size=100))
def test_heads_and_titles_are_text_too(title: str) -> None:
    printable = "".join(char for char in title if char.isprintable())
    read(card_html(printable, [(printable, "cell")]))
    read(table_html([printable], [["cell"]]))


def test_a_missing_value_is_a_dash_and_an_empty_one_is_empty() -> None:
    assert code(None) == "—"
    assert code("") == "<code></code>"


def test_a_long_value_is_cut() -> None:
    reader = read(event_html(event(3, "key", "v" * 10_000)))
    assert max(map(len, reader.texts)) <= 200


def test_an_event_says_in_words_what_happened() -> None:
    created = event(3, "key", "value")
    modified = created._replace(created=2, version=2)
    deleted = event(4, "key", None)
    expired = deleted._replace(expired=True)
    for made, word in [
        (created, "created"),
        (modified, "modified"),
        (deleted, "deleted"),
        (expired, "expired"),
        (modified._replace(synthetic=True), "resync"),
    ]:
        assert word in read(event_html(made)).texts[0]


def test_a_lease_is_shown_as_etcdctl_shows_it() -> None:
    assert "32694" in read(event_html(event(3)._replace(lease=0x32694))).texts


def test_a_journal_without_records_says_so() -> None:
    assert "No change yet" in "".join(read(journal_html([], 0)).texts)


def test_a_journal_says_how_many_records_come_before_those_shown() -> None:
    journal = Journal()
    journal.append([event(revision) for revision in range(1, 1026)])
    reader = read(journal._repr_html_())
    assert "1,005 earlier records" in "".join(reader.texts)
    assert reader.tags.count("tr") == 21


def test_a_gap_shows_its_revisions() -> None:
    texts = read(journal_html([Gap(3, 9, "compacted")], 0)).texts
    assert "3 to 9" in texts
    assert "compacted" in texts


def test_a_watcher_with_many_keys_shows_the_first_and_counts_the_rest() -> None:
    keys = [(f"key-{number}", False, ["Luis"]) for number in range(1050)]
    html = watcher_html("v3", ["http://one:2379"], Status("connected"), keys, Journal())
    joined = "".join(read(html).texts)
    assert "key-49" in joined
    assert "key-50" not in joined
    assert "1,000 more keys" in joined


def test_no_html_has_an_address_a_time_or_a_link_to_elsewhere() -> None:
    status = Status("reconnecting", "one:2379", "refused", since=1234567.8, next_try=1234599.9)
    html = watcher_html("v3", ["one:2379"], status, [("k", False, ["Luis"])], Journal())
    assert "12345" not in html
    assert "0x" not in html
    assert "//" not in html
