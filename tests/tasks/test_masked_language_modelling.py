"""Masked language models from recipe to run folder."""

import io

import pytest
import torch
from rich.console import Console

from reformer.data import byte_tokenizer
from reformer.models import ReformerForMaskedLM
from reformer.recipe import RecipeError
from reformer.runs.loading import load_run
from reformer.tasks.masked_language_modelling import MaskedLanguageModelling, hide, hide_by_document
from reformer.tasks.recipe_checks import checked_recipe
from reformer.training.train import train
from tests.tiny import masked_recipe, ner_recipe

QUIET = Console(quiet=True)


def _train(tables: dict, folder, **options):
    return train(checked_recipe(tables), folder, **{"console": QUIET, **options})


def test_it_learns_what_is_hidden(tmp_path):
    metrics = _train(masked_recipe(tmp_path, max_steps=60, mlm_probability=0.25), tmp_path / "run")
    # Drawn blindly, one of 261 tokens.
    assert metrics["test"]["perplexity"] < 40
    assert metrics["test"]["accuracy"] > 0.2
    run = load_run(tmp_path / "run")
    assert isinstance(run.model, ReformerForMaskedLM)
    assert not run.model.config.is_decoder


def test_measured_twice_it_is_the_same(tmp_path):
    tables = masked_recipe(tmp_path, learning_rate=1e-12)
    lines = []
    for seed in (0, 1):
        torch.manual_seed(seed)
        lines.append(_train(tables, tmp_path / f"run-{seed}")["validation"])
    assert lines[0] == lines[1]


def test_hidden_are_as_many_as_asked_and_never_padding():
    ids = torch.full((50, 400), 7)
    mask = torch.ones_like(ids)
    mask[:, 300:] = 0
    batch = hide(ids, mask, byte_tokenizer(), 0.2, torch.Generator().manual_seed(0))
    hidden = batch["labels"] != -100
    assert not hidden[:, 300:].any()
    share = hidden[:, :300].float().mean()
    assert share == pytest.approx(0.2, abs=0.02)
    shown = batch["input_ids"]
    assert torch.equal(shown[~hidden], ids[~hidden])
    assert torch.equal(batch["labels"][hidden], ids[hidden])
    masked = (shown[hidden] == byte_tokenizer().mask_token_id).float().mean()
    assert masked == pytest.approx(0.8, abs=0.04)
    kept = (shown[hidden] == 7).float().mean()
    assert kept == pytest.approx(0.1, abs=0.04)


def _padded(documents, length):
    ids, mask = torch.zeros(len(documents), length, dtype=torch.long), torch.zeros(len(documents), length).long()
    for row, document in enumerate(documents):
        ids[row, : len(document)], mask[row, : len(document)] = document, 1
    return ids, mask


def test_a_document_hides_the_same_tokens_in_every_batch():
    documents = [torch.randint(5, 261, (length,)) for length in (30, 7, 100, 41)]
    alone = [hide_by_document(*_padded([document], len(document)), byte_tokenizer(), 0.3) for document in documents]
    batch = hide_by_document(*_padded(documents[::-1], 128), byte_tokenizer(), 0.3)
    for row, (document, single) in enumerate(zip(documents[::-1], alone[::-1], strict=True)):
        for name, padding in (("input_ids", 0), ("labels", -100)):
            assert torch.equal(batch[name][row, : len(document)], single[name][0])
            assert (batch[name][row, len(document) :] == padding).all()
    # The seed is the document's own: equal ids, and no others, hide the same places.
    hidden = [(single["labels"] != -100)[0, :7].tolist() for single in alone]
    assert len(set(map(tuple, hidden))) > 1


def test_the_metric_does_not_depend_on_how_documents_are_batched(tmp_path):
    recipe = checked_recipe(masked_recipe(tmp_path, mlm_probability=0.25))
    data = MaskedLanguageModelling().load_data(recipe)
    torch.manual_seed(0)
    model = ReformerForMaskedLM(data.config).eval()
    count = 7
    assert len({len(data.train[index].ids) for index in range(count)}) > 1
    results = []
    for size, order in ((1, range(count)), (2, range(count)), (5, reversed(range(count))), (5, [*range(1, count), 0])):
        metric, indices = data.new_metric(), list(order)
        for at in range(0, count, size):
            batch = data.collate([data.train[index] for index in indices[at : at + size]])
            with torch.no_grad():
                data.evaluate_batch(model, batch, metric)
        results.append(metric.result())
    for result in results[1:]:
        assert result["hidden"] == results[0]["hidden"] > 0
        assert result["accuracy"] == results[0]["accuracy"]
        assert result["perplexity"] == pytest.approx(results[0]["perplexity"], rel=1e-5)


def test_labels_are_not_read_and_texts_are_joined(tmp_path):
    # Texts that are the same would be on one side of the split, all of them.
    rows = [f"北京欢迎{chr(0x4E00 + number)}\n" for number in range(40)]
    (tmp_path / "texts.csv").write_text("text\n" + "".join(rows), encoding="utf-8")
    tables = masked_recipe(tmp_path)
    tables["data"] = {"train": str(tmp_path / "texts.csv"), "max_length": 60}
    console = Console(record=True, width=200, file=io.StringIO())
    _train(tables, tmp_path / "run", console=console)
    # 36 of them, 10 to a document.
    assert "learning from 4 documents" in console.export_text()


@pytest.mark.parametrize(
    ("table", "field", "value", "message"),
    [
        ("data", "sequence_length", 100, r"data\.sequence_length is for language-modelling; leave it out"),
        ("data", "label_column", "label", r"data\.label_column is for token-classification and"),
        ("model", "classifier_crf", True, r"model\.classifier_crf is for token-classification;"),
        ("model", "classifier_pooling", "max", r"model\.classifier_pooling is for sequence-classification and image-"),
        ("model", "is_decoder", True, "reads both sides"),
        ("training", "mlm_probability", 1.0, "less than 1"),
    ],
)
def test_what_makes_no_sense_is_refused(tmp_path, table, field, value, message):
    tables = masked_recipe(tmp_path)
    tables[table][field] = value
    with pytest.raises(RecipeError, match=message):
        checked_recipe(tables)


def test_other_tasks_hide_nothing(tmp_path):
    with pytest.raises(RecipeError, match=r"training\.mlm_probability is for masked-language-modelling; leave it out"):
        checked_recipe(ner_recipe(tmp_path, mlm_probability=0.1))
