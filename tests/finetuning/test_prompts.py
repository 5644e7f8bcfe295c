"""Prompts that peft learns: tokens are read, and keys and values of no token are refused."""

import pytest
import torch
from peft import PrefixTuningConfig, PromptEncoderConfig, PromptTuningConfig, get_peft_model
from transformers import DynamicCache

from reformer.models import ReformerConfig
from tests.contract.models import HEADS, random_ids

TASKS = {
    "causal-lm": "CAUSAL_LM",
    "sequence-classification": "SEQ_CLS",
    "token-classification": "TOKEN_CLS",
    "question-answering": "QUESTION_ANS",
    "encoder-decoder": "SEQ_2_SEQ_LM",
}

# Theirs warn of what is not ours.
pytestmark = pytest.mark.filterwarnings("ignore")


def _with_prompts(head, kind):
    model = HEADS[head].build("mixed")
    return get_peft_model(model, kind(task_type=TASKS[head], num_virtual_tokens=3))


@pytest.mark.parametrize("kind", [PromptTuningConfig, PromptEncoderConfig])
@pytest.mark.parametrize("head", ["causal-lm", "sequence-classification"])
def test_a_prompt_of_tokens_learns(head, kind):
    model, ids = _with_prompts(head, kind).train(), random_ids(2, 12)
    model(input_ids=ids, attention_mask=torch.ones_like(ids), **HEADS[head].labels(ids)).loss.backward()
    assert model.prompt_encoder["default"].embedding.weight.grad.abs().max() > 0


def test_a_prompt_of_tokens_stands_before_the_text():
    model, ids = _with_prompts("causal-lm", PromptTuningConfig).eval(), random_ids(2, 12)
    base = model.get_base_model()
    prompt = model.prompt_encoder["default"].embedding.weight.expand(2, -1, -1)
    with torch.no_grad():
        found = model(input_ids=ids, attention_mask=torch.ones_like(ids)).logits
        vectors = torch.cat((prompt, base.get_input_embeddings()(ids)), 1)
        assert (found - base(inputs_embeds=vectors).logits).abs().max() < 1e-5 * found.abs().max()
        written = model.generate(input_ids=ids, attention_mask=torch.ones_like(ids), max_new_tokens=1, do_sample=False)
    assert torch.equal(written[:, -1], found[:, -1].argmax(-1))


@pytest.mark.parametrize("head", TASKS)
def test_a_prefix_of_keys_and_values_is_refused(head):
    model, ids = _with_prompts(head, PrefixTuningConfig), random_ids(2, 12)
    with pytest.raises(TypeError, match=r"past_key_values of type .*: these models have .*PromptTuningConfig"):
        model(input_ids=ids, attention_mask=torch.ones_like(ids), **HEADS[head].labels(ids))


def test_a_cache_of_transformers_is_refused():
    model = HEADS["causal-lm"].build()
    with pytest.raises(TypeError, match="past_key_values of type DynamicCache: these models have a cache of their own"):
        model(input_ids=random_ids(1, 5), past_key_values=DynamicCache())
    with pytest.raises(TypeError, match="past_key_values of type DynamicCache"):
        model.generate(input_ids=random_ids(1, 5), past_key_values=DynamicCache(), max_new_tokens=1)


def test_peft_is_told_heads_of_keys_only_where_they_are_a_number():
    fields = {"num_attention_heads": 4, "attention_layers": ["full"]}
    assert "num_key_value_heads" not in ReformerConfig(**fields).to_dict()
    config = ReformerConfig(**fields, num_key_value_heads=2)
    assert (
        ReformerConfig.from_dict(config.to_dict()).num_key_value_heads == config.to_dict()["num_key_value_heads"] == 2
    )
