"""Converted models answer as the originals do, and what cannot be converted is refused with a reason."""

import json

import pytest
import torch
from safetensors.torch import load_file, save_file

from reformer.errors import ReformerWarning
from reformer.models.pretrained import ARCHITECTURES, PretrainedError, convert
from reformer.models.pretrained.licence import licences_of
from reformer.models.pretrained.nearness import nearness
from reformer.nn import Attention
from tests.models.pretrained.shapes import CASES, CRIME_AND_PUNISHMENT, SHAPES, VOCABULARY, build

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")


def test_every_architecture_is_tried():
    assert SHAPES.keys() == ARCHITECTURES.keys()


@pytest.mark.parametrize(("name", "head"), CASES)
def test_hidden_states_and_logits_are_the_originals(name, head, tmp_path):
    theirs = build(name, head)
    theirs.save_pretrained(tmp_path)
    converted = convert(tmp_path)
    assert converted.difference < 1e-4
    ours = converted.model
    ids = torch.randint(4, VOCABULARY, (2, 60))
    mask = torch.ones_like(ids)
    mask[0, 41:] = 0
    inputs = {"input_ids": ids.masked_fill(mask == 0, 1), "attention_mask": mask}
    with torch.no_grad():
        pairs = [[model.base_model(**inputs).last_hidden_state for model in (theirs, ours)]]
        if head != "body":
            pairs += zip(*(_logits(model(**inputs)) for model in (theirs, ours)), strict=True)
    for expected, found in pairs:
        assert expected.std() > 0.05
        assert (found - expected)[mask.bool()].abs().max() < 1e-4


def _logits(outputs):
    return [outputs[name] for name in ("logits", "start_logits", "end_logits") if name in outputs]


@pytest.mark.parametrize("name", SHAPES)
def test_what_was_converted_is_saved_loaded_and_learns(name, tmp_path):
    build(name).save_pretrained(tmp_path / "theirs")
    ours = convert(tmp_path / "theirs").model
    ours.save_pretrained(tmp_path / "ours")
    again, ids = type(ours).from_pretrained(tmp_path / "ours"), torch.randint(4, VOCABULARY, (1, 30))
    with torch.no_grad():
        assert torch.equal(again(ids).last_hidden_state, ours(ids).last_hidden_state)
    ours.train()(ids).last_hidden_state.square().sum().backward()
    assert all(parameter.grad is not None for parameter in ours.parameters())


@pytest.mark.parametrize("name", ["llama", "mistral", "phi3", "qwen2", "qwen3"])
def test_a_decoder_writes_what_the_original_writes(name, tmp_path):
    theirs = build(name, "causal")
    theirs.save_pretrained(tmp_path)
    ours, ids = convert(tmp_path).model, torch.randint(4, VOCABULARY, (2, 12))
    options = {"max_new_tokens": 12, "do_sample": False, "pad_token_id": 1, "eos_token_id": None}
    assert torch.equal(ours.generate(input_ids=ids, **options), theirs.generate(input_ids=ids, **options))


LLAMA3 = {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0}
YARN = {"rope_type": "yarn", "factor": 4.0}


@torch.no_grad()
@pytest.mark.parametrize(
    "scaling",
    [
        {"rope_type": "linear", "factor": 3.0},
        LLAMA3,
        YARN,
        YARN | {"attention_factor": 1.3, "beta_fast": 8.0, "beta_slow": 2.0},
        YARN | {"mscale": 0.7, "mscale_all_dim": 1.2},
        YARN | {"truncate": False},
        YARN | {"factor": None},
    ],
)
def test_scaled_rotary_positions_are_the_originals(scaling, tmp_path):
    # So short that every share of every frequency is met.
    scaling = scaling | {"rope_theta": 100.0, "original_max_position_embeddings": 20}
    theirs = build("llama", head_dim=16, rope_parameters=scaling, max_position_embeddings=100)
    theirs.save_pretrained(tmp_path)
    converted, ids = convert(tmp_path), torch.randint(4, VOCABULARY, (2, 90))
    expected, ours = theirs(ids).last_hidden_state, converted.model
    assert (ours(ids).last_hidden_state - expected).abs().max() < 1e-4
    ours.config.rotary_scaling = None
    assert (ours(ids).last_hidden_state - expected).abs().max() > 0.05


@torch.no_grad()
def test_the_positions_of_both_kinds_of_layers_are_scaled(tmp_path):
    rope = {
        name: {"rope_type": "linear", "factor": 2.0, "rope_theta": theta}
        for name, theta in (("full_attention", 500.0), ("sliding_attention", 100.0))
    }
    theirs = build("modernbert", rope_parameters=rope)
    theirs.save_pretrained(tmp_path)
    ours, ids = convert(tmp_path).model, torch.randint(4, VOCABULARY, (1, 60))
    assert ours.config.rotary_scaling == {"rope_type": "linear", "factor": 2.0}
    assert (ours(ids).last_hidden_state - theirs(ids).last_hidden_state).abs().max() < 1e-4


def test_the_lowest_layers_are_those_of_the_original(tmp_path):
    theirs = build("bert")
    theirs.save_pretrained(tmp_path)
    ours, ids = convert(tmp_path, layers=2).model, torch.randint(4, VOCABULARY, (1, 30))
    with torch.no_grad():
        expected = theirs(ids, output_hidden_states=True).hidden_states[2]
        assert (ours(ids).last_hidden_state - expected).abs().max() < 1e-5


@pytest.mark.parametrize("name", ["bert", "modernbert", "qwen3"])
def test_wide_windows_change_nothing_and_longer_texts_are_read(name, tmp_path):
    theirs = build(name)
    theirs.save_pretrained(tmp_path)
    ids = torch.randint(4, VOCABULARY, (1, 60))
    with torch.no_grad():
        for kind in ("local+lsh",) if name == "modernbert" else ("local", "local+lsh"):
            ours = convert(tmp_path, kind=kind, window=60, length=300).model
            assert kind in ours.config.attention_layers
            assert ours.config.local_window == 60
            if name != "modernbert":
                expected = theirs(ids).last_hidden_state
                assert (ours(ids).last_hidden_state - expected).abs().max() < 1e-4
            assert ours(torch.randint(4, VOCABULARY, (1, 300))).last_hidden_state.isfinite().all()


def test_learned_positions_are_repeated_between_the_ends(tmp_path):
    build("bert").save_pretrained(tmp_path)
    short, long = (convert(tmp_path, length=length).model.positions.table.weight for length in (None, 150))
    assert torch.equal(long[:66], short)
    assert torch.equal(long[66:129], torch.cat((short[2:65],)))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"layers": 4}, "layers=4: the model has 3"),
        ({"window": 8}, "give kind, such as 'local'"),
    ],
)
def test_choices_that_do_not_fit_are_refused(options, message, tmp_path):
    build("bert").save_pretrained(tmp_path)
    with pytest.raises(PretrainedError, match=message):
        convert(tmp_path, **options)


def test_a_kind_that_no_layer_would_have_is_refused(tmp_path):
    build("reformer").save_pretrained(tmp_path)
    with pytest.raises(PretrainedError, match="kind='local': no layer of this model sees all tokens"):
        convert(tmp_path, kind="local", window=8)


def test_layers_with_other_rotary_positions_stay_apart(tmp_path):
    build("modernbert").save_pretrained(tmp_path)
    with pytest.raises(PretrainedError, match=r"give kind='local\+lsh'"):
        convert(tmp_path, kind="local")


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("bert", {"is_decoder": True}, "is_decoder=True: our model has no such part; expected False"),
        ("bert", {"hidden_act": "mish"}, "the activation 'mish': expected one of relu, gelu"),
        ("electra", {"embedding_size": 16}, "embedding_size=16: our model has no such part; expected 32"),
        (
            "llama",
            {"rope_parameters": {"rope_type": "dynamic", "factor": 2.0, "rope_theta": 10000.0}},
            "rope_type='dynamic': expected one of default, linear, llama3, yarn; positions whose scale depends",
        ),
        (
            "modernbert",
            {
                "rope_parameters": {
                    "full_attention": {"rope_type": "linear", "factor": 2.0, "rope_theta": 160000.0},
                    "sliding_attention": {"rope_type": "default", "rope_theta": 10000.0},
                }
            },
            "ours scale the positions of all layers alike",
        ),
        ("reformer", {"is_decoder": False}, "local_num_chunks_before=1 and local_num_chunks_after=0: our windows"),
        ("reformer", {"num_buckets": None}, "num_buckets=None: expected a number"),
        (
            "reformer",
            {"attn_layers": ["lsh"], "lsh_attn_chunk_length": None},
            "lsh_attn_chunk_length=None: expected the length of a chunk",
        ),
    ],
)
def test_parts_that_ours_has_not_are_refused(name, options, message, tmp_path):
    build(name, **options).save_pretrained(tmp_path)
    with pytest.raises(PretrainedError, match=message):
        convert(tmp_path)


@torch.no_grad()
def test_a_published_reformer_is_the_same_function_within_a_chunk_and_reads_on_behind_it(tmp_path):
    theirs = build("reformer", "causal", **CRIME_AND_PUNISHMENT)
    assert theirs.num_parameters() == 2_748_224
    theirs.save_pretrained(tmp_path)
    found = convert(tmp_path)
    ours = found.model
    assert found.exact_length == 64
    assert (ours.config.attention_layers, ours.config.local_window) == (["local", "local+lsh"] * 3, 96)
    ids = torch.randint(320, (2, 64))
    assert (ours(ids).logits - theirs(ids).logits).abs().max() < 1e-4
    assert ours(torch.randint(320, (1, 1500))).logits.isfinite().all()
    # Its code adds no bias to the scores.
    assert theirs.lm_head.bias.abs().max() > 0.1
    assert not ours.lm_head.bias.any()
    assert found.dropped == ("lm_head.bias, which its own code stores and does not add",)


@torch.no_grad()
@pytest.mark.parametrize(
    ("options", "length"),
    [
        # A token of the first half of the second chunk sees all of the first.
        ({"attn_layers": ["local"] * 3, "local_attn_chunk_length": 20}, 30),
        ({"is_decoder": False, "local_num_chunks_after": 1, "lsh_num_chunks_after": 1}, 64),
        ({"axial_pos_embds": False}, 64),
        ({"attn_layers": ["lsh"]}, 64),
    ],
)
def test_other_reformers_are_the_same_function_where_theirs_sees_all(options, length, tmp_path):
    theirs = build("reformer", **options)
    theirs.save_pretrained(tmp_path)
    ours, ids = convert(tmp_path).model, torch.randint(4, VOCABULARY, (2, length))
    assert (ours(ids).last_hidden_state - theirs(ids).last_hidden_state).abs().max() < 1e-4


@torch.no_grad()
def test_how_near_a_reformer_is_beyond_a_chunk_is_measured(tmp_path):
    theirs = build("reformer", "causal", attn_layers=["local"] * 3)
    theirs.save_pretrained(tmp_path)
    found = convert(tmp_path)
    near = found.nearness
    assert near is not None
    assert near.length == 512
    assert 0.01 < near.deviation < 0.3
    assert 0.5 < near.agreement <= 1
    # Without hashing nothing is drawn.
    assert (near.own_deviation, near.own_agreement) == (0, 1)
    assert near.in_words() == (
        f"of 512 random tokens its answers are apart from the original's by {near.deviation:.1%}, with the same first "
        f"choice at {near.agreement:.1%} of the tokens"
    )
    # The windows are those that come nearest.
    before = torch.get_rng_state()
    for window in (64, 128):
        for layer in found.model.modules():
            if isinstance(layer, Attention):
                layer.local_windows = (window,)
        assert nearness(theirs, found.model, 64, 64).deviation > 1.1 * near.deviation
    assert torch.equal(torch.get_rng_state(), before)


def test_a_reformer_that_hashes_differs_from_itself(tmp_path):
    # Theirs would pad 200 tokens to 256, for which it has no positions.
    build("reformer", max_position_embeddings=200).save_pretrained(tmp_path)
    near = convert(tmp_path).nearness
    assert near.length == 192
    assert near.agreement is near.own_agreement is None
    assert 0 < near.own_deviation < near.deviation < 1
    assert near.in_words().endswith(f"; the original's own under other rotations by {near.own_deviation:.1%}")


def test_where_nothing_is_read_beyond_a_chunk_there_is_no_nearness(tmp_path):
    build("reformer", axial_pos_shape=[8, 8], max_position_embeddings=64).save_pretrained(tmp_path)
    assert convert(tmp_path).nearness is None


def test_a_reformers_file_of_an_older_version_is_read(tmp_path):
    """It has constants among the weights, and the bias of its scores twice."""
    build("reformer", "causal").save_pretrained(tmp_path)
    expected = convert(tmp_path).model

    def as_before(weights):
        for number, name in ((0, "mask"), (1, "mask"), (1, "self_mask")):
            place = f"reformer.encoder.layers.{number}.attention.self_attention.{name}_value_float32"
            weights[place] = torch.tensor(-1e9)
        weights["lm_head.decoder.bias"] = weights["lm_head.bias"].clone()

    _edited(tmp_path, as_before)
    found = convert(tmp_path).model
    assert all(torch.equal(weight, found.state_dict()[name]) for name, weight in expected.named_parameters())
    assert not found.lm_head.bias.any()


def _edited(folder, change):
    file = folder / "model.safetensors"
    weights = load_file(file)
    change(weights)
    save_file(weights, file, {"format": "pt"})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda w: w.pop("bert.encoder.layer.1.output.dense.weight"),
            r"missing or of another shape: .*layer\.1\.output",
        ),
        (lambda w: w.update({"bert.encoder.layer.0.extra": torch.ones(1)}), "left over: .*extra"),
        (lambda w: w.update({"bert.embeddings.LayerNorm.bias": torch.ones(9)}), "of another shape: .*LayerNorm.bias"),
    ],
)
def test_weights_that_are_missing_or_left_over_are_named(change, message, tmp_path):
    build("bert", "masked").save_pretrained(tmp_path)
    _edited(tmp_path, change)
    with pytest.raises(PretrainedError, match=message):
        convert(tmp_path)


def test_other_places_and_types_are_refused(tmp_path):
    with pytest.raises(PretrainedError, match="there is no model there"):
        convert(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "t5"}))
    with pytest.raises(PretrainedError, match="of type 't5' cannot be converted; expected one of bert, roberta"):
        convert(tmp_path)


def test_a_difference_is_an_error(tmp_path, monkeypatch):
    theirs = build("bert")
    theirs.save_pretrained(tmp_path)
    monkeypatch.setattr("reformer.models.pretrained.bert.activation", lambda name: "relu")
    with pytest.raises(PretrainedError, match=r"answers differ by up to .* at most 1e-04 was expected"):
        convert(tmp_path)


@pytest.mark.parametrize(
    "card",
    [
        "---\nlanguage: en\nlicense: cc-by-nc-4.0\n---\n# A model\n",
        '---\nlicense: other\nlicense_name: "my-research-license"\n---\n',
        "---\nlicense: CC-BY-ND-4.0 # no changes\n---\n",
        None,
    ],
)
def test_a_licence_that_forbids_some_uses_has_to_be_accepted(card, tmp_path):
    build("bert").save_pretrained(tmp_path)
    if card is None:
        config = json.loads((tmp_path / "config.json").read_text())
        (tmp_path / "config.json").write_text(json.dumps(config | {"license": "non-commercial"}))
    else:
        (tmp_path / "README.md").write_text(card)
    with pytest.raises(PretrainedError, match=r"its licence, .*, forbids some uses; .* --accept-licence"):
        convert(tmp_path)
    assert convert(tmp_path, accept_licence=True).difference < 1e-4


@pytest.mark.parametrize(
    "card",
    ["---\nlicense: apache-2.0\n---\nlicense: cc-by-nc-4.0\n", "license: cc-by-nc-4.0\n", "---\nlicense: [mit]\n---"],
)
def test_other_licences_are_taken(card, tmp_path):
    build("bert").save_pretrained(tmp_path)
    (tmp_path / "README.md").write_text(card)
    assert convert(tmp_path).difference < 1e-4


def test_the_licences_that_are_named_are_told(tmp_path):
    build("bert").save_pretrained(tmp_path)
    assert convert(tmp_path).licences == ()
    (tmp_path / "README.md").write_text("---\nlicense: apache-2.0\n---\n")
    assert convert(tmp_path).licences == ("apache-2.0",)


@pytest.mark.parametrize("answer", [None, OSError("no network")])
def test_a_card_on_the_hub_that_cannot_be_reached_is_a_warning(answer, monkeypatch):
    def cached_file(*_, **__):
        if answer is not None:
            raise answer

    monkeypatch.setattr("reformer.models.pretrained.licence.cached_file", cached_file)
    with pytest.warns(
        ReformerWarning, match="someone/model: its card cannot be reached or there is none, so its licence is"
    ):
        assert licences_of("someone/model", {}) == ()
    # Where the configuration tells, nothing is missing.
    assert licences_of("someone/model", {"license": "mit"}) == ("mit",)
