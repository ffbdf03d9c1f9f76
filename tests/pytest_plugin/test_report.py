"""What pytest shows of a failed test: what its watchers saw."""

from __future__ import annotations

import pytest

from etcd_watcher import Recording
from tests.pytest_plugin.test_fixtures import run

pytest_plugins = ["pytester"]


def test_a_failed_test_shows_its_journal(pytester: pytest.Pytester) -> None:
    code = """
        def test_news_arrive(etcd, watcher):
            watcher.add_key("nokia")
            etcd.put("nokia", "good bye")
            assert watcher.wait_for("nokia").value == "hello"
    """
    result = run(pytester, code)
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        [
            "*AssertionError*",
            "*etcd journal, Watcher(v3, connected, 1 key): 'nokia'*",
            "revision  type  key    value",
            "*  PUT   nokia  good bye",
        ]
    )


GONE = """
    import pytest
    from etcd_watcher import Watcher

    @pytest.fixture
    def gone(etcd, etcd_api):
        with Watcher(etcd, api=etcd_api, request_timeout=0.5) as watcher:
            etcd.kill()
            yield watcher

    def write(watcher):
        watcher.put("nokia", "hello")

    def test_put(gone):
        write(gone)

    @pytest.fixture
    def written(gone):
        gone.put("nokia", "hello")

    def test_a_fixture_puts(written):
        pass
"""


@pytest.mark.parametrize("api", ["v2", "v3"])
def test_a_write_that_failed_is_shown_where_it_was_made(
    pytester: pytest.Pytester, api: str
) -> None:
    result = run(pytester, GONE, f"--etcd-api={api}")
    result.assert_outcomes(failed=1, errors=1)
    result.stdout.fnmatch_lines(['>*watcher.put("nokia", "hello")'])
    result.stdout.fnmatch_lines(['>*gone.put("nokia", "hello")'])
    shown = result.stdout.str()
    assert shown.count("\nE   ") == 2, "an error, and nothing that it came from"
    for inside in ("grpc/", "client.py", "stores/", "direct cause", "During handling"):
        assert inside not in shown


@pytest.mark.parametrize("option", ["--tb=long", "--full-trace"])
def test_all_of_it_can_be_had(pytester: pytest.Pytester, option: str) -> None:
    shown = run(pytester, GONE, option).stdout.str()
    assert "direct cause" in shown
    assert "client.py" in shown


def test_hostile_values_are_shown_as_what_they_are(pytester: pytest.Pytester) -> None:
    code = r"""
        def test_hostile(watcher):
            watcher.add_key("\x1b[2J\nkey")
            watcher.put("\x1b[2J\nkey", b"\xff\r\n")
            watcher.sync()
            assert False
    """
    result = run(pytester, code)
    assert r"1 key): '\x1b[2J\nkey'" in result.stdout.str()
    assert r"PUT   \x1b[2J\nkey  \udcff\r\n" in result.stdout.str()


def test_nothing_came_is_said_too(pytester: pytest.Pytester) -> None:
    code = """
        def test_nothing(etcd, watcher):
            watcher.add_key("nokia")
            etcd.put("redhat", "unseen")
            watcher.wait_for("nokia", timeout=0.01)
    """
    result = run(pytester, code)
    result.stdout.fnmatch_lines(["*etcd journal, Watcher(v3*'nokia'*", "nothing came"])


def test_the_watchers_that_a_test_makes_are_shown_too(pytester: pytest.Pytester) -> None:
    code = """
        import pytest
        from etcd_watcher import Watcher

        @pytest.mark.parametrize("etcd_api", ["v2"])
        def test_two(etcd, watcher):
            watcher.add_key("a")
            with Watcher(etcd, api="v3") as mine:
                mine.add_key("b")
                mine.put("b", "in the second")
                watcher.put("a", "in the first")
                mine.sync(), watcher.sync()
                assert False
    """
    result = run(pytester, code)
    result.stdout.fnmatch_lines(
        ["*Watcher(v2, connected*'a'*", "*in the first", "*Watcher(v3, closed*'b'*", "*second"]
    )


def test_of_a_watcher_that_lives_longer_only_the_tests_own_time_is_shown(
    pytester: pytest.Pytester,
) -> None:
    code = """
        import pytest
        from etcd_watcher import Watcher

        @pytest.fixture(scope="module")
        def long_lived(etcd_shared):
            with Watcher(etcd_shared.etcd, api="v3") as watcher:
                watcher.add_key("key")
                yield watcher

        def test_earlier(long_lived):
            long_lived.put("key", "earlier")
            long_lived.sync()

        def test_later(long_lived):
            long_lived.put("key", "later")
            long_lived.sync()
            assert False
    """
    result = run(pytester, code)
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(["*PUT   key  later"])
    result.stdout.no_fnmatch_line("*PUT   key  earlier")


def test_a_long_journal_is_shown_from_its_end(pytester: pytest.Pytester) -> None:
    code = """
        def test_many(watcher):
            watcher.add_key("key")
            for number in range(60):
                watcher.put("key", str(number))
            watcher.sync()
            assert False
    """
    result = run(pytester, code)
    result.stdout.fnmatch_lines(["… 10 earlier records", "*PUT   key  10", "*PUT   key  59"])


def test_an_error_in_a_fixture_shows_the_journal_too(pytester: pytest.Pytester) -> None:
    code = """
        import pytest

        @pytest.fixture
        def broken(watcher):
            watcher.add_key("key")
            watcher.put("key", "from the fixture")
            watcher.sync()
            raise LookupError

        def test_broken(broken): ...
    """
    result = run(pytester, code)
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*etcd journal*", "*from the fixture"])


@pytest.mark.parametrize(
    "code",
    [
        "def test_passed(watcher): ...",
        "import pytest\ndef test_skipped(watcher): pytest.skip('no')",
        "import pytest\n@pytest.mark.xfail\ndef test_expected(watcher): assert False",
        "def test_without(): assert False",
    ],
)
def test_no_journal_is_shown_where_nothing_failed_and_where_there_is_none(
    pytester: pytest.Pytester, code: str
) -> None:
    run(pytester, code, "-rA").stdout.no_fnmatch_line("*etcd journal*")


KEPT = """
    import pytest

    @pytest.mark.parametrize("name", ["good", "a/b c", "../../x"])
    def test_kept(watcher, name):
        watcher.add_key("key")
        watcher.put("key", name)
        watcher.sync()
        assert name == "good"
"""


def test_the_recordings_of_failed_tests_can_be_kept(pytester: pytest.Pytester) -> None:
    result = run(pytester, KEPT, "--etcd-recordings=kept/here")
    result.assert_outcomes(passed=1, failed=2)
    files = sorted(pytester.path.joinpath("kept/here").iterdir())
    assert [Recording(each).events("key")[0].value for each in files] == ["../../x", "a/b c"]
    assert all(f"kept in {each}" in result.stdout.str() for each in files)


def test_each_watcher_of_a_test_has_a_recording_of_its_own(pytester: pytest.Pytester) -> None:
    code = """
        from etcd_watcher import Watcher

        def test_two(etcd, watcher):
            with Watcher(etcd, api="v3") as mine:
                mine.add_key("b")
                assert False
    """
    run(pytester, code, "--etcd-recordings=kept")
    files = pytester.path.joinpath("kept").iterdir()
    assert sorted(str(Recording(each).keys) for each in files) == ["['b']", "[]"]


def test_a_folder_that_cannot_be_written_costs_the_recording_only(
    pytester: pytest.Pytester,
) -> None:
    pytester.makefile(".txt", taken="a file")
    result = run(pytester, KEPT, "--etcd-recordings=taken.txt")
    result.assert_outcomes(passed=1, failed=2)
    result.stdout.fnmatch_lines(["no recording was kept: *taken.txt*"])
