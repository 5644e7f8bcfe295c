"""A causal model reads a sequence in pieces: the same logits as at once, and a state of constant size."""

import torch

from reformer import ReformerConfig, ReformerForCausalLM


def main() -> None:
    torch.manual_seed(0)
    config = ReformerConfig(
        vocab_size=256,
        hidden_size=64,
        num_attention_heads=2,
        attention_head_size=32,
        feed_forward_size=128,
        attention_layers=["local", "lsh", "local", "lsh"],
        local_window=32,
        lsh_window=32,
        num_buckets=16,
        is_decoder=True,
    )
    model = ReformerForCausalLM(config).eval()
    ids = torch.randint(0, 256, (1, 5000))
    with torch.no_grad():
        whole = model(ids).logits

    stream = model.stream()
    for size in (1, 10, 700, 4289):
        read = stream.cache.get_seq_length()
        logits = stream(ids[:, read : read + size]).logits
        difference = (logits - whole[:, read : read + size]).abs().max()
        print(f"{read + size:5} tokens read, state {stream.cache.nbytes:,} bytes, differs by {difference:.0e}")


if __name__ == "__main__":
    main()
