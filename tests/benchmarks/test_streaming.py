"""The streaming cases read what they say, and compare with one pass."""

import pytest
import torch

from benchmarks.contenders import decoding, streaming
from benchmarks.contenders.language_models import CHECK_LENGTH, full_model


def test_reading_has_a_state_that_does_not_depend_on_the_length():
    model = streaming.small_model()
    facts = [streaming.read(model.stream(), length) for length in (3, 300)]
    assert facts[0]["state_bytes"] == facts[1]["state_bytes"]
    assert [each["tokens"] for each in facts] == [3, 300]


def test_an_interrupted_reading_is_gone_on_with(tmp_path, monkeypatch):
    """After each piece it is kept; the third is not reached."""
    monkeypatch.setattr(streaming, "SAY_SECONDS", -1.0)
    path, model, sizes = tmp_path / "stream.safetensors", streaming.small_model(), []

    class Stream:
        def __init__(self, most):
            self.stream, self.most = model.stream(), most

        def __call__(self, ids, **options):
            if len(sizes) == self.most:
                raise KeyboardInterrupt
            sizes.append(ids.shape[1])
            return self.stream(ids, **options)

        def __getattr__(self, name):
            return getattr(self.stream, name)

    with pytest.raises(KeyboardInterrupt):
        streaming.read(Stream(most=2), 2500, 1000, path)
    first = Stream(most=9)
    facts = streaming.read(first, 2500, 1000, path)
    assert sizes == [1000, 1000, 500]
    assert first.cache.get_seq_length() == 2500
    assert facts["tokens"] == 2500
    assert not path.exists()


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
