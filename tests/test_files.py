"""Files and folders are there whole, old or new, whatever stops the process that writes them."""

import os
import resource
import shutil
import signal
import time
from contextlib import contextmanager
from pathlib import Path

import pytest

from avss import files
from avss.errors import InputError
from avss.files import clear_leftovers, whole_folder, write_whole
from avss.outputs import check_space, checked_output
from tests.killing import every_kill, hidden


def fill(folder: Path, text: str) -> None:
    with whole_folder(folder) as made:
        (made / "inner").mkdir()
        for name in ("one", "inner/two"):
            (made / name).write_text(text)


def content(folder: Path) -> set[str]:
    return {(folder / "one").read_text(), (folder / "inner/two").read_text()}


@contextmanager
def disk_of(size: int):
    """No file may grow beyond this size, as if the disk were full."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, before)


def test_a_file_whose_writer_is_killed_is_the_old_one_or_the_new_one(tmp_path):
    path, seen = tmp_path / "a.txt", set()
    for _ in every_kill(lambda: write_whole(path, "old"), lambda: write_whole(path, "new")):
        seen.add(path.read_text())
        write_whole(path, "next")
        assert path.read_text() == "next"
        assert hidden(tmp_path) == []
    assert seen == {"old", "new"}


@pytest.mark.parametrize("existing", [True, False])
def test_a_folder_whose_writer_is_killed_is_the_old_one_or_the_new_one(tmp_path, existing):
    folder, seen = tmp_path / "model", set()

    def prepare():
        shutil.rmtree(folder, ignore_errors=True)
        clear_leftovers(tmp_path)
        shutil.rmtree(folder, ignore_errors=True)
        if existing:
            fill(folder, "old")

    for _ in every_kill(prepare, lambda: fill(folder, "new")):
        clear_leftovers(tmp_path)
        assert hidden(tmp_path) == []
        if existing or folder.exists():
            assert len(content(folder)) == 1, "old and new are mixed"
            seen |= content(folder)
        fill(folder, "next")
        assert content(folder) == {"next"}
    assert seen == ({"old", "new"} if existing else {"new"})


@pytest.mark.parametrize("failing", [1, 2])
def test_the_old_folder_stays_where_a_rename_fails(tmp_path, monkeypatch, failing):
    folder = tmp_path / "model"
    fill(folder, "old")
    replace, calls = os.replace, 0

    def failing_once(source, target):
        nonlocal calls
        calls += 1
        if calls == failing:
            raise OSError(28, "No space left on device", str(target))
        return replace(source, target)

    monkeypatch.setattr(os, "replace", failing_once)
    with pytest.raises(OSError, match="No space left"):
        fill(folder, "new")
    assert content(folder) == {"old"}
    assert hidden(tmp_path) == []


def test_an_interrupted_folder_is_not_made(tmp_path):
    def interrupted():
        with whole_folder(tmp_path / "model") as made:
            (made / "one").write_text("new")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_leaves_the_old_file(tmp_path):
    path = tmp_path / "a.txt"
    write_whole(path, "old")
    with disk_of(100), pytest.raises(OSError, match="large"):
        write_whole(path, "n" * 1000)
    assert path.read_text() == "old"
    assert hidden(tmp_path) == []


def test_what_another_process_is_writing_is_left_alone(tmp_path):
    child = os.fork()
    if not child:
        time.sleep(60)
        os._exit(0)
    here, other = files._machine(), "0123abcd"
    names = {
        "of a process that runs": f".a.{here}-{child}-000000000000.part",
        "of this process": f".a.{here}-{os.getpid()}-000000000000.part",
        "about to be replaced": f".a.{here}-{child}-000000000000.old",
        "of another machine": f".a.{other}-1-000000000000.part",
        "a user's own": ".a.part",
        "another user's own": ".swap.old",
    }
    for name in names.values():
        (tmp_path / name).write_text("x")
    try:
        write_whole(tmp_path / "a", "new")
        assert {*hidden(tmp_path)} == {*names.values()}
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    days_ago = time.time() - 3 * 24 * 3600
    os.utime(tmp_path / names["of another machine"], (days_ago, days_ago))
    write_whole(tmp_path / "a", "new")
    assert {*hidden(tmp_path)} == {names[name] for name in ("of this process", "a user's own", "another user's own")}


def test_two_processes_that_write_one_file_do_not_disturb_each_other(tmp_path):
    path, children = tmp_path / "a.txt", []
    for letter in "ab":
        child = os.fork()
        if not child:
            code = 1
            try:
                for _ in range(30):
                    write_whole(path, letter * 10_000)
                code = 0
            finally:
                os._exit(code)
        children.append(child)
    assert [os.waitpid(child, 0)[1] for child in children] == [0, 0]
    assert path.read_text() in ("a" * 10_000, "b" * 10_000)
    assert hidden(tmp_path) == []


def test_a_file_keeps_the_permissions_that_the_user_asks_for(tmp_path):
    write_whole(tmp_path / "a.txt", "x")
    (tmp_path / "b.txt").write_text("x")
    assert (tmp_path / "a.txt").stat().st_mode == (tmp_path / "b.txt").stat().st_mode


@pytest.fixture
def places(tmp_path):
    """A model whose weights lie elsewhere, as in the cache of the hub, and links to it."""
    for name in ("model", "store", "empty"):
        (tmp_path / name).mkdir()
    (tmp_path / "model/config.json").write_text("{}")
    (tmp_path / "store/weights").write_text("w")
    (tmp_path / "model/model.safetensors").symlink_to(tmp_path / "store/weights")
    (tmp_path / "alias").symlink_to(tmp_path / "model")
    return tmp_path


@pytest.mark.parametrize(
    "output",
    [
        "model",
        "alias",
        "model/pruned",
        "alias/pruned",
        "empty/../model",
        "empty/../alias/pruned",
        "model/config.json",
        "store",
        "store/weights",
    ],
)
@pytest.mark.parametrize("given", ["model", "alias"])
def test_an_output_is_never_an_input(places, output, given):
    for force, folder in ((False, True), (True, True), (True, False)):
        with pytest.raises(InputError, match="which is read; give another name"):
            checked_output(places / output, force, folder=folder, inputs=[places / given], own=lambda path: None)


def test_an_output_beside_an_input_is_fine(places):
    inputs = [places / "model", "an/id", "x" * 300]
    assert checked_output(places / "pruned", folder=True, inputs=inputs) == places / "pruned"
    assert checked_output(places / "model-2", folder=True, inputs=inputs) == places / "model-2"


def test_links_and_devices_are_never_replaced(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "target.csv").write_text("precious")
    (tmp_path / "link.csv").symlink_to(tmp_path / "target.csv")
    (tmp_path / "dangling.csv").symlink_to(tmp_path / "gone.csv")
    for name, message in (("link.csv", "is a link"), ("dangling.csv", "is a link"), ("pipe", "is no regular file")):
        with pytest.raises(InputError, match=message):
            checked_output(tmp_path / name, True, own=lambda path: None)
        with pytest.raises(InputError, match="exists already"):
            checked_output(tmp_path / name)
    assert (tmp_path / "target.csv").read_text() == "precious"


def test_a_folder_that_takes_no_file_is_known_before_the_work(tmp_path):
    with disk_of(1000), pytest.raises(InputError, match="File too large"):
        check_space(tmp_path / "a.csv")
    with pytest.raises(InputError, match=r"needs .* MB and .* are free"):
        check_space(tmp_path / "a", 1 << 60)
    with pytest.raises(InputError, match="name too long"):
        check_space(tmp_path / ("x" * 250))
    if Path("/proc/self").is_dir():
        with pytest.raises(InputError, match="cannot be written"):
            check_space(Path("/proc/a.csv"))
    assert list(tmp_path.iterdir()) == []


def test_an_input_that_links_to_itself_is_no_output(tmp_path):
    (tmp_path / "model").mkdir()
    loop = tmp_path / "model/config.json"
    loop.symlink_to(loop)
    inputs = [tmp_path / "model", loop]
    assert checked_output(tmp_path / "scores.csv", inputs=inputs) == tmp_path / "scores.csv"
    with pytest.raises(InputError, match="which is read"):
        checked_output(loop, inputs=inputs)
