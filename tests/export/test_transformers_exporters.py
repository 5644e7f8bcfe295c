"""transformers' own exporters make graphs of the models, which give what the models give at other lengths."""

import json
import subprocess
import sys

import pytest
import torch

from tests.contract.models import HEADS, random_ids

exporters = pytest.importorskip("transformers.exporters", reason="this version of transformers has no exporters")

# They warn of versions that they were not tried with, and torch of what it will change.
pytestmark = pytest.mark.filterwarnings("ignore")


@torch.no_grad()
def _compare(exported, model):
    ids = random_ids(3, 57)
    mask = torch.ones_like(ids)
    mask[0, 40:] = 0
    found = exported(input_ids=ids, attention_mask=mask).logits
    expected = model(input_ids=ids, attention_mask=mask).logits
    assert found.shape == expected.shape
    assert (found - expected)[mask.bool()].abs().max() < 1e-4 * expected.abs().max()


def _inputs():
    ids = random_ids(2, 40)
    # With padding, so that no graph is without a mask.
    mask = torch.ones_like(ids)
    mask[1, 30:] = 0
    return {"input_ids": ids, "attention_mask": mask}


@pytest.mark.parametrize(("head", "variant"), [("token-classification", "local+lsh"), ("causal-lm", "local")])
def test_a_program_of_torch(head, variant):
    model = HEADS[head].build(variant).eval()
    config = exporters.DynamoConfig(dynamic=True)
    _compare(exporters.DynamoExporter().export(model, _inputs(), config=config), model)


@pytest.mark.slow
def test_a_graph_of_onnx():
    pytest.importorskip("onnxscript", reason="ONNX is the extra reformer-torch[onnx]")
    pytest.importorskip("onnxruntime", reason="ONNX is the extra reformer-torch[onnx]")
    script = [sys.executable, "-m", "tests.export.transformers_onnx"]
    done = subprocess.run(script, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1]) < 1e-4
