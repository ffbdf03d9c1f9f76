"""In a real kernel: whatever a callback gives lands in its card, and nothing else does."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.widgets.kernel import Kernel, running_kernel

SET_UP = """
import asyncio, logging, sys, threading, time, warnings
import matplotlib.pyplot as plt
from IPython.display import HTML, clear_output, display, update_display
from matplotlib.figure import Figure
from etcd_watcher import LocalEtcd, Subscriber, Watcher
from etcd_watcher.widgets import CallbackBoard
logging.basicConfig(level=logging.WARNING, format="%(message)s")  # keeps the stderr it finds
etcd = LocalEtcd()
watcher = Watcher(etcd.url, api="v3")

class Person(Subscriber):
    def tell(self, key, value):
        return self.act(value)

def person(name, act):
    made = Person(name)
    made.act = act
    watcher.register(name, made, "tell")
    return made

def put(name, value="v", wait=True):
    watcher.put(name, value)
    if wait:
        watcher.sync()

def kinds(who):
    return [each["output_type"] for each in board.outputs_of(who)]
"""


@pytest.fixture(scope="module")
def warm() -> Iterator[Kernel]:
    with running_kernel() as kernel:
        assert kernel.text(SET_UP) == ""
        yield kernel
        kernel.cell("watcher.close(); etcd.stop()")


@pytest.fixture
def kernel(warm: Kernel) -> Iterator[Kernel]:
    """A kernel with an empty board, opened in an earlier cell."""
    warm.text("board = CallbackBoard(watcher)")
    yield warm
    warm.text("board.close(); [watcher.remove_key(key) for key in watcher.keys]; plt.close('all')")


def test_print_goes_to_the_card_and_the_cells_own_to_the_cell(kernel: Kernel) -> None:
    shown = kernel.text("""
        ana = person("ana", lambda value: print("ana:", value))
        eva = person("eva", lambda value: print("eva:", value, file=sys.stderr))
        for number in range(20):
            print("cell", number)
            put("ana", str(number), wait=False)
            put("eva", str(number), wait=False)
        watcher.sync()
    """)
    assert shown == "".join(f"cell {number}\n" for number in range(20))
    assert kernel.text("print(board.text(ana), end='')") == "".join(
        f"ana: {number}\n" for number in range(20)
    )
    assert kernel.text("print({each['name'] for each in board.outputs_of(eva)})") == "{'stderr'}\n"
    assert "eva: 19" in kernel.text("print(board.text(eva))")


def test_it_does_so_in_the_very_cell_that_opens_the_board_and_after_its_end(
    kernel: Kernel,
) -> None:
    shown = kernel.text("""
        board.close()
        go, went = threading.Event(), threading.Event()
        def slow(value):
            print("began")
            went.set()
            go.wait(10)
            print("ended")
        ana = person("ana", slow)
        board = CallbackBoard(watcher)
        put("ana", wait=False)
        assert went.wait(10)
        print("the cell")
    """)
    assert shown == "the cell\n"
    assert kernel.text("go.set(); watcher.sync(); print(board.text(ana))") == "began\nended\n\n"


def test_a_callback_that_outlives_cells_prints_into_none_of_them(kernel: Kernel) -> None:
    kernel.text("""
        steps = [threading.Event() for _ in range(4)]
        done = [threading.Event() for _ in range(4)]
        def slow(value):
            for number, step in enumerate(steps):
                step.wait(10)
                print("step", number)
                done[number].set()
        ana = person("ana", slow)
        put("ana", wait=False)
    """)
    for number in range(4):
        shown = kernel.text(f"steps[{number}].set(); assert done[{number}].wait(10); print('cell')")
        assert shown == "cell\n"
    assert kernel.text("watcher.sync(); print(board.text(ana), end='')") == "".join(
        f"step {number}\n" for number in range(4)
    )


def test_capturing_a_cell_captures_no_callback(kernel: Kernel) -> None:
    kernel.text("""
        def show(value):
            print("callback", value)
            display(HTML("<b>callback</b>"))
        ana = person("ana", show)
    """)
    kernel.text("%%capture captured\nprint('cell'); put('ana', '1'); display(HTML('cell'))")
    assert kernel.text("print(captured.stdout, len(captured.outputs))") == "cell\n 1\n"
    assert kernel.text("print(kinds(ana), board.outputs_of(ana)[0]['text'])") == (
        "['stream', 'display_data'] callback 1\n\n"
    )


def test_a_display_goes_to_the_card(kernel: Kernel) -> None:
    shown = kernel.cell("""
        ana = person("ana", lambda value: display(HTML(f"<b>{value}</b>")))
        display(HTML("<i>cell</i>"))
        put("ana", "1")
    """)
    assert [each.data["text/html"] for each in shown] == ["<i>cell</i>"]
    assert kernel.text("print(board.outputs_of(ana)[0]['data']['text/html'])") == "<b>1</b>\n"


def test_a_display_can_be_updated_and_a_card_cleared_from_the_callback(kernel: Kernel) -> None:
    kernel.text("""
        def show(value):
            if value == "new":
                display(HTML("new"), display_id="it")
            elif value == "clear":
                clear_output(wait=True)
                print("cleared")
            else:
                update_display(HTML(value), display_id="it")
        ana = person("ana", show)
        put("ana", "new")
        put("ana", "changed")
    """)
    assert kernel.text("print([x['data']['text/html'] for x in board.outputs_of(ana)])") == (
        "['changed']\n"
    )
    assert kernel.text("put('ana', 'clear'); print(board.text(ana))") == "cleared\n\n"


def test_an_update_of_what_a_cell_shows_reaches_the_cell(kernel: Kernel) -> None:
    shown = kernel.cell("""
        display(HTML("cell"), display_id="cells")
        ana = person("ana", lambda value: update_display(HTML(value), display_id="cells"))
        put("ana", "from the callback")
    """)
    assert [each.data["text/html"] for each in shown] == ["from the callback"]
    assert kernel.text("print(kinds(ana))") == "[]\n"


@pytest.mark.parametrize(
    "how", ["display(figure)", "plt.show()", "pass", "display(figure); plt.close(figure)"]
)
def test_a_figure_is_shown_once_in_the_card_and_closed(kernel: Kernel, how: str) -> None:
    shown = kernel.text(f"""
        def plot(value):
            figure, axes = plt.subplots(figsize=(1, 1))
            axes.plot([0, 1])
            {how}
        ana, eva = person("ana", plot), person("eva", plot)
        put("ana"); put("eva"); put("ana")
        print(plt.get_fignums())
    """)
    assert shown == "[]\n"
    assert kernel.text("print(kinds(ana), kinds(eva))") == (
        "['display_data', 'display_data'] ['display_data']\n"
    )
    assert kernel.text("print('image/png' in board.outputs_of(ana)[0]['data'])") == "True\n"
    assert kernel.text("pass") == "", "no cell shows it afterwards"


def test_a_cell_that_ends_while_a_callback_plots_does_not_show_its_figure(kernel: Kernel) -> None:
    shown = kernel.cell("""
        go, went = threading.Event(), threading.Event()
        def plot(value):
            figure, axes = plt.subplots(figsize=(1, 1))
            went.set()
            go.wait(10)
            axes.plot([0, 1])
        ana = person("ana", plot)
        put("ana", wait=False)
        assert went.wait(10)
        plt.figure(figsize=(2, 2));
    """)
    assert [each.data["text/plain"] for each in shown] == ["<Figure size 200x200 with 0 Axes>"]
    kernel.text("go.set(); watcher.sync()")
    # The cell has closed it, with all others, but it belongs to the callback, which shows it.
    assert kernel.text("print(board.text(ana))") == "<Figure size 100x100 with 1 Axes>\n\n"


def test_a_figure_that_the_callback_closes_is_not_shown(kernel: Kernel) -> None:
    kernel.text("""
        def plot(value):
            plt.close(plt.figure())
        ana = person("ana", plot)
        put("ana")
    """)
    assert kernel.text("print(kinds(ana))") == "[]\n"


def test_a_figure_that_pyplot_does_not_know_is_shown_too(kernel: Kernel) -> None:
    kernel.text("""
        def plot(value):
            figure = Figure(figsize=(1, 1))
            figure.subplots().plot([0, 1])
            display(figure)
        ana = person("ana", plot)
        put("ana")
    """)
    assert kernel.text("print(kinds(ana))") == "['display_data']\n"


def test_the_figures_of_cells_are_left_alone(kernel: Kernel) -> None:
    (shown,) = kernel.cell("plt.figure(figsize=(1, 1)).subplots().plot([0, 1]);")
    assert "image/png" in shown.data


def test_an_exception_goes_to_the_card_with_the_callers_frames_alone(kernel: Kernel) -> None:
    assert (
        kernel.text("""
        def fail(value):
            raise ValueError(f"no {value}")
        ana = person("ana", fail)
        put("ana", "1"); put("ana", "1")
    """)
        == ""
    )
    text = kernel.text("print(board.text(ana))")
    assert text.count("ValueError: no 1") == 3
    assert text.count("a callback of Person('ana') failed") == 1, "logging has been set up"
    shown = kernel.text("print(board.outputs_of(ana)[-1]['traceback'])")
    assert "mailbox.py" not in shown
    assert 'raise ValueError(f"no {value}")' in text
    assert kernel.text("print(kinds(ana).count('error'))") == "2\n"


def test_without_logging_set_up_an_exception_is_in_the_card_alone(kernel: Kernel) -> None:
    kernel.text("""
        handlers, logging.root.handlers = logging.root.handlers, []
        def fail(value):
            raise ValueError
        ana = person("ana", fail)
        put("ana")
    """)
    assert kernel.text("logging.root.handlers = handlers; print(kinds(ana))") == "['error']\n"


@pytest.mark.parametrize(
    "raised", ["SystemExit(3)", "KeyboardInterrupt()", "Unprintable()", "GeneratorExit()"]
)
def test_whatever_is_raised_is_shown(kernel: Kernel, raised: str) -> None:
    kernel.text(f"""
        class Unprintable(Exception):
            def __str__(self):
                raise RuntimeError
        def fail(value):
            raise {raised}
        ana = person("ana", fail)
        put("ana"); put("ana")
    """)
    assert kernel.text("print(kinds(ana).count('error'))") == "2\n"


def test_logging_and_warnings_of_a_callback_go_to_its_card(kernel: Kernel) -> None:
    shown = kernel.text("""
        def act(value):
            logging.warning("logged %s", value)
            warnings.warn("warned")
        ana = person("ana", act)
        put("ana", "1")
    """)
    assert shown == ""
    text = kernel.text("print(board.text(ana))")
    assert "logged 1" in text
    assert "UserWarning: warned" in text


def test_threads_and_tasks_that_a_callback_starts_are_its_own(kernel: Kernel) -> None:
    shown = kernel.text("""
        def act(value):
            inner = threading.Thread(target=lambda: print("from a thread"))
            inner.start()
            inner.join()
        async def act_later(value):
            print("from a coroutine")
            async def more():
                await asyncio.sleep(0.01)
                print("from its task")
            await asyncio.create_task(more())
            await asyncio.to_thread(print, "from its thread")
        ana, eva = person("ana", act), Person("eva")
        eva.act = act_later
        class Later(Person):
            async def tell(self, key, value):
                await self.act(value)
        eva.__class__ = Later
        watcher.register("eva", eva, "tell")
        put("ana")
        watcher.put("eva", "1")
        await watcher.sync_async()
        print("cell")
    """)
    assert shown == "cell\n"
    assert kernel.text("print(board.text(ana))") == "from a thread\n\n"
    assert kernel.text("print(board.text(eva), end='')") == (
        "from a coroutine\nfrom its task\nfrom its thread\n"
    )


def test_functions_have_cards_too(kernel: Kernel) -> None:
    kernel.text("""
        @watcher.on("price")
        def show_price(event):
            print("price", event.value)
        @watcher.on("price", where="loop")
        def show_on_loop(event):
            plt.figure(figsize=(1, 1)).subplots().plot([0, 1])
        watcher.put("price", "3")
        await watcher.sync_async()
    """)
    assert kernel.text("print(board.text(show_price), kinds(show_on_loop))") == (
        "price 3\n ['display_data']\n"
    )


def test_another_watchers_callbacks_print_where_they_did(kernel: Kernel) -> None:
    shown = kernel.text("""
        with Watcher(etcd.url, api="v3") as other:
            ana = Subscriber("Ana")
            other.register("other", ana, "do_things")
            other.put("other", "1")
            other.sync()
    """)
    assert shown == "Ana: other = 1\n"


def test_two_boards_both_have_it(kernel: Kernel) -> None:
    kernel.text("""
        second = CallbackBoard(watcher)
        ana = person("ana", print)
        put("ana", "1")
    """)
    assert kernel.text("print(board.text(ana), second.text(ana)); second.close()") == "1\n 1\n\n"
    kernel.text("put('ana', '2')")
    assert kernel.text("print(board.text(ana))") == "1\n2\n\n"


def test_a_subscriber_made_again_keeps_its_card(kernel: Kernel) -> None:
    kernel.text("ana = person('ana', print); put('ana', '1')")
    kernel.text("ana = person('ana', print); put('ana', '2')")
    assert kernel.text("print(board.text(ana), len(board._cards))") == "1\n2\n 1\n"


def test_a_card_outlives_its_subscription_until_it_is_cleared(kernel: Kernel) -> None:
    kernel.text("ana = person('ana', print); put('ana', '1'); watcher.unregister('ana', ana)")
    kernel.text("put('ana', '2')")
    assert kernel.text("print(board.text(ana), end='')") == "1\n"
    kernel.text("ana = person('ana', print); put('ana', '3')")
    assert kernel.text("print(board.text(ana), end='')") == "1\n3\n"
    kernel.text("board.clear()")
    assert kernel.text("print(board.text(ana), len(board._cards))") == " 1\n"
    kernel.text("watcher.remove_key('ana'); board.clear(ana)")
    assert kernel.text("print(len(board._cards))") == "0\n"


def test_when_the_last_board_closes_everything_is_as_it_was(kernel: Kernel) -> None:
    kernel.text("ana = person('ana', print); board.close()")
    kernel.text("pass")
    same = kernel.text("""
        import etcd_watcher.onlooker, inspect
        publisher = get_ipython().display_pub
        print("publish" in vars(publisher), "clear_output" in vars(publisher),
              threading.Thread.start.__module__, etcd_watcher.onlooker.present)
    """)
    assert same == "False False threading None\n"
    assert kernel.text("put('ana', 'in the cell')") == "in the cell\n"


def test_a_hundred_cells_later_nothing_has_piled_up(kernel: Kernel) -> None:
    kernel.text("ana = person('ana', print)")
    for _ in range(10):
        assert kernel.text("put('ana')") == ""
    depth = kernel.text("""
        depth, write = 0, sys.stdout.write
        while hasattr(write, "beneath"):
            depth, write = depth + 1, write.beneath
        from etcd_watcher.widgets.output_routing import router
        print(depth, len(router._detours._put))
    """)
    assert depth in ("0 5\n", "1 5\n")
