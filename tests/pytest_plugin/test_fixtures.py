"""The fixtures, as a person's own test files use them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from etcd_watcher.local.binary import find_binary
from tests.threads import threads_left

pytest_plugins = ["pytester"]

FIVE_LINES = """
def test_news_arrive(etcd, watcher):
    watcher.add_key("nokia")
    etcd.put("nokia", "hello")
    assert watcher.wait_for("nokia").value == "hello"
"""


def run(pytester: pytest.Pytester, code: str, *options: str) -> pytest.RunResult:
    """Run a test file in this process, with no other plugin: Playwright's cannot be nested."""
    pytester.makepyfile(code)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
        return pytester.runpytest_inprocess("-p", "etcd_watcher", *options)


@pytest.mark.usefixtures("no_leaks")
def test_five_lines_pass_and_leave_nothing(pytester: pytest.Pytester) -> None:
    run(pytester, FIVE_LINES).assert_outcomes(passed=1)
    assert threads_left() == []


def test_all_tests_of_a_session_have_one_server_and_each_finds_it_empty(
    pytester: pytest.Pytester,
) -> None:
    code = """
        import pytest

        pids = set()

        @pytest.mark.parametrize("number", range(5))
        def test_it_is_empty(etcd, watcher, number):
            assert watcher.get("key") is None
            assert watcher.delete("", prefix=True) == 0
            watcher.put("key", "value", ttl=600)
            pids.add(etcd.pid)
            assert len(pids) == 1
    """
    run(pytester, code).assert_outcomes(passed=5)


def test_a_test_may_break_its_server(pytester: pytest.Pytester) -> None:
    code = """
        import pytest

        @pytest.mark.parametrize("number", range(2))
        @pytest.mark.parametrize("fault", ["stop", "kill", "pause"])
        def test_it_breaks(etcd, fault, number):
            assert etcd.get("key") is None
            etcd.put("key", "value")
            getattr(etcd, fault)()
    """
    run(pytester, code).assert_outcomes(passed=6)


@pytest.mark.parametrize(("options", "api"), [([], "v3"), (["--etcd-api=v2"], "v2")])
def test_the_api_is_v3_unless_an_option_says_otherwise(
    pytester: pytest.Pytester, options: list[str], api: str
) -> None:
    code = f"def test_api(watcher): assert watcher.api == {api!r}"
    run(pytester, code, *options).assert_outcomes(passed=1)


def test_a_test_can_be_run_on_both_apis(pytester: pytest.Pytester) -> None:
    code = """
        import pytest

        @pytest.mark.parametrize("etcd_api", ["v2", "v3"])
        def test_news(etcd, watcher, etcd_api):
            assert watcher.api == etcd_api
            watcher.add_key("nokia")
            etcd.put("nokia", "hello", api=etcd_api)
            assert watcher.wait_for("nokia").value == "hello"
    """
    run(pytester, code).assert_outcomes(passed=2)


def test_a_watcher_that_a_test_makes_sees_what_the_fixture_writes(
    pytester: pytest.Pytester,
) -> None:
    code = """
        from etcd_watcher import Watcher

        def test_news(etcd):
            for watcher in (Watcher(), Watcher(etcd), Watcher(etcd.url)):
                with watcher:
                    watcher.add_key("nokia")
                    etcd.put("nokia", "hello")
                    assert watcher.wait_for("nokia").value == "hello"

        def test_cluster(etcd_cluster):
            with Watcher(etcd_cluster) as watcher:
                watcher.add_key("nokia")
                etcd_cluster.put("nokia", "hello")
                assert watcher.wait_for("nokia").value == "hello"
    """
    run(pytester, code).assert_outcomes(passed=2)


def test_the_version_of_etcd_can_be_chosen(pytester: pytest.Pytester, any_version: str) -> None:
    code = f"def test_version(etcd): assert etcd.version.startswith({any_version!r})"
    run(pytester, code, f"--etcd-version={any_version}").assert_outcomes(passed=1)


def test_the_binary_of_etcd_can_be_chosen(pytester: pytest.Pytester) -> None:
    binary = pytester.path / "my-etcd"
    binary.symlink_to(find_binary("3.5").path)
    code = f"def test_binary(etcd): assert etcd.binary == {str(binary)!r}"
    run(pytester, code, f"--etcd-binary={binary}").assert_outcomes(passed=1)


def test_no_etcd_is_an_error_that_says_what_to_do_and_shows_no_code(
    pytester: pytest.Pytester,
) -> None:
    result = run(pytester, FIVE_LINES, "--etcd-version=2.1")
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*ERROR at setup of test_news_arrive*", "*ETCD_BINARY*"])
    result.stdout.no_fnmatch_line("*Traceback*")
    result.stdout.no_fnmatch_line("*shared.py*")


def test_etcdctls_variables_lead_to_the_server_while_the_test_runs(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    production = {
        "ETCDCTL_ENDPOINTS": "http://production.example:2379",
        "ETCDCTL_USER": "root:secret",
        "ETCDCTL_CACERT": "/nowhere/ca.pem",
        "ETCDCTL_API": "3",
    }
    for name, value in production.items():
        monkeypatch.setenv(name, value)
    code = """
        import os
        from etcd_watcher import Watcher

        def test_a_watcher_that_is_told_nothing(etcd):
            with Watcher() as watcher:
                assert watcher.endpoints == (etcd.url,)
            assert {name for name in os.environ if name.startswith("ETCDCTL_")} == {
                "ETCDCTL_ENDPOINTS",
                "ETCDCTL_API",
            }
    """
    run(pytester, code).assert_outcomes(passed=1)
    assert {name: os.environ[name] for name in production} == production


def test_a_test_can_have_a_cluster_to_hurt(pytester: pytest.Pytester) -> None:
    code = """
        import pytest
        from etcd_watcher import Watcher

        def test_a_leader_may_go(etcd_cluster):
            with Watcher() as watcher:  # all of it, as the environment says
                assert watcher.endpoints == tuple(etcd_cluster.endpoints)
                watcher.add_key("key")
                etcd_cluster.faults.kill(etcd_cluster.leader)
                etcd_cluster.put("key", "still here", api=watcher.api)
                assert watcher.wait_for("key").value == "still here"

        @pytest.mark.parametrize("etcd_cluster_size", [1])
        def test_of_any_size(etcd_cluster):
            assert list(etcd_cluster.members) == ["m1"]
    """
    run(pytester, code).assert_outcomes(passed=2)


def test_fixtures_of_the_same_name_are_the_persons_own(pytester: pytest.Pytester) -> None:
    code = """
        import pytest

        @pytest.fixture
        def etcd(): return "mine"

        @pytest.fixture
        def watcher(etcd): return f"{etcd} too"

        def test_mine(watcher): assert watcher == "mine too"
    """
    run(pytester, code).assert_outcomes(passed=1)


NOT_LOADED = """
    import sys

    def test_nothing_is_loaded():
        ours = {name for name in sys.modules if name.split(".")[0] == "etcd_watcher"}
        assert ours == {"etcd_watcher", "etcd_watcher.pytest_plugin"}
        assert not {"grpc", "google.protobuf", "etcd", "IPython", "pandas"} & set(sys.modules)

    def test_a_failure_loads_nothing_either():
        assert False

    def test_nothing_is_loaded_after_a_failure():
        test_nothing_is_loaded()
"""


def test_a_run_that_uses_no_fixture_of_ours_loads_nothing_for_it(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytester.makepyfile(NOT_LOADED)
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    result = pytester.runpytest_subprocess("-p", "etcd_watcher")
    result.assert_outcomes(passed=2, failed=1)


def test_the_plugin_can_be_switched_off(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(FIVE_LINES)
    result = pytester.runpytest_inprocess("-p", "no:etcd_watcher", "-p", "no:playwright")
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*fixture 'etcd' not found*"])


def test_the_options_and_the_fixtures_are_described(pytester: pytest.Pytester) -> None:
    options = run(pytester, "", "--help")
    options.stdout.fnmatch_lines(["*--etcd-binary*", "*--etcd-version*", "*--etcd-api*"])
    fixtures = run(pytester, "", "--fixtures")
    fixtures.stdout.fnmatch_lines_random(["etcd -- *", "*real etcd*", "watcher -- *"])


def test_a_killed_run_leaves_no_server(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    pytester.makepyfile(
        """
        import os, signal
        def test_killed(etcd):
            with open("pid", "w") as file: file.write(str(etcd.pid))
            os.kill(os.getpid(), signal.SIGKILL)
        """
    )
    pytester.runpytest_subprocess("-p", "etcd_watcher")
    pid = int(Path(pytester.path, "pid").read_text())
    gone, _ = psutil.wait_procs([psutil.Process(pid)], 20) if psutil.pid_exists(pid) else ([], [])
    assert gone or not psutil.pid_exists(pid)


MEETING = """
    import os
    from pathlib import Path

    def test_it_is_alone_there(etcd, watcher):
        me = os.environ["ME"]
        open("meeting", me).close()  # returns once the other one is here, too
        watcher.add_key("", prefix=True)
        for number in range(50):
            etcd.put(f"{me}-{number}", me)
        open("meeting", me).close()
        watcher.sync()
        assert {event.value for event in watcher.journal.events()} == {me}
        Path(me).write_text(etcd.url)
"""


def test_two_runs_side_by_side_as_workers_of_xdist_have_a_server_each(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    file = pytester.makepyfile(MEETING)
    os.mkfifo(pytester.path / "meeting")
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-p",
        "etcd_watcher",
        "-p",
        "no:cacheprovider",
        str(file),
    ]
    runs = [
        subprocess.Popen(command, env=os.environ | {"ME": me}, stdout=subprocess.PIPE)
        for me in ("r", "w")
    ]
    said = [each.communicate(timeout=60)[0].decode() for each in runs]
    assert [each.returncode for each in runs] == [0, 0], said
    assert len({pytester.path.joinpath(me).read_text() for me in ("r", "w")}) == 2
