"""`python -m benchmarks.converted_windows`: how near a converted Reformer of transformers comes to the original beyond
a chunk, by the windows of its layers; of random small models, whose attention is flat or sharp."""

import argparse
import statistics
import tempfile
from collections.abc import Iterator

import torch
from transformers import AutoConfig, ReformerModelWithLMHead

from reformer.models.pretrained import convert
from reformer.models.pretrained.nearness import Nearness, nearness
from reformer.nn import Attention

CHUNK = 64
WINDOWS = (1.0, 1.25, 1.5, 1.75, 2.0)
"""In chunks; a token of the original sees from one to two."""
LAYERS = {"local": ["local"] * 4, "local and hashed": ["local", "lsh"] * 2}
SPREADS = (0.02, 0.05, 0.1)
"""Standard deviations of the weights."""


def near_by_window(layers: list[str], spread: float, seed: int) -> Iterator[Nearness]:
    """How near a random model is to its conversion, for each window."""
    torch.manual_seed(seed)
    config = AutoConfig.for_model(
        "reformer",
        vocab_size=320,
        hidden_size=64,
        feed_forward_size=128,
        num_attention_heads=2,
        attention_head_size=32,
        attn_layers=layers,
        local_attn_chunk_length=CHUNK,
        lsh_attn_chunk_length=CHUNK,
        num_buckets=[4, 8],
        num_hashes=2,
        axial_pos_shape=[32, 32],
        axial_pos_embds_dim=[16, 48],
        max_position_embeddings=1024,
        is_decoder=True,
        initializer_range=spread,
    )
    theirs = ReformerModelWithLMHead(config).eval()
    with tempfile.TemporaryDirectory() as folder:
        theirs.save_pretrained(folder)
        ours = convert(folder).model
    for window in WINDOWS:
        for layer in ours.modules():
            if isinstance(layer, Attention):
                layer.local_windows, layer.lsh_window = (int(window * CHUNK),), int(window * CHUNK)
        near = nearness(theirs, ours, CHUNK, CHUNK)
        assert near is not None
        yield near


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=3)
    options = parser.parse_args()
    torch.set_num_threads(1)
    print("medians over the models: deviation of the logits, tokens of the same first choice")
    for name, layers in LAYERS.items():
        for spread in SPREADS:
            found = [list(near_by_window(layers, spread, seed)) for seed in range(options.seeds)]
            cells = [
                f"{statistics.median(near.deviation for near in column):.1%} "
                f"{statistics.median(near.agreement or 0 for near in column):.1%}"
                for column in zip(*found, strict=True)
            ]
            own = [row[0] for row in found]
            cells.append(
                f"itself {statistics.median(near.own_deviation for near in own):.1%} "
                f"{statistics.median(near.own_agreement or 0 for near in own):.1%}"
            )
            print(f"{name}, weights of {spread}: {' | '.join(cells)}")


if __name__ == "__main__":
    main()
