"""Models and adapters work in other libraries as those of transformers do."""

import pytest
import torch
from transformers import Trainer, TrainingArguments

from reformer.data.tokenizers import byte_tokenizer
from reformer.models import ReformerConfig, ReformerForCausalLM, ReformerForSequenceClassification, ReformerModel
from tests.contract.models import SMALL

# Theirs warn of much that is not ours.
pytestmark = [pytest.mark.libraries, pytest.mark.filterwarnings("ignore")]
FIELDS = {**SMALL, "vocab_size": 261, "num_labels": 3, "pad_token_id": 0, "position_embedding_type": "rotary"}


def _saved(model, folder):
    model.save_pretrained(folder)
    byte_tokenizer().save_pretrained(folder)
    return str(folder)


def _trainer(folder, examples, build, **options):
    arguments = TrainingArguments(
        output_dir=str(folder), max_steps=2, per_device_train_batch_size=2, report_to=[], use_cpu=True,
        dataloader_pin_memory=False, save_strategy="no", disable_tqdm=True, **options,
    )  # fmt: skip
    return Trainer(args=arguments, train_dataset=examples, **build)


def test_optuna_searches_with_the_trainer(tmp_path):
    ids = torch.randint(5, 261, (4, 12))
    examples = [{"input_ids": row, "labels": row[0] % 3} for row in ids]

    def build(trial=None):
        return ReformerForSequenceClassification(ReformerConfig(**FIELDS))

    trainer = _trainer(tmp_path, examples, {"model_init": build})
    trainer.eval_dataset = examples
    best = trainer.hyperparameter_search(
        hp_space=lambda trial: {"learning_rate": trial.suggest_float("learning_rate", 1e-4, 1e-2, log=True)},
        backend="optuna",
        n_trials=2,
    )
    assert 1e-4 <= best.hyperparameters["learning_rate"] <= 1e-2


def test_sentence_transformers_is_told_the_width(tmp_path):
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Pooling

    from reformer.inference.sentence_vectors import StreamsModule

    model = ReformerModel(ReformerConfig(**FIELDS)).eval()
    module = StreamsModule(_saved(model, tmp_path))
    width = model.config.output_size
    assert module.get_embedding_dimension() == width != model.config.hidden_size
    encoder = SentenceTransformer(modules=[module, Pooling(width, "mean")], device="cpu")
    texts = ["北京欢迎你", "a"]
    found = encoder.encode(texts)
    assert encoder.get_embedding_dimension() == width
    for text, vector in zip(texts, found, strict=True):
        with torch.no_grad():
            streams = model(**byte_tokenizer()(text, return_tensors="pt", return_token_type_ids=False))
        assert torch.allclose(torch.from_numpy(vector), streams.last_hidden_state[0].mean(0), atol=1e-5)


def test_peft_saves_an_adapter_and_finds_it_again(tmp_path):
    from peft import LoraConfig, PeftModel, get_peft_model

    base = ReformerForSequenceClassification(ReformerConfig(**FIELDS))
    _saved(base, tmp_path / "base")
    config = LoraConfig(task_type="SEQ_CLS", r=2, target_modules=["value", "output"], lora_dropout=0.1)
    model, ids = get_peft_model(base, config).train(), torch.randint(5, 261, (2, 12))
    model(input_ids=ids, labels=torch.tensor([0, 2])).loss.backward()
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if "lora_B" in name:
                weight.normal_()
    model.eval().save_pretrained(tmp_path / "adapter")
    again = ReformerForSequenceClassification.from_pretrained(tmp_path / "base")
    again = PeftModel.from_pretrained(again, tmp_path / "adapter").eval()
    with torch.no_grad():
        assert torch.equal(again(input_ids=ids).logits, model(input_ids=ids).logits)


def test_the_trainer_reads_a_stream_of_datasets(tmp_path):
    from datasets import IterableDataset

    def texts():
        for number in range(8):
            ids = byte_tokenizer()(f"text number {number}").input_ids
            yield {"input_ids": ids, "labels": ids}

    model = ReformerForCausalLM(ReformerConfig(**FIELDS, is_decoder=True))
    trainer = _trainer(tmp_path, IterableDataset.from_generator(texts), {"model": model}, logging_steps=1)
    trainer.train()
    losses = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
    assert len(losses) == 2
    assert all(0 < loss < 20 for loss in losses)
