"""Language models that have learned nothing, and their losses."""

import torch
from torch.nn.functional import cross_entropy

from reformer.models import ReformerConfig, ReformerForCausalLM
from reformer.tasks.base import Run
from reformer.tasks.recipe_checks import checked_recipe
from reformer.tasks.registry import TASKS
from tests.tiny import MODEL, language_recipe


def untrained_run(folder, tokenizer, **fields) -> Run:
    """A language model that has learned nothing, which has a surprisal for every token all the same."""
    torch.manual_seed(0)
    options = MODEL | {"hidden_dropout_prob": 0.0, "is_decoder": True, "max_position_embeddings": 64} | fields
    model = ReformerForCausalLM(ReformerConfig(vocab_size=len(tokenizer), **options)).eval()
    (folder / "run").mkdir()
    model.save_pretrained(folder / "run")
    tokenizer.save_pretrained(folder / "run")
    recipe = checked_recipe(language_recipe(folder))
    return Run(folder / "run", recipe, TASKS["language-modelling"], model, tokenizer)  # pyright: ignore


def losses_at_once(run: Run, file: str) -> torch.Tensor:
    """The losses of all tokens but the first, in one forward pass over the whole text."""
    with open(file, "rb") as text:
        ids = torch.tensor([run.tokenizer(text.read().decode()).input_ids])
    run.model.config.max_position_embeddings = 10**6
    with torch.no_grad():
        logits = run.model(ids).logits[0]
    return cross_entropy(logits[:-1], ids[0, 1:], reduction="none").double()
