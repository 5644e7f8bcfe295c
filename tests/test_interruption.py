"""A request to stop is noted while it is held, and given back afterwards."""

import os
import pty
import signal
import sys
import threading

import pytest

from reformer.interruption import REQUESTS, Interruption, StoppedError


@pytest.fixture(autouse=True)
def _hangups_end_a_process():
    # Under `nohup` they are ignored, by the processes that a test starts, too.
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


@pytest.mark.parametrize("number", REQUESTS)
def test_the_first_request_is_noted_and_the_second_does_not_wait(number):
    with Interruption() as interruption:
        assert interruption.request is None
        os.kill(os.getpid(), number)
        assert interruption.request == number
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGTERM)
        assert interruption.request == number


@pytest.mark.parametrize("number", REQUESTS)
def test_requests_are_given_back(number):
    seen = []
    before = signal.signal(number, lambda *_: seen.append("before"))
    try:
        with Interruption():
            os.kill(os.getpid(), number)
        assert not seen
        os.kill(os.getpid(), number)
        assert seen == ["before"]
    finally:
        signal.signal(number, before)


def test_other_threads_hold_nothing():
    before, inside = signal.getsignal(signal.SIGTERM), []

    def work():
        with Interruption() as interruption:
            inside.append((interruption.request, signal.getsignal(signal.SIGTERM)))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert inside == [(None, before)]


def test_the_exit_status_is_that_of_the_signal():
    assert StoppedError("stopped").exit_status == 130
    assert StoppedError("stopped", signal.SIGTERM).exit_status == 143


def test_a_hangup_that_is_ignored_stays_ignored():
    # As `nohup` leaves it.
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with Interruption() as interruption:
            os.kill(os.getpid(), signal.SIGHUP)
            assert interruption.request is None
    finally:
        signal.signal(signal.SIGHUP, before)


def test_after_a_closed_terminal_printing_does_not_end_the_work(tmp_path):
    script = (
        "import sys, time\nfrom pathlib import Path\nfrom reformer.interruption import Interruption\n"
        "with Interruption() as interruption:\n"
        "    print('ready', flush=True)\n"
        "    while interruption.request is None: time.sleep(0.01)\n"
        "    print('saving', flush=True); print('saving', file=sys.stderr, flush=True)\n"
        "    Path(sys.argv[1]).write_text(str(interruption.request))\n"
    )
    process, terminal = pty.fork()
    if process == 0:
        os.execv(sys.executable, [sys.executable, "-c", script, str(tmp_path / "saved")])
    assert os.read(terminal, 5) == b"ready"
    os.close(terminal)
    assert os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]) == 0
    assert (tmp_path / "saved").read_text() == str(int(signal.SIGHUP))
