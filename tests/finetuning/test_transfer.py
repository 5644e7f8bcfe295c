"""A trained backbone under another head keeps every weight of it; what is new is named."""

import pytest
import torch

from reformer.finetuning import CHANGEABLE, FinetuningError, changed_config, transfer
from reformer.models import ReformerConfig, ReformerForSequenceClassification
from tests.contract.models import (
    AXIAL,
    HEADS,
    SMALL,
    every_head_and_variant,
    every_variant,
    outputs,
    random_ids,
    token_outputs,
)

LABELLED = {"id2label": {0: "O", 1: "B-LOC", 2: "I-LOC"}, "label2id": {"O": 0, "B-LOC": 1, "I-LOC": 2}}


@every_head_and_variant
def test_the_same_head_is_the_same_model(head, variant):
    model, ids = head.build(variant), random_ids(2, 23)
    found = transfer(model, head.model, model.config)
    assert torch.equal(outputs(found.model.eval(), ids), outputs(model, ids))
    assert (found.new, found.dropped, found.drawn) == ((), (), ())


@every_variant
def test_another_head_gets_the_backbone_whole(variant):
    model, ids = HEADS["masked-lm"].build(variant, classifier_pooling="mean"), random_ids(2, 23)
    found = transfer(model, ReformerForSequenceClassification, changed_config(model.config, {}))
    assert torch.equal(token_outputs(found.model.eval(), ids), token_outputs(model, ids))
    assert found.new == ("classifier.bias", "classifier.weight")
    projection = ("lm_projection.weight",) * model.config.tie_word_embeddings
    assert found.dropped == ("lm_head.bias", "lm_head.weight", *projection)


def test_a_bare_backbone_has_no_head_to_drop():
    model = HEADS["masked-lm"].build().reformer
    found = transfer(model, HEADS["masked-lm"].model, model.config)
    assert (found.new, found.dropped) == (("lm_head.bias", "lm_head.weight"), ())


@pytest.mark.parametrize("labels", [["O", "B-PER", "I-PER"], ["O", "I-LOC", "B-LOC"], ["O", "B-LOC", "I-LOC", "B-X"]])
def test_a_classifier_over_other_labels_is_new(labels):
    head = HEADS["token-classification"]
    model = head.build(num_labels=3, **LABELLED)
    fields = model.config.to_dict() | {
        "id2label": dict(enumerate(labels)),
        "label2id": {label: index for index, label in enumerate(labels)},
    }
    found = transfer(model, head.model, ReformerConfig.from_dict(fields))
    assert found.new == ("classifier.bias", "classifier.weight")
    assert not torch.equal(found.model.classifier.weight[:3], model.classifier.weight)


def test_a_learned_pooling_is_new_where_there_was_none():
    head = HEADS["sequence-classification"]
    model = head.build()
    found = transfer(model, head.model, changed_config(model.config, {"classifier_pooling": "attention"}))
    assert found.new == ("weigh.bias", "weigh.weight")
    assert torch.equal(found.model.classifier.weight, model.classifier.weight)
    back = transfer(found.model, head.model, changed_config(found.model.config, {"classifier_pooling": "mean"}))
    assert back.dropped == ("weigh.bias", "weigh.weight")


@pytest.mark.parametrize("change", [{"num_rounds": 3}, {"num_buckets": 16}])
def test_more_rounds_are_drawn_and_nothing_learned_is_lost(change):
    head = HEADS["token-classification"]
    model = head.build("lsh", num_rounds=2)
    found = transfer(model, head.model, changed_config(model.config, change))
    assert found.new == ()
    assert set(found.drawn) >= {f"encoder.sublayers.{index}.function.rotation_0" for index in (0, 2, 4)}
    learned = dict(found.model.named_parameters())
    assert all(torch.equal(learned[name], weight) for name, weight in model.named_parameters())
    assert outputs(found.model.eval(), random_ids(1, 9)).isfinite().all()


def test_weights_without_a_place_are_named():
    head = HEADS["token-classification"]
    model = head.build("local")
    deeper = ReformerConfig.from_dict(model.config.to_dict() | {"attention_layers": ["local"] * 4})
    with pytest.raises(FinetuningError, match=r"missing in the trained model: encoder\.sublayers\.6\.function\.key"):
        transfer(model, head.model, deeper)
    wider = ReformerConfig.from_dict(model.config.to_dict() | {"feed_forward_size": 50})
    with pytest.raises(FinetuningError, match=r"of another shape: encoder\.sublayers\.1\.function\.inner\.bias"):
        transfer(model, head.model, wider)


CHANGES = {
    "chunk_size_feed_forward": 8,
    "classifier_dropout": 0.5,
    "classifier_pooling": "max",
    # A causal model is refused one.
    "classifier_crf": False,
    "hidden_dropout_prob": 0.3,
    "is_decoder": True,
    "label_smoothing": 0.1,
    "layer_drop": 0.1,
    "local_window": 9,
    "lsh_window": 9,
    "max_position_embeddings": 512,
    "ngram_dropout": 0.3,
    "num_buckets": 8,
    "num_rounds": 1,
    "reversible": False,
    "rope_theta": 500.0,
    "rotary_scaling": {"rope_type": "linear", "factor": 2.0},
    "token_dropout": 0.1,
}


APART = [
    ("ngrams", {"wide_sizes": [1], "wide_rows": 64, "wide_dropout": 0.1, "classifier_crf": True}),
    ("ngrams", {"classifier_reads": "characters"}),
    ("local", {"global_tokens": [0, -1]}),
    ("plain", {"recompute": True}),
    ("local", {"attention_layers": ["full", "local", "full"]}),
]
"""What does not go with the others, and the model that it goes with."""
MATCHES = {"question_match_sizes": [1, 2]}
WIDE_CHARACTERS = {"wide_sizes": [1], "wide_rows": 64, "wide_reads": "characters"}


def test_every_changeable_field_is_tried():
    apart = (*(each for _, each in APART), WIDE_CHARACTERS, MATCHES)
    assert {name for changes in (CHANGES, *apart) for name in changes} == set(CHANGEABLE)


def test_a_wide_part_of_characters_can_be_put_beside_a_classifier():
    model = HEADS["sequence-classification"].build("local")
    config = changed_config(model.config, WIDE_CHARACTERS)
    found = transfer(model, HEADS["sequence-classification"].model, config)
    assert set(found.new) == {"wide.bias", "wide.frequencies", "wide.spelling", "wide.table"}


def test_a_reader_of_questions_can_be_told_what_they_have():
    head = HEADS["question-answering"]
    model = head.build("local", question_match_sizes=[])
    found = transfer(model, head.model, changed_config(model.config, MATCHES))
    assert set(found.new) == {"question_matches.projection.weight"}


@pytest.mark.parametrize(("variant", "changes"), APART)
def test_what_a_field_alone_changes(variant, changes):
    model = HEADS["token-classification"].build(variant)
    config = changed_config(model.config, changes)
    assert {name: getattr(config, name) for name in changes} == changes
    found = transfer(model, HEADS["token-classification"].model, config)
    body = {name for name, _ in model.named_parameters() if "classifier" not in name}
    assert not body & set(found.new)
    learned = dict(found.model.named_parameters())
    assert all(torch.equal(learned[name], dict(model.named_parameters())[name]) for name in body)


def test_every_changeable_field_can_be_changed():
    model = HEADS["token-classification"].build("ngrams")
    config = changed_config(model.config, CHANGES)
    assert {name: getattr(config, name) for name in CHANGES} == CHANGES
    found = transfer(model, HEADS["token-classification"].model, config)
    assert found.new == ()


def test_a_random_field_over_a_trained_labeller_begins_as_what_it_was():
    model = HEADS["token-classification"].build("local")
    config = changed_config(model.config, {"classifier_crf": True})
    found = transfer(model, HEADS["random-field"].model, config)
    assert found.new == ("transitions",)
    ids = random_ids(2, 20)
    expected = outputs(model, ids).log_softmax(-1)
    assert (outputs(found.model.eval(), ids) - expected).abs().max() < 1e-4


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"hidden_size": 64}, r"model\.hidden_size = 64: the trained model has 32, .*leave it out"),
        ({"attention_layers": ["local"]}, r"model\.attention_layers = \['local'\]: the trained model has"),
        ({"hidden_act": "relu"}, r"model\.hidden_act = 'relu': the trained model has 'gelu'"),
        ({"local_window": 0}, r"\[model\] over the trained model's own: local_window=0: expected at least 1"),
    ],
)
def test_what_the_weights_do_not_allow_is_refused(changes, message):
    config = ReformerConfig(**SMALL, attention_layers=["lsh", "local"])
    with pytest.raises(FinetuningError, match=message):
        changed_config(config, changes)


def test_what_the_model_has_already_may_be_said_again():
    config = ReformerConfig(**SMALL, attention_layers=["lsh", "local"])
    assert (
        changed_config(config, {"hidden_size": 32, "attention_layers": ("lsh", "local")}).to_dict() == config.to_dict()
    )


@pytest.mark.parametrize(
    ("fields", "layers", "message"),
    [
        ({}, ["local"], "give a kind for each of these 2 layers"),
        ({}, "local", "layer 0 has learned one projection .* 'local' it would need queries, keys and their"),
        ({}, ["local", "local"], "layer 0 has learned one projection .* 'local' it would need queries, keys and their"),
        ({"shared_query_key": False}, ["full", "full"], "layer 0 has learned queries and keys of unit length"),
        ({}, ["lsh", "fourier"], "layer 1 can become another whole layer alone"),
        ({}, ["lsh", ["local", "full", "local", "full"]], "layer 1 can become another whole layer alone"),
        (
            {"rope_theta": {"lsh": 10.0, "local": 10.0, "full": 20.0}},
            ["lsh", "full"],
            r"the rotary base 10.0 of its kind, and 'full' has 20.0; give rope_theta too",
        ),
    ],
)
def test_layers_whose_weights_are_others_are_refused(fields, layers, message):
    config = ReformerConfig(**SMALL, attention_layers=["lsh", "local"], **fields)
    with pytest.raises(FinetuningError, match=message):
        changed_config(config, {"attention_layers": layers})


@pytest.mark.parametrize(
    ("fields", "layers"),
    [
        ({}, ["local+lsh", "full"]),
        ({"shared_query_key": False}, ["local+lsh", "full"]),
        ({"shared_query_key": False, "hashed_scores": "dot"}, ["full", "lsh"]),
        ({"shared_query_key": False, "hashed_scores": "dot"}, ["local", "local+lsh"]),
    ],
)
def test_layers_of_the_same_weights_may_change_their_kind(fields, layers):
    head = HEADS["token-classification"].model
    model = head(ReformerConfig(**SMALL, attention_layers=["lsh", "local"], **fields, **LABELLED))
    found = transfer(model, head, changed_config(model.config, {"attention_layers": layers}))
    assert (found.new, found.model.config.attention_layers) == ((), layers)
    learned = dict(found.model.named_parameters())
    assert all(torch.equal(learned[name], weight) for name, weight in model.named_parameters())
    assert outputs(found.model.eval(), random_ids(1, 9)).isfinite().all()


def test_a_window_over_all_is_full_attention_after_a_change_of_kind():
    head, ids = HEADS["token-classification"].model, random_ids(2, 40)
    model = head(ReformerConfig(**SMALL, attention_layers=["full"] * 2, **LABELLED)).eval()
    wide, narrow = (
        transfer(model, head, changed_config(model.config, {"attention_layers": ["local"] * 2} | changes)).model.eval()
        for changes in ({"local_window": 40}, {"local_window": 3, "global_tokens": [0, -1]})
    )
    assert (outputs(wide, ids) - outputs(model, ids)).abs().max() < 1e-5
    assert (outputs(narrow, ids) - outputs(model, ids)).abs().max() > 1e-4


def test_axial_positions_hold_as_many_as_their_sides():
    axial = ReformerConfig(**SMALL, **AXIAL)
    assert changed_config(axial, {"max_position_embeddings": 100}).max_position_embeddings == 100
    with pytest.raises(FinetuningError, match="holds 256 positions"):
        changed_config(axial, {"max_position_embeddings": 512})


@pytest.mark.parametrize("length", [300, 700, 100])
def test_learned_positions_are_continued_by_their_own_rows(length):
    head, ids = HEADS["token-classification"].model, random_ids(1, 90)
    model = head(ReformerConfig(**SMALL, position_embedding_type="learned", **LABELLED)).eval()
    found = transfer(model, head, changed_config(model.config, {"max_position_embeddings": length})).model.eval()
    short, long = (each.base_model.positions.table.weight for each in (model, found))
    assert len(long) == length
    expected = [row if row < 256 else 1 + (row - 1) % 254 for row in range(length)]
    assert torch.equal(long, short[expected])
    assert torch.equal(outputs(found, ids), outputs(model, ids))
