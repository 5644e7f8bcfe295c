"""What characters add to an answer adds up to it, and comes from where the answer can come from."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from reformer.data.tokenizers import byte_tokenizer
from reformer.errors import ReformerError
from reformer.insight import attribution as module
from reformer.insight.attribution import Attribution, Piece, attribution, check_attributable, in_words
from reformer.insight.attribution_page import section
from reformer.insight.inspect_texts import InspectedText
from reformer.models import ReformerConfig, ReformerForSequenceClassification, ReformerForTokenClassification
from reformer.tasks.base import Run
from reformer.tasks.registry import TASKS
from tests.inference.untrained import untrained_run
from tests.tiny import MODEL

TEXT = "王小明去了<b>北京"
LOCAL = {
    "attention_layers": ["local"],
    "local_window": 3,
    "residual_streams": 1,
    "reversible": False,
    "convolution_kernel": 1,
}


@pytest.fixture
def labeller(tmp_path):
    """A labeller of bytes that has learned nothing, with weights that tell tokens apart."""

    def build(task="token-classification", **fields) -> Run:
        run = untrained_run(tmp_path, byte_tokenizer())
        names = {"id2label": {0: "O", 1: "B-PER", 2: "I-PER"}, "label2id": {"O": 0, "B-PER": 1, "I-PER": 2}}
        options = MODEL | {"hidden_dropout_prob": 0.0, "initializer_range": 0.3, "max_position_embeddings": 64}
        kind = ReformerForTokenClassification if "token" in task else ReformerForSequenceClassification
        model = kind(ReformerConfig(vocab_size=len(run.tokenizer), **options | names | LOCAL | fields)).eval()
        training = run.recipe.training.model_copy(update={"task": task})
        recipe = run.recipe.model_copy(update={"training": training})
        return replace(run, model=model, task=TASKS[task], recipe=recipe)  # pyright: ignore

    return build


def inspected(run: Run, words: str = TEXT) -> InspectedText:
    read = run.tokenizer(words, return_offsets_mapping=True)
    ids, offsets = np.array(read.input_ids), read.offset_mapping
    return InspectedText("1", len(ids), words, offsets, ids, lambda: None)


@pytest.mark.parametrize(
    "fields", [{}, {"classifier_crf": True}, {"classifier_crf": True, "wide_sizes": [1], "wide_rows": 97}]
)
def test_values_of_characters_add_up_to_the_answer(labeller, fields):
    pytest.importorskip("captum")
    run = labeller(**fields)
    text = inspected(run)
    found = attribution(run, text, 1, 3)
    assert found.answer in run.labels
    assert found.place == (1, 2)
    assert [TEXT[piece.start : piece.end] for piece in found.pieces] == list(TEXT)
    assert sum(piece.value for piece in found.pieces) + found.gap == pytest.approx(found.score - found.baseline)
    assert abs(found.gap) < 2e-2 * max(1, abs(found.score - found.baseline))
    with torch.no_grad():
        output = run.model(input_ids=torch.from_numpy(text.ids)[None])
        logits = (output.scores if fields else output.logits)[0, 3]
    of_answer = logits.log_softmax(-1)[run.labels.index(found.answer)]
    assert found.score == pytest.approx(float(of_answer), abs=1e-5)


def test_characters_that_the_token_does_not_see_add_nothing(labeller):
    pytest.importorskip("captum")
    run = labeller()
    found = attribution(run, inspected(run), 1, 3)
    # A window of three sees two bytes to each side: the second character's own, and neighbours of the first and third.
    assert [piece.value != 0 for piece in found.pieces] == [True, True, *[False] * (len(TEXT) - 2)]


def test_a_class_comes_from_the_whole_document(labeller):
    pytest.importorskip("captum")
    run = labeller("sequence-classification", id2label={0: "bad", 1: "good"}, label2id={"bad": 0, "good": 1})
    found = attribution(run, inspected(run), 2, None)
    assert found.answer in ("bad", "good")
    assert found.place is None
    assert all(piece.value for piece in found.pieces)


def test_a_language_model_is_told_by_what_stands_before(tmp_path):
    pytest.importorskip("captum")
    run = untrained_run(tmp_path, byte_tokenizer(), initializer_range=0.3, **LOCAL | {"local_window": 64})
    found = attribution(run, inspected(run, "abcdef"), 1, 3)
    assert found.answer == "d"
    assert [bool(piece.value) for piece in found.pieces] == [True, True, True, False, False, False]
    with pytest.raises(ReformerError, match="nothing before it"):
        attribution(run, inspected(run, "abcdef"), 1, 0)


def test_what_is_not_attributed_is_refused(labeller, monkeypatch):
    run = labeller()
    monkeypatch.setattr(module, "find_spec", lambda name: True)
    check_attributable(run, 0)
    with pytest.raises(ReformerError, match="give DOCUMENT:POSITION"):
        check_attributable(run, None)
    about_document = replace(
        run, recipe=run.recipe.model_copy(update={"training": _task(run, "sequence-classification")})
    )
    with pytest.raises(ReformerError, match="give its number alone"):
        check_attributable(about_document, 3)
    with pytest.raises(ReformerError, match="answers of token-classification are not"):
        check_attributable(replace(run, task=TASKS["forecasting"]), 0)
    monkeypatch.setattr(module, "find_spec", lambda name: None)
    with pytest.raises(ReformerError, match="captum is not installed: pip install"):
        check_attributable(run, 0)


def _task(run, name):
    return run.recipe.training.model_copy(update={"task": name})


def test_the_page_shows_every_character_as_text():
    pieces = [Piece(number, number + 1, value) for number, value in enumerate((0.5, -0.25, 0.0, 0.04))]
    found = Attribution(
        document=1,
        answer="<PER>",
        place=(1, 2),
        text="<b>&",
        pieces=pieces,
        elsewhere=0.1,
        score=-0.1,
        baseline=-1.0,
        gap=0.51,
        steps=32,
    )
    page = section(found)
    assert (
        '<span class="for9">&lt;</span><span class="against4 asked">b</span>&gt;<span class="for1">&amp;</span>' in page
    )
    assert "&lt;PER&gt;" in page
    assert "<b>" not in page
    assert "+0.510 are not accounted for" in in_words(found)
