"""The streaming cases read what they say, and compare with one pass."""

import torch

from benchmarks.contenders import decoding, streaming
from benchmarks.contenders.language_models import CHECK_LENGTH, full_model


def test_reading_has_a_state_that_does_not_depend_on_the_length():
    model = streaming.small_model()
    facts = [streaming._read(model.stream(), length) for length in (3, 300)]
    assert facts[0]["state_bytes"] == facts[1]["state_bytes"]
    assert [each["tokens"] for each in facts] == [3, 300]


def test_a_difference_between_pieces_and_one_pass_is_seen(monkeypatch):
    model = streaming.small_model()
    assert streaming.compare(model, 200, 7)["above"] == 0
    monkeypatch.setattr(streaming, "TOLERANCE", -1.0)
    assert streaming.compare(model, 200, 7)["above"] == 200


def test_writing_goes_on_from_what_was_read(monkeypatch):
    monkeypatch.setattr(decoding, "TOKENS", 3)
    action = decoding.decoding("ours", "ours", ["local", "lsh"]).build(50)["token"]
    stream = action.run.args[0]
    assert stream.cache.get_seq_length() == 50
    action.run(None)
    assert stream.cache.get_seq_length() == 53


def test_checkpointed_gradients_are_those_without():
    gradients = []
    for checkpointed in (False, True):
        torch.manual_seed(0)
        model = full_model(CHECK_LENGTH, 2, reversible=False, checkpointed=checkpointed).train()
        ids = torch.randint(2, 258, (1, CHECK_LENGTH))
        model(input_ids=ids, labels=ids).loss.backward()
        gradients.append([parameter.grad for parameter in model.parameters()])
    assert all(torch.allclose(a, b, atol=1e-6) for a, b in zip(*gradients, strict=True))
