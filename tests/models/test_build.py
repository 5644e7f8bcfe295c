"""Models with many options together: what each option keeps alone, all of them keep."""

import pytest
import torch

from reformer.finetuning.layers import layers as numbered_layers
from tests.contract.models import HEADS, random_ids, token_outputs

EVERYTHING = {
    "attention_layers": ["local+lsh", "fourier"] * 3,
    "num_distinct_layers": 2,
    "convolution_kernel": 3,
    "projection_kernel": 3,
    "bottleneck_size": 24,
    "embedding_size": 20,
    "tie_word_embeddings": True,
    "feed_forward_linear": "circulant",
    "circulant_block": 4,
    "fourier_kernel": 20,
    "ngram_sizes": [2],
    "ngram_rows": 97,
    "ngram_width": 8,
    "shortened_layers": [1, 5],
    "fusion_ranges": [3],
    "time_bias_length": 50,
    "score_transform": "polynomial",
    "gated_heads": True,
    "initializer_range": 0.1,
}


def test_everything_at_once_trains_saves_loads_streams_and_generates(tmp_path):
    head = HEADS["causal-lm"]
    model, ids = head.build("full", **EVERYTHING), random_ids(2, 70)
    mask = torch.ones(2, 70, dtype=torch.bool)
    mask[1, :9] = False
    stream, parts = model.reformer.stream(), []
    for part, real in zip(ids.split(8, dim=1), mask.split(8, dim=1), strict=True):
        parts.append(stream(part, attention_mask=real).last_hidden_state)
    whole = token_outputs(model, ids, mask)
    assert (torch.cat(parts, 1) - whole)[mask].abs().max() < 1e-4
    edited = torch.cat((ids[:, :37], ids[:, 37:] % 40 + 1), 1)
    assert torch.equal(token_outputs(model, edited, mask)[:, :37], whole[:, :37])
    model.save_pretrained(tmp_path)
    loaded = head.model.from_pretrained(tmp_path).eval()
    assert torch.equal(token_outputs(loaded, ids, mask), whole)
    cached, uncached = (
        model.generate(input_ids=ids, attention_mask=mask, use_cache=use, max_new_tokens=9, do_sample=False)
        for use in (True, False)
    )
    assert torch.equal(cached, uncached)
    optimizer = torch.optim.Adam(model.train().parameters(), 3e-3)
    losses = []
    for _ in range(8):
        loss = model(input_ids=ids, attention_mask=mask, labels=ids).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0] - 0.1


@pytest.mark.parametrize("layers", [[0, 2], [2, 4], [0, 4]])
@pytest.mark.parametrize("causal", [True, False])
def test_any_part_of_the_layers_may_be_shortened(layers, causal):
    head = HEADS["causal-token-classification" if causal else "token-classification"]
    options = {"attention_layers": ["local", "lsh"] * 2, "shortened_layers": layers, "fusion_ranges": []}
    model, ids = head.build("local", initializer_range=0.1, **options).double().train(), random_ids(2, 31)
    assert [len(layer) for layer in numbered_layers(model)] == [2] * 4
    found = []
    for reversible in (True, False):
        model.reformer.encoder.reversible = reversible
        torch.manual_seed(5)
        loss = model(input_ids=ids, labels=ids % 5).loss
        found.append(torch.autograd.grad(loss, list(model.parameters())))
    assert all((a - b).abs().max() < 1e-9 for a, b in zip(*found, strict=True))
