"""Passwords, tokens and keys are shown nowhere: each test looks at everything that can be seen."""

from __future__ import annotations

import base64
import gc
import io
import logging
import pickle
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from etcd_watcher import LocalEtcd, Watcher
from etcd_watcher.endpoints import Credentials
from etcd_watcher.secret import Secret, conceal
from tests.tracebacks import shown
from tests.watcher.conftest import News

PASSWORD = "hunter2-swordfish"
SHADES = [
    PASSWORD,
    base64.b64encode(PASSWORD.encode()).decode(),
    # The same within "luis:…", as HTTP has it, without its unsteady ends.
    base64.b64encode(f"luis:{PASSWORD}".encode()).decode()[8:-4],
    PASSWORD.replace("-", "%2D"),
]


def assert_hidden(text: str, *more: str) -> None:
    for shade in (*SHADES, *more):
        assert shade not in text


@pytest.fixture(scope="module")
def guarded() -> Iterator[LocalEtcd]:
    with LocalEtcd(version="3.5", user="luis", password=PASSWORD, tls=True) as etcd:
        etcd.users.add("juan", PASSWORD, read=["news/"])
        yield etcd


@pytest.fixture
def nobody_there() -> str:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    return f"127.0.0.1:{port}"


def failure(use: Callable[[], object]) -> str:
    try:
        use()
    except Exception as error:  # noqa: BLE001 - whatever it is, it is looked at
        return shown(error)
    pytest.fail("it did not fail")


@pytest.mark.parametrize("api", ["v2", "v3"])
def test_no_error_of_a_new_watcher_shows_a_password(
    guarded: LocalEtcd, nobody_there: str, api: str
) -> None:
    wrong = f"{PASSWORD}-wrong"
    refused = f"http://luis:{PASSWORD}@{nobody_there}"
    for use in (
        lambda: Watcher(f"http://{nobody_there}", api=api, user="luis", password=PASSWORD),
        lambda: Watcher(refused, api=api),
        lambda: Watcher([refused, f"https://luis:{PASSWORD}@no-such-host.invalid"], api=api),
        lambda: Watcher(f"http://luis:{PASSWORD}@one:1/path", api=api),
        lambda: Watcher(f"http://luis:{PASSWORD}@one:port", api=api),
        lambda: Watcher(f"ftp://luis:{PASSWORD}@one", api=api),
        lambda: Watcher((f"http://luis:{PASSWORD}@[::1", "x"), api=api),
        lambda: Watcher(guarded.url, api=api, password=PASSWORD),
        lambda: Watcher(guarded.url, api=api, user="luis", password=PASSWORD),  # no authority
        lambda: Watcher(guarded, api=api, user="luis", password=wrong).add_key("key"),
        lambda: Watcher(guarded, api=api, user="juan", password=PASSWORD).put("other", "x"),
        lambda: Watcher(guarded, api=api, user="juan", password=PASSWORD).add_key("other"),
    ):
        assert_hidden(failure(use))
    gc.collect()  # the watchers that were made


@pytest.mark.parametrize("api", ["v2", "v3"])
def test_no_error_behind_a_login_shows_a_password_or_token(api: str) -> None:
    with (
        LocalEtcd(version="3.5", user="luis", password=PASSWORD) as etcd,
        Watcher(etcd, api=api, request_timeout=2) as watcher,
    ):
        watcher.add_key("news")
        watcher.put("news", "hello")
        token = str(watcher._store._login._token) if api == "v3" else "none"  # type: ignore[attr-defined]
        assert api == "v2" or len(token) > 10
        etcd.pause()
        for use in (
            lambda: watcher.put("news", "x"),
            lambda: watcher.get("news"),
            lambda: watcher.sync(1),
        ):
            assert_hidden(failure(use), token)
        etcd.kill()
        for use in (lambda: watcher.put("news", "x"), lambda: watcher.add_key("more")):
            assert_hidden(failure(use), token)


@pytest.mark.parametrize("api", ["v2", "v3"])
def test_nothing_that_is_printed_logged_or_kept_shows_a_password(
    guarded: LocalEtcd,
    news: News,
    api: str,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    caplog.set_level(logging.DEBUG)
    url = guarded.url.replace("//", f"//luis:{PASSWORD}@")
    with Watcher(url, api=api, ca_cert=guarded.ca_cert) as watcher:
        watcher.register("news/1", news, "tell")
        watcher.register("news/2", news, lambda *_: 1 / 0)
        guarded.put("news/1", "hello", api=api)
        guarded.put("news/2", "hello", api=api)
        watcher.sync()
        guarded.restart()
        guarded.put("news/1", "again", api=api)
        watcher.sync()
        watcher.journal.save(tmp_path / "journal")
        shown = [
            repr(watcher),
            watcher._repr_html_() if hasattr(watcher, "_repr_html_") else "",
            repr(watcher.status),
            repr(watcher.endpoints),
            repr(vars(watcher)),
            repr(watcher.journal),
            str(watcher.journal.table()),
            watcher.journal._repr_html_(),
            repr(watcher.delivery(news)),
            repr(guarded),
            repr(vars(guarded)),
            repr(guarded.users),
            caplog.text,
            *capfd.readouterr(),
            *(
                each.read_bytes().decode("latin-1")
                for each in tmp_path.rglob("*")
                if each.is_file()
            ),
        ]
    assert_hidden("\n".join(shown))


def test_no_error_of_a_local_server_shows_a_password(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert_hidden(
        failure(lambda: LocalEtcd(user="luis", password=PASSWORD, data_dir=tmp_path / "file" / "x"))
    )
    assert_hidden(failure(lambda: LocalEtcd(password=PASSWORD)))
    with LocalEtcd(version="3.5", user="luis", password=PASSWORD) as etcd:
        assert_hidden(failure(lambda: etcd.users.add("luis", PASSWORD)))
        assert_hidden(failure(lambda: etcd.users.change_password("nobody", PASSWORD)))
        assert_hidden(failure(lambda: etcd.put("", "x")))
        pid = etcd.pid
        for name in ("cmdline", "environ"):
            if Path(f"/proc/{pid}/{name}").exists():
                assert_hidden(Path(f"/proc/{pid}/{name}").read_text("latin-1"))
        etcd._single._process.kill()
        assert_hidden(failure(lambda: etcd.users.add("juan", PASSWORD)))


def test_a_notebook_that_shows_variables_in_tracebacks_shows_no_password() -> None:
    # The cells have the password from a variable that they do not print themselves.
    held = f"word = base64.b64decode({base64.b64encode(PASSWORD[::-1].encode())!r}).decode()[::-1]"
    cells = [
        "%xmode Verbose",
        "import base64; from etcd_watcher import LocalEtcd, Watcher",
        f"class Held: {held}",
        "etcd = LocalEtcd(user='luis', password=Held.word); etcd",
        "watcher = Watcher(etcd, api='v3'); watcher",
        "watcher.put('', 'x')",
        "Watcher(etcd, api='v3', user='luis', password=Held.word + '!')",
        "Watcher('http://127.0.0.1:1', user='luis', password=Held.word)",
        "Watcher(f'http://luis:{Held.word}@127.0.0.1:1/x')",
        "etcd.kill(); watcher.put('a', 'x')",
        "watcher",
        "watcher.close(); etcd.stop()",
    ]
    made = nbformat.v4
    notebook = made.new_notebook(cells=[made.new_code_cell(each) for each in cells])  # type: ignore[no-untyped-call]
    NotebookClient(notebook, timeout=60, allow_errors=True).execute()
    outputs = [str(output) for cell in notebook.cells for output in cell.outputs]
    assert sum("'error'" in each for each in outputs) == 5, outputs
    text = "\n".join(outputs)
    for shade in SHADES:
        assert shade not in text


def test_the_search_would_find_one() -> None:
    def careless(word: str) -> None:
        raise ValueError(len(word))

    code = compile("def careless(word): raise ValueError(len(word))", "/elsewhere.py", "exec")
    names: dict[str, Callable[[str], None]] = {}
    exec(code, names)  # noqa: S102 - a function of a file that is no test
    with pytest.raises(AssertionError):
        assert_hidden(failure(lambda: names["careless"](PASSWORD)))
    with pytest.raises(AssertionError):
        assert_hidden(base64.b64encode(f"luis:{PASSWORD}".encode()).decode())


def test_a_secret_is_a_text_for_all_but_the_eye() -> None:
    secret = Secret("word")
    assert secret == "word"
    assert f"{secret}" == "word"
    assert repr([secret]) == "['…']"
    assert pickle.loads(pickle.dumps(secret)) == secret  # noqa: S301 - our own
    assert repr(conceal(["a", ("b", 1)])) == "['…', ['…', 1]]"
    stream = io.StringIO()
    assert conceal(stream) is stream
    assert conceal(None) is None
    assert "word" not in repr(Credentials("luis", "word"))
