"""What a client says first."""

from __future__ import annotations

import struct

from hpack import Decoder
from hypothesis import given
from hypothesis import strategies as st

from etcd_watcher.stores import http2_frames as h2
from etcd_watcher.stores.http2_session import ALL_WINDOWS, AT_FIRST, WINDOW, Session
from tests.stores.http2_session.frames import frames_of


def test_a_connection_begins_with_preface_settings_and_credit() -> None:
    hello = Session.hello()
    assert hello.startswith(h2.PREFACE)
    first, second = frames_of(hello[len(h2.PREFACE) :])
    pairs = dict(struct.iter_unpack(">HL", first[3]))
    assert (first[0], pairs[2], pairs[h2.INITIAL_WINDOW]) == (h2.SETTINGS, 0, WINDOW)
    assert (second[0], second[2], second[3]) == (
        h2.WINDOW_UPDATE,
        0,
        struct.pack(">L", ALL_WINDOWS - AT_FIRST),
    )


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["a", ":path", "x" * 126, "y" * 127, "z" * 300]),
            st.text(max_size=20)
            | st.sampled_from(["x" * each for each in (126, 127, 255, 20_000)]),
        ),
        max_size=3,
    ),
    st.integers(100, 500),
)
def test_headers_are_written_as_others_read_them(headers: list[tuple[str, str]], most: int) -> None:
    block = b"".join(h2.header(*each) for each in headers)
    frames = frames_of(h2.ask_headers(7, block, most=most))
    assert [each[0] for each in frames] == [h2.HEADERS] + [h2.CONTINUATION] * (len(frames) - 1)
    assert [bool(each[1] & h2.END_HEADERS) for each in frames] == [False] * (len(frames) - 1) + [
        True
    ]
    decoder = Decoder(max_header_list_size=10**6)
    found = decoder.decode(b"".join(each[3] for each in frames))
    assert [(str(name), str(value)) for name, value in found] == headers
    assert len(decoder.header_table.dynamic_entries) == 0
