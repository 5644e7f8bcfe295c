"""The folder for bodies: gone with its server, however that ends, and nothing of others with it."""

import os
import subprocess
import sys
import tempfile
import threading

import pytest

from reformer.serving.spool import PREFIX, Spool

SERVER = """
import sys
from reformer.serving.spool import Spool
folder = Spool().new_folder()
(folder / "request.jsonl").write_text("{}")
print(folder, flush=True)
sys.stdin.read()
"""


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


@pytest.fixture
def server(place):
    """A process that has a spool with a body in it."""
    process = subprocess.Popen(
        [sys.executable, "-c", SERVER],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=os.environ | {"TMPDIR": str(place)},
    )
    assert process.stdout.readline()
    yield process
    process.kill()
    process.communicate()


def test_it_is_for_one_user_and_gone_at_the_end(place):
    with Spool() as spool:
        folder = spool.new_folder()
        (folder / "a").write_text("a")
        [root] = place.iterdir()
        assert root.stat().st_mode & 0o077 == 0
        assert folder.parent == root
    assert not list(place.iterdir())


def test_the_next_server_removes_what_a_killed_one_left(place, server):
    [left] = place.iterdir()
    with Spool():
        assert left in place.iterdir(), "its server lives"
    server.kill()
    server.wait()
    assert left.exists()
    with Spool():
        assert not left.exists()
    assert not list(place.iterdir())


def test_what_is_not_its_own_stays(place, monkeypatch):
    (place / "other").mkdir()
    (place / "other/file").write_text("a")
    (place / f"{PREFIX}link").symlink_to(place / "other", target_is_directory=True)
    (place / f"{PREFIX}file").write_text("a")
    (place / f"{PREFIX}open").mkdir(mode=0o700)
    (place / f"{PREFIX}open").chmod(0o777)
    (place / "reformer-other").mkdir(mode=0o700)
    before = sorted(place.rglob("*"))
    Spool().close()
    assert sorted(place.rglob("*")) == before
    # Of another user.
    (place / f"{PREFIX}foreign").mkdir(mode=0o700)
    monkeypatch.setattr(os, "geteuid", lambda: 1 + os.getuid())
    Spool().close()
    assert (place / f"{PREFIX}foreign").exists()


def test_links_in_it_lead_nowhere(place, server):
    (place / "other").mkdir()
    (place / "other/file").write_text("a")
    [left] = place.glob(f"{PREFIX}*")
    (left / "link").symlink_to(place / "other", target_is_directory=True)
    server.kill()
    server.wait()
    Spool().close()
    assert not left.exists()
    assert (place / "other/file").exists()


def test_it_begins_anew_where_somebody_has_tidied_up(place):
    with Spool() as spool:
        [root] = place.iterdir()
        root.rmdir()
        assert spool.new_folder().is_dir()
    assert not list(place.iterdir())


def test_servers_that_start_at_once_leave_each_other_theirs(place):
    spools, failed = [], []

    def start():
        try:
            spools.extend(Spool() for _ in range(20))
        except OSError as error:
            failed.append(error)

    threads = [threading.Thread(target=start) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed
    assert len(list(place.iterdir())) == len(spools) == 160
    for spool in spools:
        assert spool.new_folder().is_dir()
        spool.close()
    assert not list(place.iterdir())
