"""How far an ONNX graph that transformers' exporter makes is from the model, as JSON, in a process in which no shapes
are checked: the checks end a trace."""

import json

import torch
from transformers.exporters import OnnxConfig, OnnxExporter

from reformer.ops.standard import standard_operators
from tests.contract.models import HEADS, random_ids


@torch.no_grad()
def main() -> None:
    torch.manual_seed(0)
    model = HEADS["token-classification"].build("local").eval()
    traced = random_ids(2, 40)
    mask = torch.ones_like(traced)
    mask[1, 30:] = 0
    inputs = {"input_ids": traced, "attention_mask": mask}
    with standard_operators():
        exported = OnnxExporter().export(model, inputs, config=OnnxConfig(dynamic=True))
    ids = random_ids(3, 57)
    mask = torch.ones_like(ids)
    mask[0, 40:] = 0
    expected = model(input_ids=ids, attention_mask=mask).logits
    found = exported(input_ids=ids, attention_mask=mask).logits
    print(json.dumps(float((found - expected)[mask.bool()].abs().max() / expected.abs().max())))


if __name__ == "__main__":
    main()
