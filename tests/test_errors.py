"""The error of the disk behind the exceptions of the libraries that write."""

import errno
import os

import pytest
import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer
from tokenizers.models import WordLevel

from reformer.errors import disk_error, reason_and_remedy


@pytest.mark.parametrize(
    "write",
    [
        lambda place: save_file({"a": torch.zeros(1)}, place / "a.safetensors"),
        lambda place: Tokenizer(WordLevel()).save(str(place / "a.json")),
        lambda place: (place / "a").write_text("a"),
    ],
    ids=["safetensors", "tokenizers", "python"],
)
def test_every_library_s_error_of_the_disk_is_known(tmp_path, write):
    with pytest.raises(Exception) as caught:  # noqa: PT011
        write(tmp_path / "missing")
    of_disk = disk_error(caught.value)
    assert of_disk is not None
    assert of_disk.errno == errno.ENOENT
    assert reason_and_remedy(of_disk) == ("No such file or directory", "check the path")


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs a device that is always full")
def test_pytorch_s_error_of_a_full_disk_is_known():
    with pytest.raises(RuntimeError) as caught:
        torch.save(torch.zeros(100_000), "/dev/full")
    of_disk = disk_error(caught.value)
    assert of_disk is not None
    assert of_disk.errno == errno.ENOSPC


def test_other_errors_are_none_of_the_disk():
    assert disk_error(RuntimeError("mat1 and mat2 shapes cannot be multiplied")) is None
    assert disk_error(ValueError("(os error x)")) is None
