"""The doctor finds planted faults, at the smallest input that shows them, and nothing in sound models."""

import json
from dataclasses import replace

import pytest
import torch

from reformer.errors import ReformerError
from reformer.insight.doctor import PROPERTIES, examine, load_subject, subject_of
from reformer.insight.doctor.examination import Size
from reformer.models import ReformerConfig, ReformerForForecasting
from reformer.ops.window_attention import BACKENDS, dispatch
from tests.cli.test_cli import reformer
from tests.contract.models import HEADS, SMALL

LENGTHS = (1, 5, 17)
BY_NAME = {each.name: each for each in PROPERTIES}


def found_in(model, name, lengths=LENGTHS):
    """The finding of one property."""
    (finding,) = examine(subject_of(model), [BY_NAME[name]], lengths)
    return finding


def planted(head, forward, variant="local", **options):
    """A model of this head whose class has another `forward`, which is given that of the class above."""
    above = HEADS[head].model

    class Faulty(above):
        def forward(self, input_ids=None, **inputs):
            return forward(self, super().forward, input_ids, inputs)

    return replace(HEADS[head], model=Faulty).build(variant, **options)


def with_logits(change):
    """A `forward` whose logits are changed by a function of the model, the ids and the logits."""

    def forward(model, above, ids, inputs):
        found = above(ids, **inputs)
        found.logits = change(model, ids, found.logits)
        return found

    return forward


def leak_of_one_token(model, ids, logits):
    following = torch.nn.functional.pad(ids[:, 1:], (0, 1))
    return logits + 1e-3 * following[..., None]


def padding_that_counts(model, ids, logits):
    return logits + 1e-3 * ids.shape[1]


def batch_mate(model, ids, logits):
    return logits + 1e-3 * logits.mean(0, keepdim=True)


def state_between_calls(model, ids, logits):
    model.calls = getattr(model, "calls", 0) + 1
    return logits + 1e-4 * model.calls


def noise(model, ids, logits):
    return logits + 1e-4 * torch.randn_like(logits)


def reseeded(model, above, ids, inputs):
    if model.training:
        torch.manual_seed(0)
    return above(ids, **inputs)


def dropped_mask(model, above, ids, inputs):
    return above(ids, **(inputs | {"attention_mask": None}))


def forgotten_border(model, above, ids, inputs):
    cache = inputs.get("past_key_values")
    for tensor in [] if cache is None else cache.memories[0].tensors.values():
        if tensor.is_floating_point():
            tensor.zero_()
    return above(ids, **inputs)


def changed_config(model, above, ids, inputs):
    model.config.initializer_range += 1.0
    return above(ids, **inputs)


def switched_by_one_token(model, above, ids, inputs):
    found = above(ids, **inputs)
    model.is_switched = getattr(model, "is_switched", False) or ids.shape[1] == 1
    found.logits = found.logits + 1e-3 * model.is_switched
    return found


def length_that_fails(model, above, ids, inputs):
    if ids.shape[1] > 2:
        raise RuntimeError("expected at most two tokens")
    return above(ids, **inputs)


FAULTS = [
    ("causality", "causal-lm", with_logits(leak_of_one_token), {"length": 2, "batch": 1, "position": 0}),
    ("padding on the right", "sequence-classification", with_logits(padding_that_counts), {"length": 1, "batch": 1}),
    ("padding on the left", "token-classification", dropped_mask, {"length": 1, "batch": 1, "position": 0}),
    ("batch-mates", "token-classification", with_logits(batch_mate), {"length": 1}),
    ("side effects", "token-classification", with_logits(state_between_calls), {"length": 1, "batch": 1}),
    ("determinism", "masked-lm", with_logits(noise), {"length": 1, "batch": 1}),
    ("random state", "masked-lm", reseeded, {"length": 1, "batch": 1}),
    ("pieces", "causal-lm", forgotten_border, {"length": 2, "batch": 1, "position": 1}),
    ("side effects", "masked-lm", changed_config, {"length": 1}),
    ("side effects", "token-classification", switched_by_one_token, {"length": 2, "batch": 1}),
    ("lengths", "token-classification", length_that_fails, {"length": 3, "batch": 1}),
]


@pytest.mark.parametrize(
    ("name", "head", "forward", "smallest"), FAULTS, ids=lambda each: getattr(each, "__name__", None)
)
def test_a_planted_fault_is_found_at_its_smallest(name, head, forward, smallest):
    finding = found_in(planted(head, forward, hidden_dropout_prob=0.1), name)
    assert finding.passed is False
    assert finding.note
    assert not finding.deviation <= finding.bound
    assert finding.smallest.items() >= smallest.items(), finding


class _Wrong(torch.autograd.Function):
    @staticmethod
    def forward(ctx, vectors):
        return vectors.clone()

    @staticmethod
    def backward(ctx, gradient):
        return 1.001 * gradient


def test_a_wrong_gradient_is_found_and_its_weights_are_named():
    model = HEADS["token-classification"].build("local+lsh")
    part = model.reformer.encoder.sublayers[1]
    part.register_forward_hook(lambda module, inputs, output: _Wrong.apply(output))
    finding = found_in(model, "gradients", (5,))
    assert finding.passed is False
    assert finding.smallest["precision"] == "float64"
    assert "the gradient says" in finding.note


def test_a_buffer_that_is_not_saved_is_found():
    def forward(model, above, ids, inputs):
        found = above(ids, **inputs)
        found.logits = found.logits + model.extra
        return found

    class Faulty(HEADS["token-classification"].model):
        def __init__(self, config):
            super().__init__(config)
            self.register_buffer("extra", torch.randn(config.num_labels), persistent=False)

        def forward(self, input_ids=None, **inputs):
            return forward(self, super().forward, input_ids, inputs)

    finding = found_in(replace(HEADS["token-classification"], model=Faulty).build("local"), "saving", (5,))
    assert finding.passed is False
    assert finding.smallest["length"] == 1


def test_noise_that_is_not_replayed_is_found_by_the_plain_twin():
    model = HEADS["token-classification"].build("local")
    part = model.reformer.encoder.sublayers[2]
    part.register_forward_hook(lambda module, inputs, output: output * (1 + 0.1 * torch.rand(())))
    assert found_in(model, "plain twin", (5,)).passed is False
    assert found_in(HEADS["token-classification"].build("local", hidden_dropout_prob=0.2), "plain twin", (5,)).passed


def test_a_kernel_that_differs_from_the_definition_is_found(monkeypatch):
    model = HEADS["token-classification"].build("local")
    for name, attend in BACKENDS.items():
        if name != "reference":
            monkeypatch.setitem(dispatch.BACKENDS, name, lambda *a, _attend=attend, **k: 1.001 * _attend(*a, **k))
    finding = found_in(model, "definition", (5,))
    assert finding.passed is False
    assert finding.smallest["length"] == 1


SOUND = [
    ("causal-lm", "local+lsh"),
    ("token-classification", "lsh"),
    ("sequence-classification", "hourglass"),
    ("question-answering", "full"),
    ("random-field", "post-norm"),
    ("encoder-decoder", "mixed"),
]


@pytest.mark.parametrize(("head", "variant"), SOUND)
def test_nothing_is_found_in_a_sound_model(head, variant):
    torch.manual_seed(0)
    model = HEADS[head].build(variant, hidden_dropout_prob=0.1)
    findings = list(examine(subject_of(model), PROPERTIES, (1, 17)))
    assert not [finding for finding in findings if finding.passed is False]
    tried = {finding.property for finding in findings if finding.passed}
    assert {"padding on the right", "batch-mates", "gradients", "plain twin", "saving"} <= tried
    assert ("pieces" in tried) == (head == "causal-lm")


def test_nothing_is_found_in_a_forecaster():
    torch.manual_seed(0)
    fields = {"vocab_size": 0, "attention_layers": ["local", "lsh"], "prediction_length": 6, "patch_size": 4}
    further = {"num_time_features": 2, "linear_context": 12, "dynamic_cardinalities": [3], "quantiles": [0.1, 0.5, 0.9]}
    model = ReformerForForecasting(ReformerConfig(**{**SMALL, **fields, **further}))
    findings = {each.property: each for each in examine(subject_of(model), PROPERTIES, (1, 17))}
    assert not [finding for finding in findings.values() if finding.passed is False]
    assert findings["padding on the left"].passed
    assert findings["padding on the right"].passed is None


def test_inputs_of_the_same_size_are_the_same_and_leave_the_random_state_alone():
    subject = subject_of(HEADS["causal-lm"].build("local"))
    before = torch.get_rng_state()
    first, second = subject.draw(Size(2, 9)), subject.draw(Size(2, 9))
    assert torch.equal(first["input_ids"], second["input_ids"])
    assert torch.equal(torch.get_rng_state(), before)
    edited = subject.edited(first, 4, Size(2, 9))["input_ids"]
    assert torch.equal(edited[:, :4], first["input_ids"][:, :4])
    assert (edited[:, 4:] != first["input_ids"][:, 4:]).all()


def test_the_command_tells_in_a_table_and_in_json(tmp_path):
    HEADS["token-classification"].build("local").save_pretrained(tmp_path / "model")
    shown = reformer("doctor", tmp_path / "model", "--longest", 5)
    assert "padding on the right" in shown.stdout
    assert "BROKEN" not in shown.stdout
    told = json.loads(reformer("doctor", tmp_path / "model", "--longest", 2, "--json").stdout)
    assert told["keeps_its_promises"] is True
    assert told["class"] == "ReformerForTokenClassification"
    assert {each["property"] for each in told["findings"]} == set(BY_NAME)


def test_a_broken_promise_is_an_exit_status_of_its_own(tmp_path):
    # Positions of BERT count padding on the left.
    from transformers import BertConfig, BertForTokenClassification

    torch.manual_seed(0)
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    model = BertForTokenClassification(BertConfig(vocab_size=30, max_position_embeddings=40, **sizes))
    model.save_pretrained(tmp_path / "bert")
    result = reformer("doctor", tmp_path / "bert", "--longest", 4, status=1)
    assert "BROKEN" in result.stdout
    assert "padding on the left" in result.stdout
    assert "length 1" in result.stdout


def test_what_cannot_be_examined_is_refused(tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(ReformerError, match=r"no config\.json"):
        load_subject(str(tmp_path / "empty"))
    with pytest.raises(ReformerError, match="has no embeddings of tokens"):
        subject_of(HEADS["token-classification"].build("local", vocab_size=0))
    refused = reformer("doctor", tmp_path / "missing" / "model", status=1)
    assert "cannot be loaded" in refused.output
