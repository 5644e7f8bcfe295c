"""Long documents are read in pieces or whole as their manners say, and what is told of their entities is right."""

import numpy as np
import pytest
import torch
from rich.console import Console

from benchmarks import reading
from benchmarks.contenders import long_reading
from benchmarks.reading import Manner, agreements, entities, loaded, logits, merged, short_mentions
from benchmarks.registry import CASES
from reformer.data import Document, Span
from reformer.nn import Attention
from reformer.runs.loading import load_run
from reformer.tasks.conversion import convert_to_folder
from reformer.tasks.documents.prediction import predict
from reformer.tasks.documents.task import DocumentTask
from reformer.training.train import train
from tests.models.pretrained.shapes import save_with_tokenizer
from tests.tiny import ner_recipe
from tests.training.starts import recipe_from

TEXT = "王小明去了北京。李华去了上海的新华社。张伟很好。"


@pytest.fixture(scope="module")
def labeller(tmp_path_factory):
    """The folder of a labeller of characters within pieces, with full attention."""
    folder = tmp_path_factory.mktemp("labeller")
    save_with_tokenizer(folder / "bert", sorted({*TEXT, *"明天你好人民日报昌平区伟"}))
    convert_to_folder(str(folder / "bert"), folder / "start", length=64)
    recipe = recipe_from(folder / "start", ner_recipe(folder, max_steps=20), classifier_reads="characters")
    train(recipe, folder / "run", console=Console(quiet=True))
    return folder / "run"


def test_each_place_is_taken_from_the_part_in_which_it_is_furthest_from_a_cut():
    parts = [(start, np.full((min(start + 8, 18) - start, 2), start)) for start in (0, 4, 8, 12)]
    found = merged(parts, 18)
    # Between two cuts the middle decides; the text's ends are no cuts.
    assert found[:, 0].tolist() == [0] * 6 + [4] * 4 + [8] * 4 + [12] * 4
    assert found.shape == (18, 2)
    rows = np.arange(10).reshape(5, 2)
    assert (merged([(0, rows)], 5) == rows).all()
    with pytest.raises(ValueError, match="of 20 places 2 stand in no part"):
        merged(parts, 20)


@pytest.mark.parametrize(
    ("length", "step", "spans"),
    [
        (1020, 510, [(0, 510), (510, 1020)]),
        (1021, 510, [(0, 510), (510, 1020), (1020, 1021)]),
        (765, 255, [(0, 510), (255, 765)]),
        (766, 255, [(0, 510), (255, 765), (510, 766)]),
        (300, 255, [(0, 300)]),
        (9000, None, [(0, 9000)]),
    ],
)
def test_pieces_cover_a_text_and_none_is_too_many(length, step, spans):
    assert Manner("", "full", step).spans(length) == spans
    assert Manner("", "full", step, pieces=1).spans(length) == spans[:1]


def test_a_short_mention_is_a_part_of_what_was_named_before():
    text = "北京大学的江泽民，泽民。北京大学，北京，大学。上海，上海大学"
    names = [("北京大学", 0), ("江泽民", 5), ("泽民", 9), ("北京大学", 12), ("北京", 17), ("大学", 20)]
    named = [Span(at, at + len(name), "PER" if "民" in name else "ORG") for name, at in names]
    named += [Span(23, 25, "ORG"), Span(26, 30, "ORG")]
    assert all(text[span.start : span.end] == name for span, (name, _) in zip(named, names, strict=False))
    assert [text[span.start : span.end] for span in short_mentions(named, named, text)] == ["泽民", "北京", "大学"]
    other_type = [Span(9, 11, "LOC"), Span(17, 19, "ORG")]
    assert short_mentions(other_type, named, text) == [Span(17, 19, "ORG")]
    assert short_mentions([Span(5, 7, "PER")], named, text) == []


def test_mentions_agree_with_the_one_before():
    text = "北京，北京，北京，上海，北京"
    named = [Span(at, at + 2, "LOC") for at in (0, 3, 6, 9, 12)]
    found = [Span(0, 2, "LOC"), Span(3, 5, "LOC"), Span(6, 8, "ORG"), Span(9, 11, "LOC")]
    assert agreements(found, named, text) == [True, False, False]
    assert agreements([], named, text) == [True] * 3


def test_a_text_read_whole_has_the_entities_of_predict(labeller):
    run = loaded(labeller, "full")
    document = Document(TEXT, "a")
    [(_, answer)] = predict(load_run(labeller, DocumentTask), [document])
    assert answer.spans
    assert entities(run, Manner("", "full"), document) == answer.spans


@pytest.mark.parametrize("kind", ["full", "local", "local+lsh"])
def test_a_piece_is_read_as_if_it_stood_alone(labeller, monkeypatch, kind):
    monkeypatch.setattr(reading, "PIECE", 6)
    monkeypatch.setattr(reading, "PIECES_AT_ONCE", 3)
    run, whole = loaded(labeller, kind), Manner("", kind)
    assert {each.kind for each in run.model.modules() if isinstance(each, Attention)} == {kind}
    parts = logits(run, Document(TEXT, "a"), Manner("", kind, 3))
    firsts = [first for first, _ in parts]
    assert len(parts) > 4
    assert firsts == sorted(set(firsts))
    for first, rows in parts:
        [(_, alone)] = logits(run, Document(TEXT[first : first + len(rows)], "b"), whole)
        np.testing.assert_allclose(rows, alone, atol=1e-5)
    assert len(merged(parts, len(TEXT))) == len(TEXT)


@pytest.mark.parametrize("contender", CASES["reading"].contenders, ids=lambda contender: contender.name)
def test_every_contender_keeps_its_contract(contender):
    assert contender.check()


def test_time_is_measured_once_for_weights_of_one_size():
    case = CASES["reading"]

    def reached(name, length):
        return [action for action in case.actions if case.contender(name).reaches(length, action)]

    assert reached("entities: training", 4096) == ["train"]
    assert reached("entities: windows", 4096) == ["score", "read"]
    assert reached("entities: windows", 100 << 10) == ["read"]
    assert reached("entities: full attention", 100 << 10) == []
    assert reached("entities: windows, learned", 4096) == ["score"]
    assert reached("evidence at the end: first piece", 32 << 10) == []


def test_pieces_of_a_document_are_its_text_with_its_label(labeller, monkeypatch):
    monkeypatch.setattr(reading, "PIECE", 6)
    monkeypatch.setattr(long_reading, "PIECE", 6)
    tokenizer = load_run(labeller, DocumentTask).tokenizer
    found = list(long_reading.pieces(tokenizer, Document(TEXT, "a", label="pos")))
    assert "".join(piece.text for piece in found) == TEXT
    assert len(found) > 2
    assert {piece.label for piece in found} == {"pos"}
    assert all(len(tokenizer(piece.text).input_ids) <= 8 for piece in found)


def test_special_tokens_are_seen_by_all_where_there_are_windows(labeller):
    assert load_run(labeller, DocumentTask).model.config.attention_layers == ["full"] * 3
    for kind, seen in (("full", []), ("local", [0, -1]), ("local+lsh", [0, -1])):
        config = loaded(labeller, kind).model.config
        assert (config.global_tokens, config.attention_layers) == (seen, [kind] * 3)
    assert (config.local_window, config.lsh_window, config.hashed_scores, config.num_rounds) == (64, 64, "dot", 4)
    # With other weights they would not be the same ones.
    state = load_run(labeller, DocumentTask).model.state_dict()
    for name, weight in loaded(labeller, "local+lsh").model.state_dict().items():
        assert ".rotation_" in name or torch.equal(weight, state[name])


@pytest.mark.parametrize("family", long_reading.MANNERS)
def test_every_manner_of_a_family_is_trained_and_scored(family, labeller, tmp_path, monkeypatch):
    """The whole way of a case with a small model and documents of one sentence in place of the newspaper."""

    def documents_of(family, part, characters):
        spans = (Span(0, 3, "PER"), Span(3, 5, "LOC"), Span(10, 12, "LOC"), Span(15, 18, "ORG"))
        for number in range(6):
            if family == "entities":
                yield Document(TEXT, f"{number}", spans=spans)
            else:
                yield Document(TEXT, f"{number}", label=("pos", "neg")[number % 2])

    monkeypatch.setattr(long_reading, "LAYERS", 3)
    monkeypatch.setattr(long_reading, "documents_of", documents_of)
    monkeypatch.setattr(long_reading, "_folder", lambda small: tmp_path)
    monkeypatch.setattr(long_reading, "_start", lambda small: labeller.with_name("start"))
    facts = long_reading._train(family, small=True)
    learned = [manner for manner in long_reading.MANNERS[family] if manner.learned]
    assert list(facts) == ["start", *(manner.name for manner in learned)]
    assert all(fact["tokens"] > 0 for fact in facts.values())
    for contender in long_reading.long_reading(family)[1:]:
        action = contender.build(100)["score"]
        score = action.run(action.prepare())
        assert score is not None
        assert score["documents"] == 3
        assert 0 <= score["f1" if family == "entities" else "accuracy"] <= 1
