"""A request to stop is noted while it is held, and given back afterwards."""

import os
import signal
import threading

import pytest

from reformer.interruption import REQUESTS, Interruption, StoppedError


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
