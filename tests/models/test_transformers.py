"""transformers' own Trainer and pipeline work on the models."""

import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast, Trainer, TrainingArguments, pipeline

from reformer.models import ReformerConfig, ReformerForTokenClassification
from tests.contract.models import HEADS, SMALL, random_ids


def _tokenizer():
    vocabulary = {"[PAD]": 0, "[UNK]": 1, **{letter: 2 + index for index, letter in enumerate("abcdefgh")}}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="[PAD]", unk_token="[UNK]")


@pytest.mark.parametrize("name", HEADS)
def test_the_trainer_trains_every_head(name, tmp_path):
    head = HEADS[name]
    examples = [
        {"input_ids": ids, **{k: v[0] for k, v in head.labels(ids[None]).items()}} for ids in random_ids(16, 12)
    ]
    model = head.build("mixed", hidden_dropout_prob=0.1, initializer_range=0.05)
    arguments = TrainingArguments(
        output_dir=str(tmp_path),
        num_train_epochs=8,
        per_device_train_batch_size=4,
        learning_rate=1e-2,
        report_to=[],
        use_cpu=True,
        logging_steps=4,
        gradient_accumulation_steps=2,
        max_grad_norm=1.0,
        dataloader_pin_memory=False,
    )
    trainer = Trainer(model, arguments, train_dataset=examples)
    trainer.train()
    losses = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
    assert losses[-1] < losses[0]


def test_the_pipeline_labels_text_with_offsets(tmp_path):
    names = {0: "O", 1: "B-X"}
    config = ReformerConfig(**{**SMALL, "num_labels": 2}, id2label=names, label2id={v: k for k, v in names.items()})
    model = ReformerForTokenClassification(config).eval()
    with torch.no_grad():
        model.classifier.weight.zero_()
        model.classifier.bias.copy_(torch.tensor([0.0, 5.0]))
    label = pipeline("token-classification", model=model, tokenizer=_tokenizer())
    assert [(found["entity"], found["start"], found["end"]) for found in label("abc")] == [
        ("B-X", 0, 1), ("B-X", 1, 2), ("B-X", 2, 3),
    ]  # fmt: skip


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("head", ["causal-lm", "masked-lm", "encoder-decoder"])
def test_a_resized_vocabulary_is_known_to_all_parts(head, tied, tmp_path):
    model = HEADS[head].build(tie_word_embeddings=tied)
    model.resize_token_embeddings(60)
    ids = torch.randint(41, 60, (2, 12))
    target = {"decoder_input_ids": ids} if head == "encoder-decoder" else {}
    found = model(input_ids=ids, **target).logits
    assert found.shape[-1] == 60
    model.save_pretrained(tmp_path)
    assert torch.equal(type(model).from_pretrained(tmp_path).eval()(input_ids=ids, **target).logits, found)
    with pytest.raises(ValueError, match="input_ids holds 60, outside the vocabulary of 60"):
        model(input_ids=ids + 60 - ids, **target)
