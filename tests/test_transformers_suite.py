"""transformers' own tests are laid out from an archive that is data, and those that cannot pass are few and known."""

import io
import re
import tarfile

import pytest

from tests.transformers import published
from tests.transformers.listed import KINDS, LONGEST, reason

ROOT = "transformers-5.23.0"


def _archive(path, members):
    with tarfile.open(path, "w:gz") as package:
        for name, text in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(text)
            package.addfile(member, io.BytesIO(text.encode()))
        link = tarfile.TarInfo(f"{ROOT}/tests/test_link.py")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        package.addfile(link)
    return path


def test_what_is_published_stands_before_a_checkout(tmp_path):
    archive = _archive(
        tmp_path / "archive.tar.gz",
        {
            f"{ROOT}/tests/test_modeling_common.py": "published",
            f"{ROOT}/tests/../../test_outside.py": "outside",
            f"{ROOT}/tests/models/test_deep.py": "deep",
            f"{ROOT}/setup.py": "run",
        },
    )
    checkout = tmp_path / "checkout"
    (checkout / "generation").mkdir(parents=True)
    (checkout / "generation/test_utils.py").write_text("of the checkout")
    (checkout / "test_modeling_common.py").write_text("of the checkout")
    for given in (None, checkout):
        published.lay_out(archive, tmp_path / "whole", given)
        tests = tmp_path / "whole/tests"
        assert (tests / "test_modeling_common.py").read_text() == "published"
        of_checkout = (tests / "generation/test_utils.py").read_text() == "of the checkout"
        assert of_checkout == (given is not None)
        assert {file.name for file in tmp_path.glob("**/test_*.py")} == {
            "test_modeling_common.py",
            "test_utils.py",
            "test_configuration_utils.py",
            *(["test_export.py"] if given is None else []),
        }
        assert (tmp_path / "whole/src/transformers/__init__.py").is_file()
    with pytest.raises(ValueError, match=r"no generation/test_utils.py in it; give the folder tests of a checkout"):
        published.lay_out(archive, tmp_path / "whole", tmp_path)


def test_an_archive_without_tests_and_another_version_are_refused(tmp_path, monkeypatch):
    with pytest.raises(ValueError, match="no tests in it"):
        published.lay_out(_archive(tmp_path / "archive.tar.gz", {}), tmp_path / "whole", None)
    monkeypatch.setattr(published.importlib.metadata, "version", lambda name: "5.0.0")
    with pytest.raises(ValueError, match=r"transformers 5.0.0 is installed, and these are the tests of 5\.23\.0"):
        published.archive(tmp_path)


def test_the_kinds_that_cannot_pass_are_few_and_have_reasons():
    assert len(KINDS) <= LONGEST
    assert all(re.fullmatch(r"[a-z].{20,}", why) for why in KINDS.values())
    assert reason("TestCausalLM::test_correct_missing_keys") == KINDS["*::test_correct_missing_keys"]
    assert reason("TestCausalLM::test_save_load") is None


def test_the_version_is_the_one_that_is_tested():
    constraints = (published.Path(__file__).parents[1] / "constraints.txt").read_text(encoding="utf-8")
    assert f"transformers=={published.ARCHIVE.version}\n" in constraints
