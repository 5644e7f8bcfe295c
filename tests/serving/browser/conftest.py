"""A server as a process of its own, and Debian's Chromium."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
import urllib.request

import pytest

from tests.serving.inputs import INPUTS


def pytest_collection_modifyitems(items):
    for item in items:
        if "/browser/" in str(item.path):
            item.add_marker(pytest.mark.browser)


class Server:
    """`reformer serve` on a free port."""

    def __init__(self, *arguments, log, **environment):
        self.log = log
        command = [sys.executable, "-m", "reformer", "serve", *map(str, arguments), "--port", str(_free_port())]
        self.url = f"http://127.0.0.1:{command[-1]}"
        with log.open("w") as file:
            self.process = subprocess.Popen(command, stderr=file, stdout=file, env=os.environ | environment)
        end = time.monotonic() + 240
        while True:
            try:
                with urllib.request.urlopen(f"{self.url}/health", timeout=5):
                    return
            except OSError:
                assert self.process.poll() is None, log.read_text()
                assert time.monotonic() < end, log.read_text()
                time.sleep(0.2)

    def memory(self):
        """Resident bytes."""
        with open(f"/proc/{self.process.pid}/status", encoding="ascii") as file:
            return 1024 * int(re.search(r"VmRSS:\s*(\d+)", file.read())[1])

    def stop(self, request=signal.SIGTERM):
        self.process.send_signal(request)
        return self.process.wait(60)


def _free_port():
    import socket

    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


@pytest.fixture(scope="session")
def server(folder):
    for name, write in INPUTS.items():
        write(folder)
        assert name
    server = Server(*sorted((folder / "runs").iterdir()), log=folder / "server.log")
    yield server
    assert server.stop() == 0, server.log.read_text()


@pytest.fixture(scope="session")
def browser():
    from playwright.sync_api import sync_playwright

    chromium = os.environ.get("CHROMIUM") or shutil.which("chromium")
    assert chromium, "there is no chromium; apt-get install chromium, or name one by CHROMIUM"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        yield browser
        browser.close()
