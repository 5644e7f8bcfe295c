"""Pairs are the paragraphs of two languages that stand in the same place, once each, in one split each."""

import csv
import io
import tarfile

import pytest

from benchmarks import help_pairs
from benchmarks.help_pairs import Pair

ENGLISH = """<html><body><p class="howto">No id</p>
<h1 id="hd_1" dir="auto">Open  a
file</h1><p id="par_2" class="paragraph">Choose <span class="switchinline"><span class="MAC"><span>Preferences
</span></span><span>Tools - Options</span></span>.</p><p id="par_3">print(x)</p><p id="par_4">Only here</p>
<p id="par_5">Saves the &lt;file&gt;.<br>And closes it.</p></body></html>"""
CHINESE = """<h1 id="hd_1">打开文件</h1>
<p id="par_2">选择「<span class="switchinline"><span class="MAC">偏好</span><span>
工具 - 选项</span></span>」。</p><p id="par_3">print(x)</p><p id="par_5">保存文件。</p>"""
PLACE = "usr/share/libreoffice/help/{}/text/shared/page.html"


def _package(path, language, page, *, links=()):
    """A Debian package with one page, and what does not belong to it."""
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w:xz") as archive:
        for name in (f"./{PLACE.format(language)}", "./usr/share/doc/copyright.html"):
            member = tarfile.TarInfo(name)
            member.size = len(page.encode())
            archive.addfile(member, io.BytesIO(page.encode()))
        for name in links:
            member = tarfile.TarInfo(name)
            member.type, member.linkname = tarfile.SYMTYPE, "/etc/passwd"
            archive.addfile(member)
    members = [("debian-binary", b"2.0\n"), ("control.tar.xz", b"odd"), ("data.tar.xz", data.getvalue())]
    content = b"!<arch>\n"
    for name, inside in members:
        content += f"{name:<16}{0:<12}{0:<6}{0:<6}{100644:<8}{len(inside):<10}`\n".encode() + inside
        content += b"\n" * (len(inside) % 2)
    path.write_bytes(content)
    return path


@pytest.fixture
def packages(tmp_path):
    link = "./usr/share/libreoffice/help/zh-CN/text/shared/link.html"
    return (
        _package(tmp_path / "en.deb", "en-US", ENGLISH),
        _package(tmp_path / "zh.deb", "zh-CN", CHINESE, links=[link]),
    )


def test_paragraphs_in_the_same_place_are_pairs(packages, tmp_path, capsys):
    assert help_pairs.main([*map(str, packages), str(tmp_path / "pairs.tsv")]) == 0
    with (tmp_path / "pairs.tsv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    assert {(row["source"], row["target"]) for row in rows} == {
        ("Open a file", "打开文件"),
        ("Choose Tools - Options.", "选择「 工具 - 选项」。"),
        ("Saves the <file>. And closes it.", "保存文件。"),
    }
    assert {row["page"] for row in rows} == {"text/shared/page.html"}
    assert "3 paragraphs in both languages, 3 without duplicates" in capsys.readouterr().out


def test_a_folder_gives_what_its_package_gives(packages, tmp_path):
    page = tmp_path / "unpacked" / PLACE.format("zh-CN")
    page.parent.mkdir(parents=True)
    page.write_text(CHINESE, encoding="utf-8")
    (page.parent / "link.html").symlink_to(tmp_path / "zh.deb")
    assert help_pairs.pages(tmp_path / "unpacked") == help_pairs.pages(packages[1])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"PK\3\4", "neither a folder nor a Debian package"),
        (b"!<arch>\n", "no data.tar that Python opens"),
        (None, "cannot be read"),
    ],
)
def test_what_is_no_package_is_named(packages, tmp_path, capsys, content, message):
    wrong = tmp_path / "wrong.deb"
    if content is not None:
        wrong.write_bytes(content)
    assert help_pairs.main([str(packages[0]), str(wrong), str(tmp_path / "pairs.tsv")]) == 1
    told = capsys.readouterr().err
    assert message in told
    assert "wrong.deb" in told
    (tmp_path / "empty").mkdir()
    assert help_pairs.main([str(tmp_path / "empty"), str(packages[1]), str(tmp_path / "pairs.tsv")]) == 1
    assert "no page help/LANGUAGE/text/*.html" in capsys.readouterr().err


def test_of_equal_sources_one_is_kept_with_the_usual_target():
    pairs = [Pair("Open", target, "page", str(number)) for number, target in enumerate(["开", "打开", "打开"])]
    pairs += [Pair("open:", "启", "page", "9"), Pair("Close", "关闭", "page", "10")]
    assert [(pair.target, pair.paragraph) for pair in help_pairs.without_duplicates(pairs)] == [
        ("打开", "1"),
        ("关闭", "10"),
    ]


def test_pairs_that_are_alike_are_in_one_split():
    words = [chr(97 + number // 26) + chr(97 + number % 26) for number in range(600)]
    pairs = [Pair(f"word {word}", f"词{word}", "page", word) for word in words]
    # The same target under another source, and a chain of such.
    pairs += [Pair(f"other {word}", f"词 {word}!", "page", word) for word in words]
    splits = help_pairs.split(pairs)
    first, second = splits[:600], splits[600:]
    assert [part for part, _ in first] == [part for part, _ in second]
    counts = {name: sum(part == name for part, _ in splits) for name in ("train", "validation", "test")}
    assert counts["train"] > 1000
    assert counts["test"] > 0
