"""Graphs of models give what the models give, at every length and for padded batches."""

import json
import subprocess
import sys

import pytest
import torch
from torch import nn

from benchmarks import exported
from reformer.errors import ReformerError
from reformer.export import export_model, exported_program, graphs
from reformer.ops import standard
from tests.contract.models import HEADS, random_ids

TOKENS = HEADS["token-classification"]


@pytest.mark.slow
def test_a_program_is_the_model_at_other_lengths():
    script = [sys.executable, "-m", "tests.export.compared"]
    found = json.loads(subprocess.run(script, capture_output=True, text=True, check=True).stdout.splitlines()[-1])
    assert len(found) == 4
    assert max(found.values()) < 1e-4, found


def test_standard_operators_compute_what_kernels_compute():
    model, ids = HEADS["causal-lm"].build("local+lsh"), random_ids(2, 90)
    expected = model(input_ids=ids, labels=ids).loss
    with standard.standard_operators():
        found = model(input_ids=ids, labels=ids).loss
    assert abs(found - expected) < 1e-5


def test_what_cannot_be_exported_is_refused(tmp_path):
    model = TOKENS.build("local")
    with pytest.raises(ReformerError, match=r"ends in \.onnx or \.pt2"):
        export_model(model, tmp_path / "model.pb")
    with pytest.raises(ReformerError, match="an encoder and a decoder"):
        exported_program(HEADS["encoder-decoder"].build("local"))
    with pytest.raises(ReformerError, match="no token ids"):
        exported_program(TOKENS.build("local", vocab_size=0))


def test_a_graph_that_differs_is_an_error_and_leaves_no_file(tmp_path, monkeypatch):
    def write(program, path):
        path.write_bytes(b"")
        return lambda inputs: [torch.zeros(*inputs["input_ids"].shape, 5)]

    monkeypatch.setattr("reformer.export.graphs._traced", lambda *_, **__: (None, ("logits",)))
    monkeypatch.setattr("reformer.export.graphs._write_program", write)
    with pytest.raises(ReformerError, match="outputs differ from the model's"):
        export_model(TOKENS.build("local"), tmp_path / "model.pt2", lengths=(17,))
    assert not list(tmp_path.iterdir())


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
def test_tracing_by_example_is_refused():
    class Answers(nn.Module):
        def __init__(self):
            super().__init__()
            self.model = TOKENS.build("local")

        def forward(self, ids):
            return self.model(input_ids=ids).logits

    with pytest.raises(ValueError, match="export_model"):
        torch.jit.trace(Answers(), (random_ids(1, 20),))


@pytest.mark.slow
@pytest.mark.parametrize("variant", ["local", "lsh", "local+lsh", "separate"])
def test_onnx_is_the_model(variant, tmp_path):
    pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    script = (
        "import sys; from reformer.export import export_model; from tests.contract.models import HEADS\n"
        "model = HEADS['token-classification'].build(sys.argv[1], max_position_embeddings=32768)\n"
        "print(export_model(model, sys.argv[2], lengths=(1, 63, 64, 1000)).difference)"
    )
    given = [sys.executable, "-c", script, variant, str(tmp_path / "model.onnx")]
    found = subprocess.run(given, capture_output=True, text=True, check=True)
    assert float(found.stdout.split()[-1]) < 1e-4


def test_a_graph_that_differs_leaves_the_file_of_its_name(tmp_path, monkeypatch):
    def differs(*_):
        raise ReformerError("differs")

    monkeypatch.setattr(graphs, "_write_program", lambda program, path: path.write_bytes(b"new"))
    monkeypatch.setattr(graphs, "_traced", lambda *_, **__: (None, ("logits",)))
    monkeypatch.setattr(graphs, "_compared", differs)
    (tmp_path / "m.pt2").write_bytes(b"old")
    with pytest.raises(ReformerError, match="differs"):
        graphs.export_model(HEADS["causal-lm"].build(), tmp_path / "m.pt2")
    assert (tmp_path / "m.pt2").read_bytes() == b"old"
    assert [file.name for file in tmp_path.iterdir()] == ["m.pt2"]


@pytest.mark.slow
@pytest.mark.parametrize("task", exported.MODELS)
def test_the_graph_of_every_task_is_its_model_up_to_twenty_thousand_tokens(task):
    pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    # In a process of its own: checks of shapes would end the trace.
    script = "import json, sys; from benchmarks.exported import measured; print(json.dumps(measured(sys.argv[1])))"
    run = subprocess.run([sys.executable, "-c", script, task], capture_output=True, text=True, check=True)
    found = json.loads(run.stdout.splitlines()[-1])
    assert found["lengths"] == [1, 63, 64, 1000, 20000], found
    assert max(found["differences"]) < 1e-4, found
