"""Inputs of the commands: folders, patterns and standard input."""

import io
import json

import pytest

from tests.cli.test_cli import RUNNER, _written, app, reformer
from tests.tiny import ner_recipe


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A labeller."""
    folder = tmp_path_factory.mktemp("runs")
    reformer("train", _written(ner_recipe(folder, max_steps=1), folder / "ner.toml"), "-o", folder / "run")
    return folder / "run"


@pytest.fixture
def place(tmp_path):
    """Two files of one name in two folders."""
    for name in ("a", "b"):
        (tmp_path / "in" / name).mkdir(parents=True)
        lines = [json.dumps({"text": f"张伟去了{name}。"}), json.dumps({"text": "李华", "id": "own"})]
        (tmp_path / "in" / name / "x.jsonl").write_text("\n".join(lines), encoding="utf-8")
    return tmp_path / "in"


def _answers(result):
    return [json.loads(line) for line in result.stdout.splitlines()]


def _from_standard_input(data, *arguments):
    return RUNNER.invoke(app, [str(argument) for argument in arguments], input=data)


def test_a_folder_and_a_pattern_stand_for_their_files(run, place):
    files = place / "a/x.jsonl", place / "b/x.jsonl"
    expected = _answers(reformer("predict", run, *files))
    assert [answer["file"] for answer in expected] == [str(files[0])] * 2 + [str(files[1])] * 2
    assert len({(answer["file"], answer["id"]) for answer in expected}) == 4
    for argument in (place, place / "*/x.jsonl", place / "**/*.jsonl", place / "*"):
        assert _answers(reformer("predict", run, argument)) == expected
    assert "file" not in _answers(reformer("predict", run, files[0]))[0]


def test_an_id_twice_in_a_file_is_told(run, place):
    with (place / "a/x.jsonl").open("a", encoding="utf-8") as file:
        file.write('\n{"text": "张伟", "id": "own"}')
    with pytest.warns(UserWarning, match="a/x.jsonl: 1 record has the id of one before them, such as 'own'"):
        reformer("predict", run, place)


@pytest.mark.parametrize("kind", ["jsonl", "csv", "tsv", "text", "conll"])
def test_standard_input_is_read_as_a_file(run, tmp_path, kind):
    data = {
        "jsonl": '{"text": "张伟去了北京。"}\n{"text": "李华"}\n',
        "csv": 'text\n张伟去了北京。\n"李华,\n张伟"\n',
        "tsv": "text\tn\n张伟去了北京。\t1\n",
        "text": "张伟去了北京。\n李华",
        "conll": "张 B-PER\n伟 I-PER\n\n李 O\n",
    }[kind]
    suffix = {"text": "txt"}.get(kind, kind)
    (tmp_path / f"in.{suffix}").write_text(data, encoding="utf-8")
    expected = _answers(reformer("predict", run, tmp_path / f"in.{suffix}"))
    result = _from_standard_input(data, "predict", run, "-", "--format", kind)
    assert result.exit_code == 0, result.output
    assert _answers(result) == [answer | {"id": answer["id"].replace(f"in.{suffix}", "-")} for answer in expected]


def test_standard_input_needs_a_format_and_a_record(run):
    result = _from_standard_input("{}", "predict", run, "-")
    assert result.exit_code == 1
    assert "-: standard input has no suffix that tells the format; name it: --format" in result.stderr
    assert "the file holds no document" in _from_standard_input("", "predict", run, "-", "--format", "jsonl").stderr
    broken = _from_standard_input('{"text": "a"}\n{', "predict", run, "-", "--format", "jsonl")
    assert broken.exit_code == 1
    assert "-:2: broken JSON" in broken.stderr
    assert len(_answers(broken)) == 1


def test_a_prediction_for_standard_input_goes_into_a_file(run, tmp_path):
    command = ("predict", run, "-", "--format", "jsonl", "-o", tmp_path / "out.csv")
    result = _from_standard_input('{"text": "张伟"}', *command)
    assert result.exit_code == 0, result.output
    assert (tmp_path / "out.csv").read_text(encoding="utf-8").startswith("id,text,spans\n-:1,张伟,")


def test_evaluate_and_show_take_the_same(run, tmp_path):
    source = run.parent / "test.conll"
    data = source.read_text(encoding="utf-8")
    (tmp_path / "in").mkdir()
    (tmp_path / "in/test.conll").write_text(data, encoding="utf-8")

    def table(result):
        return result.stdout[result.stdout.index("┏") :]

    expected = table(reformer("evaluate", run, source))
    for argument in (tmp_path / "in", tmp_path / "i*/*.conll"):
        assert table(reformer("evaluate", run, argument)) == expected
    result = _from_standard_input(data, "evaluate", run, "-", "--format", "conll")
    assert table(result) == expected
    assert "entities found" in _from_standard_input(data, "show", run, "-", "--format", "conll").stdout
    twice = reformer("evaluate", run, source, tmp_path / "in").stdout
    assert "16" in twice


def test_an_output_in_a_folder_that_is_read_is_not_read(run, place):
    output = place / "out.jsonl"
    reformer("predict", run, place, "-o", output)
    before = output.read_bytes()
    assert len(before.splitlines()) == 4
    assert "is the same file as" in reformer("predict", run, place, "-o", output, "--overwrite", status=1).stderr
    assert output.read_bytes() == before


@pytest.mark.parametrize("argument", ["nothing/*.jsonl", "missing\x1b[31m.jsonl", "miss[ing\x1b].jsonl"])
def test_what_is_not_there_is_one_message(run, tmp_path, monkeypatch, argument):
    monkeypatch.chdir(tmp_path)
    result = reformer("predict", run, argument, status=1)
    assert "check the path" in result.stderr
    assert "\x1b[31m" not in result.stderr


def test_standard_input_can_be_opened_twice(monkeypatch):
    from reformer.data.standard_input import open_standard_input

    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"one\ntwo\n")))
    first, second = open_standard_input(), open_standard_input()
    assert first.readline() == b"one\n"
    assert second.read() == b"one\ntwo\n"
    assert first.read() == b"two\n"
    assert (first.seek(-4, io.SEEK_END), first.read()) == (4, b"two\n")
