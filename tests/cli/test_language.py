"""`reformer generate` and `reformer score` end to end, and one message for everything that can be wrong."""

import json

import pytest

from tests.cli.test_cli import RUNNER, _written, reformer
from tests.tiny import language_recipe, ner_recipe, write_text


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A language model over bytes and a labeller, trained by the command."""
    folder = tmp_path_factory.mktemp("runs")
    for name, tables in (("lm", language_recipe(folder, max_steps=2)), ("ner", ner_recipe(folder, max_steps=1))):
        reformer("train", _written(tables, folder / f"{name}.toml"), "--output", folder / name)
    return folder


def test_a_text_is_gone_on_with(runs, tmp_path):
    (tmp_path / "prompt.txt").write_bytes("北京".encode() + b"\xff")
    options = ("--max-new-tokens", 20, "--seed", 1)
    by_argument = reformer("generate", runs / "lm", "the ", *options).stdout
    assert by_argument.endswith("\n")
    assert reformer("generate", runs / "lm", "--prompt-file", tmp_path / "prompt.txt", *options).stdout
    from reformer.cli import app

    by_input = RUNNER.invoke(app, ["generate", str(runs / "lm"), *map(str, options)], input="the ")
    assert by_input.stdout == by_argument
    reformer("generate", runs / "lm", "the ", "--greedy", "--max-new-tokens", 3)
    reformer("generate", runs / "lm", "the ", "--beams", 2, "--max-new-tokens", 3)
    drawn = ("--temperature", 0.5, "--top-k", 3, "--top-p", 0.9, "--max-new-tokens", 3)
    reformer("generate", runs / "lm", "the ", *drawn)


def test_texts_are_scored(runs, tmp_path):
    write_text(tmp_path / "b.txt", 200)
    options = ("--per-token", tmp_path / "out.jsonl", "--state", tmp_path / "state", "--piece", 64)
    command = ("score", runs / "lm", tmp_path / "b.txt", runs / "text.txt", *options, "-o", tmp_path / "scores.json")
    shown = reformer(*command).stdout
    results = json.loads((tmp_path / "scores.json").read_text())
    assert [result["bytes"] for result in results] == [
        file.stat().st_size for file in (tmp_path / "b.txt", runs / "text.txt")
    ]
    assert f"{results[0]['bits_per_byte']:.4f}" in shown
    lines = (tmp_path / "out.jsonl").read_text(encoding="utf-8").splitlines()
    assert len(lines) == sum(result["tokens"] for result in results)
    # Finished as it is, it is only shown again.
    assert "scores.json: this exists already" in reformer(*command, status=1).stderr
    assert reformer(*command, "--overwrite").stdout == shown
    assert (tmp_path / "out.jsonl").read_text(encoding="utf-8").splitlines() == lines


@pytest.mark.parametrize(
    ("arguments", "message", "status"),
    [
        (("generate", "{runs}/ner", "a"), "this run has learned token-classification; give one that has", 1),
        (("score", "{runs}/ner", "{runs}/text.txt"), "this run has learned token-classification", 1),
        (("predict", "{runs}/lm", "a.csv"), "this run has learned language-modelling", 1),
        (("evaluate", "{runs}/lm", "a.csv"), "this run has learned language-modelling", 1),
        (("generate", "{tmp}/none", "a"), "there is no such run folder", 1),
        (("generate", "{runs}/lm", ""), "the prompt is empty", 1),
        (
            ("generate", "{runs}/lm", "a", "--temperature", "0"),
            "temperature 0.0: expected a number from 1e-06 to 1,000,000; for the likeliest: greedy",
            1,
        ),
        (("generate", "{runs}/lm", "a", "--prompt-file", "b"), "not both", 2),
        (("generate", "{runs}/lm", "--prompt-file", "{tmp}/none.txt"), "none.txt: No such file", 1),
        (("generate", "{runs}/lm", "a", "--max-new-tokens", "1048576"), "more than the 1,048,576 positions", 1),
        (("score", "{runs}/lm", "{tmp}/none.txt"), "none.txt: there is no such file", 1),
        (("score", "{runs}/lm", "{tmp}"), "no file to read in this folder", 1),
        (("score", "{runs}/lm", "{runs}/text.txt", "--per-token", "{tmp}/no/such.jsonl"), "no/such.jsonl", 1),
        (("score", "{runs}/lm", "{runs}/text.txt", "--state", "{tmp}/no/state"), "the state cannot be written", 1),
    ],
)
def test_a_wrong_command_is_one_message(runs, tmp_path, arguments, message, status):
    filled = [argument.format(runs=runs, tmp=tmp_path) for argument in arguments]
    assert message in reformer(*filled, status=status).stderr
