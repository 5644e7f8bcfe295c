"""Train on one long row that several processes hold together: `torchrun --nproc-per-node 2 examples/long_row.py`.

Run alone, one process holds it whole, and says the same loss.
"""

import torch
import torch.distributed as dist

from reformer.models import ReformerConfig, ReformerForCausalLM
from reformer.parallel import parallelize, shard_sequence, sum_gradients

if dist.is_torchelastic_launched():
    dist.init_process_group("gloo")
else:
    dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)  # pyright: ignore[reportPrivateImportUsage]
# The same on all processes: weights and hash rotations are drawn alike.
torch.manual_seed(0)
config = ReformerConfig(
    vocab_size=50,
    hidden_size=64,
    num_attention_heads=2,
    attention_head_size=32,
    feed_forward_size=128,
    attention_layers=["local", "lsh"],
    num_buckets=16,
    is_decoder=True,
    hidden_dropout_prob=0.0,
    max_position_embeddings=8192,
)
model = ReformerForCausalLM(config).train()
optimizer = torch.optim.AdamW(model.parameters(), 3e-3)
group = parallelize(model, dist.group.WORLD)

# Whole rows, the same on all processes; each keeps its part, and 4,097 need not be divisible.
ids = (torch.arange(4097) % 50)[None]
part = shard_sequence({"input_ids": ids, "labels": ids}, group)
for step in range(4):
    optimizer.zero_grad()
    # The mean over the whole row, the same number on every process.
    loss = model(**part).loss
    assert loss is not None
    loss.backward()
    # Before gradients are clipped or used.
    sum_gradients(model, group)
    optimizer.step()
    if group.process == 0:
        print(
            f"step {step}: loss {loss.item():.4f} of {ids.shape[1]} tokens, {part['input_ids'].shape[1]} of them here"
        )
if group.process == 0:
    print("bytes sent:", group.sent)
dist.destroy_process_group()
