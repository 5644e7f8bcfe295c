"""A short form of `make test-faults`: a sample of its trials."""

import subprocess
import sys

import pytest

from tests.faults import disk

pytestmark = pytest.mark.skipif(disk.WHY_NOT is not None, reason=str(disk.WHY_NOT))

SHORT = ("--kills", "8", "--most", "2", "--misuses", "8", "--jobs", "1")
WORKLOADS = ("train", "train over a former run", "predict", "score", "fetch")


# Alone on two cores it takes a small part of this.
@pytest.mark.timeout(900)
def test_a_sample_of_faults_is_survived():
    command = [sys.executable, "-m", "tests.faults", *SHORT, "--workloads", *WORKLOADS]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    kinds = ("kill", "disk full", "write error", "read error", "power failure", "request to stop", "misuse")
    assert [line.split(" tried")[0].strip() for line in done.stdout.splitlines() if " tried" in line] == list(kinds)
