"""Keys of etcd v2: which there are, how they are named, and where to poll for them."""

from __future__ import annotations

from urllib.parse import unquote_to_bytes

import pytest
from hypothesis import given
from hypothesis import strategies as st

from etcd_watcher.keys import KeyRange
from etcd_watcher.stores.v2 import V2Store
from etcd_watcher.stores.v2_keys import Place, canonical, place_of, quote

PARTS = st.text(min_size=1, max_size=6).filter(
    lambda part: "/" not in part and part not in (".", "..") and part.isprintable()
)
PATHS = st.lists(PARTS, min_size=1, max_size=4).map(lambda parts: "/" + "/".join(parts))


@pytest.mark.parametrize("key", [b"nokia", b"/nokia", b"//nokia", b"nokia/", b"//nokia//"])
def test_slashes_around_a_key_mean_nothing(key: bytes) -> None:
    assert canonical(key, prefix=False) == b"/nokia"
    assert canonical(key, prefix=True) == b"/nokia"


def test_slashes_between_parts_are_one() -> None:
    assert canonical(b"a//b///c", prefix=False) == b"/a/b/c"


@pytest.mark.parametrize("key", [b"", b"/", b"//"])
def test_the_root_is_a_prefix_and_no_key(key: bytes) -> None:
    assert canonical(key, prefix=True) == b""
    with pytest.raises(ValueError, match=r"empty key|prefix=True"):
        canonical(key, prefix=False)


@pytest.mark.parametrize("key", [b".", b"..", b"a/../b", b"/a/./b", b"a/.."])
def test_parts_that_the_server_takes_for_a_way_are_refused(key: bytes) -> None:
    with pytest.raises(ValueError, match=r"no key of that name"):
        canonical(key, prefix=False)


def test_dots_within_a_part_are_letters() -> None:
    assert canonical(b"a/.../.b/c.", prefix=False) == b"/a/.../.b/c."


def test_a_key_that_is_not_utf_8_is_refused_with_a_way_out() -> None:
    with pytest.raises(ValueError, match=r'not UTF-8.*api="v3"'):
        canonical(b"a\xff", prefix=False)


def test_a_key_too_long_for_the_server_is_refused() -> None:
    assert canonical(b"k" * 3_800, prefix=False)
    with pytest.raises(ValueError, match="too long"):
        canonical(b"k" * 4_000, prefix=False)
    with pytest.raises(ValueError, match="too long"):
        canonical("ü".encode() * 1_000, prefix=False)  # each is six letters in a URL


@given(PATHS)
def test_quoting_loses_nothing(path: str) -> None:
    quoted = quote(path.encode())
    assert unquote_to_bytes(quoted) == path.encode()
    assert not set(quoted) & set("#?; ")


@pytest.mark.parametrize("key", [b"_x", b"a/_x", b"a/_x/y"])
def test_keys_that_etcd_hides_cannot_be_watched(key: bytes) -> None:
    store = V2Store(["http://127.0.0.1:1"])
    for prefix in (False, True):
        with pytest.raises(ValueError, match=r"begins with '_'.*another key.*v3"):
            store.key_range(key, prefix=prefix)
    assert store.key_range(b"a/x_", prefix=False) == KeyRange.of_key(b"/a/x_")
    store.close()


def test_ranges_are_of_keys_and_of_directories() -> None:
    store = V2Store(["http://127.0.0.1:1"])
    assert store.key_range(b"nokia", prefix=False) == KeyRange.of_key(b"/nokia")
    assert store.key_range(b"nokia", prefix=True) == KeyRange.of_prefix(b"/nokia/")
    assert store.key_range(b"", prefix=True) == KeyRange.of_prefix(b"/")
    assert b"/nokia2" not in store.key_range(b"nokia", prefix=True)
    store.close()


def place(path: bytes, *, recursive: bool) -> Place:
    return Place(path, recursive)


@pytest.mark.parametrize(
    ("scope", "expected"),
    [
        (KeyRange.of_key(b"/a/b"), place(b"/a/b", recursive=False)),
        (KeyRange.of_prefix(b"/a/b/"), place(b"/a/b", recursive=True)),
        (KeyRange.of_prefix(b"/"), place(b"", recursive=True)),
        (KeyRange(b"/a/b", b"/a/c\0"), place(b"/a", recursive=True)),
        (KeyRange(b"/a/b/x", b"/a/b/y\0"), place(b"/a/b", recursive=True)),
        (KeyRange(b"/a/b/x", b"/a/c\0"), place(b"/a", recursive=True)),
        (KeyRange(b"/a/b", b"/b\0"), place(b"", recursive=True)),
        (KeyRange(b"/a/b", None), place(b"", recursive=True)),
        (KeyRange(b"/a", b"/a/b\0"), place(b"", recursive=True)),
    ],
)
def test_the_poll_is_at_the_deepest_directory(scope: KeyRange, expected: Place) -> None:
    assert place_of(scope) == expected


@given(st.lists(st.tuples(PATHS, st.booleans()), min_size=1, max_size=4), PATHS)
def test_whatever_is_in_a_range_is_where_we_poll(watched: list[tuple[str, bool]], key: str) -> None:
    ranges = [
        KeyRange.of_prefix(path.encode() + b"/") if prefix else KeyRange.of_key(path.encode())
        for path, prefix in watched
    ]
    hull = KeyRange.hull(ranges)
    found = place_of(hull)
    for candidate in [key, *(path for path, _ in watched), *(path + key for path, _ in watched)]:
        assert candidate.encode() not in hull or candidate.encode() in found
