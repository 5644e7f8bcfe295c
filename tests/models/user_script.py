"""A user's script, of which type checkers find the lines wrong that say so, and no others; nothing runs it."""

from pathlib import Path
from typing import assert_type

import torch
from torch import Tensor, nn
from transformers import AutoTokenizer, Trainer, TrainingArguments
from transformers.modeling_outputs import (
    MaskedLMOutput,
    QuestionAnsweringModelOutput,
    Seq2SeqLMOutput,
    SequenceClassifierOutput,
    TokenClassifierOutput,
)

import reformer
from reformer import (
    ReformerConfig,
    ReformerForCausalLM,
    ReformerForConditionalGeneration,
    ReformerForImageClassification,
    ReformerForImageToText,
    ReformerForMaskedLM,
    ReformerForQuestionAnswering,
    ReformerForSequenceClassification,
    ReformerForTokenClassification,
    ReformerModel,
)

config = ReformerConfig(vocab_size=100, num_labels=3, id2label={0: "O", 1: "B", 2: "I"}, attention_layers=["local"])
assert_type(config.hidden_size, int)
config.save_pretrained("folder")
assert_type(ReformerConfig.from_pretrained("folder"), ReformerConfig)
ReformerConfig(num_labels="3")  # wrong
ReformerConfig(hidden_size="wide")  # wrong
ReformerConfig(hiden_size=64)  # wrong

model = ReformerForTokenClassification(config).to("cpu").to(torch.bfloat16).train()
assert_type(model, ReformerForTokenClassification)
assert_type(model.config, ReformerConfig)
assert_type(model.get_input_embeddings(), nn.Module)
ids = torch.randint(1, 100, (2, 12))
output = model(input_ids=ids, labels=ids % 3)
assert_type(output, TokenClassifierOutput)
assert_type(output.logits, Tensor | None)
if output.loss is not None:
    output.loss.backward()
print(output.no_such_field)  # wrong
optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
model.save_pretrained(Path("folder"))

loaded = ReformerForTokenClassification.from_pretrained("folder", dtype=torch.float32).eval()
assert_type(loaded, ReformerForTokenClassification)
bare: ReformerModel = ReformerForTokenClassification.from_pretrained("folder")  # wrong
assert_type(loaded(**AutoTokenizer.from_pretrained("folder")("text", return_tensors="pt")), TokenClassifierOutput)
Trainer(model=loaded, args=TrainingArguments(output_dir="runs")).train()

causal = ReformerForCausalLM.from_pretrained(Path("folder")).eval()
found = causal(ids, use_cache=True)
causal(ids, past_key_values=found.past_key_values)
causal.generate(ids, max_new_tokens=3)
causal.stream()

assert_type(ReformerModel(config)(ids).last_hidden_state, Tensor | None)
assert_type(ReformerForMaskedLM(config)(ids), MaskedLMOutput)
assert_type(ReformerForSequenceClassification(config)(ids), SequenceClassifierOutput)
assert_type(ReformerForQuestionAnswering(config)(ids), QuestionAnsweringModelOutput)
assert_type(ReformerForImageClassification(config)(ids), SequenceClassifierOutput)
assert_type(ReformerForImageToText(config)(ids), Seq2SeqLMOutput)
assert_type(ReformerForConditionalGeneration(config)(ids), Seq2SeqLMOutput)

slots = reformer.position_slots(ids > 0)
vectors = torch.randn(2, 4, 12, 16)
assert_type(reformer.window_attention(vectors, vectors, vectors, slots, window=8), Tensor)
reformer.window_attention(vectors, vectors, vectors, slots, windows=8)  # wrong
reformer.train(reformer.read_recipe("recipe.toml"), "runs/mine")
