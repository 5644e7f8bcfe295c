"""Models and adapters work in other libraries as those of transformers do."""

import pytest
import torch
from transformers import Trainer, TrainingArguments

from reformer.data.tokenizers import byte_tokenizer
from reformer.models import (
    ReformerConfig,
    ReformerForCausalLM,
    ReformerForSequenceClassification,
    ReformerForTokenClassification,
    ReformerModel,
)
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


RECORDS = [
    {"question": "北京在", "choices": ["中国", "a"], "answer": 0},
    {"question": "1 + 1 =", "choices": ["2", "three"], "answer": 1},
]


def _harness_tasks():
    """A task of choices and one of writing over the same records, without a download."""
    from datasets import Dataset

    common = {
        "custom_dataset": lambda **_: {"test": Dataset.from_list(RECORDS)},
        "test_split": "test",
        "doc_to_text": "{{question}}",
        "target_delimiter": "",
    }
    choices = {"output_type": "multiple_choice", "doc_to_choice": "{{choices}}", "doc_to_target": "answer"}
    written = {
        "output_type": "generate_until",
        "doc_to_target": "{{choices[0]}}",
        "generation_kwargs": {"until": ["\n"], "max_gen_toks": 6, "do_sample": False},
        "metric_list": [{"metric": "exact_match", "aggregation": "mean", "higher_is_better": True}],
    }
    return [common | {"task": "choices"} | choices, common | {"task": "written"} | written]


@pytest.mark.parametrize("kind", ["local+lsh", "full"])
def test_the_evaluation_harness_scores_and_writes_as_the_model_does(tmp_path, kind):
    from lm_eval import simple_evaluate
    from lm_eval.models.huggingface import HFLM

    config = ReformerConfig(**FIELDS, attention_layers=[kind] * 2, is_decoder=True)
    model, tokenizer = ReformerForCausalLM(config).eval(), byte_tokenizer()
    tokenizer.eos_token = tokenizer.sep_token
    harness = HFLM(
        pretrained=_saved(model, tmp_path),
        tokenizer=tokenizer,
        prefix_token_id=tokenizer.cls_token_id,
        device="cpu",
        batch_size=3,
    )
    found = simple_evaluate(harness, tasks=_harness_tasks(), bootstrap_iters=0)["samples"]

    def likelihood(first: list[int], text: str) -> float:
        ids = torch.tensor([first + tokenizer(text).input_ids])
        with torch.no_grad():
            logits = model(ids[:, :-1]).logits[0, len(first) - 1 :].log_softmax(-1)
        return float(logits.gather(-1, ids[0, len(first) :, None]).sum())

    for record, sample in zip(RECORDS, found["choices"], strict=True):
        expected = [likelihood(tokenizer(record["question"]).input_ids, choice) for choice in record["choices"]]
        assert [answer for answer, _ in sample["filtered_resps"]] == pytest.approx(expected, rel=1e-4)
        assert sample["acc"] == (expected.index(max(expected)) == record["answer"])
    for record, sample in zip(RECORDS, found["written"], strict=True):
        ids = tokenizer(record["question"], return_tensors="pt", return_token_type_ids=False)
        written = model.generate(**ids, max_new_tokens=6, do_sample=False, eos_token_id=tokenizer.eos_token_id)
        text = tokenizer.decode(written[0, ids.input_ids.shape[1] :], skip_special_tokens=True).split("\n")[0]
        assert sample["filtered_resps"] == [text]
    # A text that is longer than the model reads: the rest sees as many tokens before it as there is room for.
    text = "What is long is read in windows. " * 10
    ids, longest = tokenizer(text).input_ids, config.max_position_embeddings
    expected = likelihood([tokenizer.cls_token_id], text[:longest])
    expected += likelihood(ids[len(ids) - longest - 1 : longest], text[longest:])
    assert harness.loglikelihood_rolling([_rolling(text)]) == [pytest.approx(expected, rel=1e-4)]


def _rolling(text):
    from lm_eval.api.instance import Instance

    return Instance(request_type="loglikelihood_rolling", doc={}, arguments=(text,), idx=0)


@pytest.mark.parametrize("reversible", [True, False])
@pytest.mark.parametrize("kind", ["local", "full"])
def test_captum_attributes_a_class_to_tokens(kind, reversible):
    from captum.attr import IntegratedGradients, LayerIntegratedGradients

    fields = {"attention_layers": [kind] * 3, "initializer_range": 0.1, "reversible": reversible}
    model = ReformerForSequenceClassification(ReformerConfig(**(FIELDS | fields))).eval()
    ids, mask = torch.randint(5, 261, (2, 12)), torch.ones(2, 12, dtype=torch.bool)
    mask[1, 9:] = False
    embeddings, target = model.get_input_embeddings(), torch.tensor([1, 2])
    vectors, baseline = embeddings(ids).detach(), embeddings(torch.zeros_like(ids)).detach()

    def logits(inputs_embeds, attention_mask):
        return model(inputs_embeds=inputs_embeds, attention_mask=attention_mask).logits

    given = {"target": target, "additional_forward_args": (mask,), "n_steps": 64}
    found = IntegratedGradients(logits).attribute(vectors, baseline, **given)
    with torch.no_grad():
        change = (logits(vectors, mask) - logits(baseline, mask)).gather(1, target[:, None])[:, 0]
    assert float(change.abs().min()) > 1e-3
    assert torch.allclose(found.sum((1, 2)), change, atol=1e-4)
    assert not found[1, 9:].any()
    assert found[1, :9].any(-1).all()
    by_layer = LayerIntegratedGradients(lambda ids, mask: model(ids, attention_mask=mask).logits, embeddings)
    assert torch.allclose(by_layer.attribute(ids, torch.zeros_like(ids), **given), found, atol=1e-6)


def test_captum_attributes_a_tokens_label_to_what_it_sees():
    from captum.attr import LayerIntegratedGradients

    fields = {"attention_layers": ["local"], "local_window": 3, "residual_streams": 1, "reversible": False}
    model = ReformerForTokenClassification(ReformerConfig(**(FIELDS | fields))).eval()
    ids = torch.randint(5, 261, (1, 12))
    attribution = LayerIntegratedGradients(lambda ids: model(ids).logits, model.get_input_embeddings())
    found = attribution.attribute(ids, torch.zeros_like(ids), target=(5, 1), n_steps=8)[0].any(-1)
    assert found.tolist() == [3 <= place <= 7 for place in range(12)]
