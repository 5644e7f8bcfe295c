"""An exported run is whole or not there, says what its reader needs, and labels as the run does."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from transformers.modeling_outputs import TokenClassifierOutput

from reformer.data.tokenizers import byte_tokenizer
from reformer.errors import ReformerError
from reformer.export import Exported, export_run, run_folder
from reformer.export.scores import graph_model
from reformer.models import ReformerConfig, ReformerForTokenClassification
from reformer.runs.loading import load_run
from reformer.tasks.base import Run
from reformer.tasks.recipe_checks import checked_recipe
from reformer.tasks.registry import TASKS
from tests.cli.test_cli import _written, reformer
from tests.inference.untrained import untrained_run
from tests.tiny import MODEL, ner_recipe

ROOT = Path(__file__).parents[2]


@pytest.fixture
def run(tmp_path):
    """A labeller that has learned nothing."""
    torch.manual_seed(0)
    tokenizer = byte_tokenizer()
    labels = {"id2label": {0: "O", 1: "B-PER", 2: "I-PER"}, "label2id": {"O": 0, "B-PER": 1, "I-PER": 2}}
    config = ReformerConfig(vocab_size=len(tokenizer), pad_token_id=0, max_position_embeddings=64, **MODEL, **labels)
    task = TASKS["token-classification"]
    recipe = checked_recipe(ner_recipe(tmp_path))
    return Run(tmp_path, recipe, task, ReformerForTokenClassification(config).eval(), tokenizer)


@pytest.fixture
def written(monkeypatch):
    """Graphs that are a few bytes: to trace one takes minutes."""

    def export(model, path):
        path.write_bytes(b"graph")
        return Exported(path, (1e-7, 1e-8, 1e-8), (1, 63, 64), 1, 64, ("input_ids", "attention_mask"), ("logits",))

    monkeypatch.setattr(run_folder, "export_model", export)


def test_a_folder_has_what_a_reader_needs(run, written, tmp_path):
    found = export_run(run, tmp_path / "out", "torch")
    told = json.loads((tmp_path / "out/export.json").read_text(encoding="utf-8"))
    assert told["labels"] == ["O", "B-PER", "I-PER"]
    assert told["inputs"] == ["input_ids", "attention_mask"]
    assert told["compared"] == {"lengths": [1, 63, 64], "greatest_difference": 1e-7}
    assert (told["task"], told["graph"], told["longest_length"]) == ("token-classification", "model.pt2", 64)
    names = {"model.pt2", "tokenizer.json", "calibration.json", "export.json"}
    assert names <= set(found.files) == {file.name for file in (tmp_path / "out").iterdir()}
    assert found.scores is None


def test_an_export_is_replaced_whole_and_nothing_else_is(run, written, tmp_path, monkeypatch):
    folder = tmp_path / "out"
    export_run(run, folder, "torch")
    with pytest.raises(ReformerError, match="exists already"):
        export_run(run, folder, "torch")
    (folder / "own.txt").write_text("mine", encoding="utf-8")
    monkeypatch.setattr(run_folder, "check_onnx_packages", lambda: None)
    export_run(run, folder, "onnx", overwrite=True)
    # The graph of the former export is gone, the user's file is not.
    assert {"model.onnx", "own.txt"} < {file.name for file in folder.iterdir()}
    assert not (folder / "model.pt2").exists()
    other = tmp_path / "other"
    other.mkdir()
    (other / "own.txt").write_text("mine", encoding="utf-8")
    with pytest.raises(ReformerError, match="no folder of an export"):
        export_run(run, other, "torch", overwrite=True)
    assert [file.name for file in other.iterdir()] == ["own.txt"]


def test_a_graph_that_differs_leaves_no_folder_and_the_one_that_was_there(run, written, tmp_path, monkeypatch):
    export_run(run, tmp_path / "kept", "torch")
    before = {file.name: file.read_bytes() for file in (tmp_path / "kept").iterdir()}

    def differs(*_):
        raise ReformerError("outputs differ")

    monkeypatch.setattr(run_folder, "export_model", differs)
    for name, overwrite in (("kept", True), ("out", False)):
        with pytest.raises(ReformerError, match="outputs differ"):
            export_run(run, tmp_path / name, "torch", overwrite=overwrite)
    assert {file.name: file.read_bytes() for file in (tmp_path / "kept").iterdir()} == before
    assert not (tmp_path / "out").exists()


def test_what_makes_no_sense_is_refused_before_anything_is_traced(run, tmp_path, monkeypatch):
    monkeypatch.setattr(run_folder, "check_onnx_packages", lambda: None)
    with pytest.raises(ReformerError, match="eight bits are made by ONNX Runtime"):
        export_run(run, tmp_path / "out", "torch", int8=True)
    with pytest.raises(ReformerError, match="--data is what int8 is measured on"):
        export_run(run, tmp_path / "out", "onnx", sources=["x.conll"])
    tables = ner_recipe(tmp_path)
    del tables["data"]["test"]
    untested = replace(run, recipe=checked_recipe(tables))
    with pytest.raises(ReformerError, match="names no test part"):
        export_run(untested, tmp_path / "out", "onnx", int8=True)
    language = untrained_run(tmp_path, byte_tokenizer())
    with pytest.raises(ReformerError, match="reads no labelled files"):
        export_run(language, tmp_path / "out", "onnx", int8=True, sources=["x.txt"])
    config = ReformerConfig(**MODEL, vocab_size=300, classifier_reads="characters", num_labels=3)
    characters = replace(run, model=ReformerForTokenClassification(config))
    with pytest.raises(ReformerError, match="how each text's characters lie"):
        export_run(characters, tmp_path / "out", "torch")
    assert not (tmp_path / "out").exists()


def test_a_graph_stands_in_the_place_of_its_model(run):
    logits = torch.zeros(1, 4, 3)
    exported = Exported(Path("model.onnx"), (0.0,), (1,), 1, 64, ("input_ids", "attention_mask"), ("logits",))
    asked = []

    def runner(inputs):
        asked.append(set(inputs))
        return [logits]

    ids = torch.ones(1, 4, dtype=torch.int64)
    found = graph_model(run.model, exported, runner)(input_ids=ids, attention_mask=ids)
    assert isinstance(found, TokenClassifierOutput)
    assert found.logits is logits
    assert asked == [{"input_ids", "attention_mask"}]
    # The model itself answers as before.
    assert not torch.equal(run.model(input_ids=ids, attention_mask=ids).logits, logits)


def test_the_loss_of_a_language_model_is_that_of_the_graph(tmp_path):
    run = untrained_run(tmp_path, byte_tokenizer())
    ids = torch.randint(5, 200, (2, 12))
    with torch.no_grad():
        expected = run.model(input_ids=ids, labels=ids)
    exported = Exported(Path("model.onnx"), (0.0,), (1,), 1, 64, ("input_ids",), ("logits",))
    found = graph_model(run.model, exported, lambda inputs: [expected.logits])(input_ids=ids, labels=ids)
    assert abs(float(found.loss) - float(expected.loss)) < 1e-5


def test_the_command_refuses_what_is_no_run(tmp_path):
    assert "no such run folder" in reformer("export", tmp_path / "run", "--to", "onnx", status=1).output
    assert "Invalid value for '--to'" in reformer("export", tmp_path, "--to", "pb", status=2).output


@pytest.mark.slow
def test_an_exported_labeller_labels_as_the_run_without_this_package(tmp_path):
    pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    tables = ner_recipe(tmp_path, max_steps=40)
    reformer("train", _written(tables, tmp_path / "ner.toml"), "-o", tmp_path / "run")
    # In a process of its own: checks of shapes would end the trace.
    command = ["export", tmp_path / "run", "--to", "onnx", "-o", tmp_path / "out", "--quantize", "int8"]
    shown = subprocess.run(
        [sys.executable, "-m", "reformer", *map(str, command)], capture_output=True, text=True, check=False
    )
    assert shown.returncode == 0, shown.stderr
    assert "20,000" in shown.stdout
    told = json.loads((tmp_path / "out/export.json").read_text(encoding="utf-8"))
    assert told["compared"]["lengths"] == [1, 63, 64, 1000, 20000]
    assert told["scores"]["float32"] == pytest.approx(load_run(tmp_path / "run").task.evaluate(
        load_run(tmp_path / "run"), [tables["data"]["test"]], run_folder_options()
    ))  # fmt: skip
    assert told["scores"]["int8"]["f1"] > 0.8
    text = "王小明去了北京的新华社。张伟去了昌平区的人民日报社。"
    (tmp_path / "text.txt").write_text(text, encoding="utf-8")
    answers = reformer("predict", tmp_path / "run", tmp_path / "text.txt", "--aggregation-strategy", "simple").stdout
    expected = [(each["start"], each["end"], each["label"]) for each in json.loads(answers)["spans"]]
    assert expected
    script = (
        "import sys\n"
        "for name in ('torch', 'transformers', 'reformer'): sys.modules[name] = None\n"
        f"sys.path.insert(0, {str(ROOT / 'examples')!r}); import label_onnx; label_onnx.main()"
    )
    labelled = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path / "out"), str(tmp_path / "text.txt")],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert labelled.returncode == 0, labelled.stderr
    found = [line.split(" ", 3) for line in labelled.stdout.splitlines()]
    assert [(int(start), int(end), label) for start, end, label, _ in found] == expected


def run_folder_options():
    """What `export` evaluates with."""
    from reformer.tasks.predict_options import PredictOptions

    return PredictOptions(split="test")
