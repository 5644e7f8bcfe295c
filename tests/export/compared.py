"""Differences between programs and models, in a process in which no shapes are checked: the checks end a trace."""

import json

import torch

from reformer.export import exported_program
from tests.contract.models import HEADS, random_ids

TOKENS = HEADS["token-classification"]


def difference(variant: str, standard: bool) -> float:
    """The greatest, relative to the greatest output, at two lengths with padding in front."""
    torch.manual_seed(0)
    model = TOKENS.build(variant)
    program = exported_program(model, standard_operators=standard)
    own = [node for node in program.graph.nodes if str(node.target).startswith("reformer.")]
    assert not (standard and own), own
    worst = 0.0
    for length in (17, 130):
        ids = random_ids(3, length)
        mask = torch.ones_like(ids)
        mask[1, : length // 3] = 0
        with torch.no_grad():
            given = {"input_ids": ids, "attention_mask": mask}
            found, expected = program.module()(**given)[0], model(**given).logits
        worst = max(worst, float((found - expected).abs()[mask.bool()].max() / expected.abs().max()))
    return worst


if __name__ == "__main__":
    torch.set_num_threads(1)
    kernels = {variant: difference(variant, False) for variant in ("fourier", "hourglass", "ngrams")}
    print(json.dumps({**kernels, "separate, standard operators": difference("separate", True)}))
