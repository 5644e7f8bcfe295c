"""The golden files: where they lie, and how a model's outputs are had for them, alike for writing and for comparing."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from reformer import models
from reformer.ops import native

FOLDER = Path(__file__).parent
MODELS = FOLDER / "models"
LABELLER = FOLDER / "labeller"
"""A recipe with its documents; `finished`, the folder of its run; `interrupted`, one that was stopped on the way."""
RECIPES = FOLDER / "recipes"
DECODING = {"max_new_tokens": 16, "do_sample": False, "pad_token_id": 0, "use_cache": True}


def processor() -> str:
    """Everything that decides how products round: where two of these are equal, outputs are equal bit for bit."""
    kind = {}
    if Path("/proc/cpuinfo").is_file():
        first = Path("/proc/cpuinfo").read_text(encoding="utf-8").partition("\n\n")[0]
        kind = dict(tuple(part.strip() for part in line.partition(":")[::2]) for line in first.splitlines())
    names = ("vendor_id", "cpu family", "model")
    return ", ".join(
        (
            f"kernels {native.VARIANT}",
            f"torch {torch.__version__} {torch.backends.cpu.get_cpu_capability()}",
            " ".join(kind.get(name, "?") for name in names),
            f"threads {torch.get_num_threads()}",
        )
    )


def load(folder: Path) -> Any:
    """The model in a folder, of the class that its configuration names."""
    [name] = models.ReformerConfig.from_pretrained(folder).architectures or []
    return getattr(models, name).from_pretrained(folder).eval()


@torch.no_grad()
def outputs(model: Any, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Logits, with zeros for padding, the loss, and of a model that writes the token ids that it writes."""
    found = model(**inputs)
    logits = found.logits
    if not model.config.is_encoder_decoder:
        logits = logits * inputs["attention_mask"][..., None]
    kept = {"logits": logits, "loss": found.loss[None]}
    if model.can_generate():
        prompt = {name: inputs[name] for name in ("input_ids", "attention_mask")}
        kept["generated"] = model.generate(**prompt, **DECODING)
    return kept
