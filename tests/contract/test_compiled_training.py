"""Training under `torch.compile`: one graph forward and one backward for all lengths, with a bare step's gradients."""

import subprocess
import sys

import pytest

# In a process of its own, where annotations are not checked, which no graph can hold.
SCRIPT = """
import sys
import torch
from torch._dynamo.backends.registry import lookup_backend
from reformer.models import ReformerConfig, ReformerForCausalLM

fields = {"hidden_size": 32, "num_attention_heads": 2, "attention_head_size": 16, "feed_forward_size": 48}
fields |= {"local_window": 5, "lsh_window": 6, "num_buckets": [2, 4], "max_position_embeddings": 2048}
config = ReformerConfig(vocab_size=41, is_decoder=True, attention_layers=sys.argv[1:2] * 2, **fields)
torch.manual_seed(0)
model, graphs = ReformerForCausalLM(config).train(), []

def count(graph, inputs):
    graphs.append(graph)
    return lookup_backend("aot_eager")(graph, inputs)

def loss(ids):
    return model(input_ids=ids, labels=ids, use_cache=False).loss

def gradients(step, ids):
    # The rotations of training are drawn from it.
    torch.manual_seed(ids.shape[1])
    model.zero_grad()
    value = step(ids)
    value.backward()
    return [value.detach(), *(parameter.grad.clone() for parameter in model.parameters())]

compiled = torch.compile(loss, backend=count, dynamic=True, fullgraph=True)
for length in [100, 37, 64, 63, 65, 200, 128, 150, 151, 90, 41, 33, 250, 17, 777, 16, 99, 101, 1500, 256]:
    ids = torch.randint(0, 41, (2, length))
    for one, other in zip(gradients(loss, ids), gradients(compiled, ids), strict=True):
        assert (one - other).norm() <= 1e-4 * max(1.0, one.norm()), length
assert len(graphs) <= 2, len(graphs)
"""


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["local", "lsh", "local+lsh", "full"])
def test_two_graphs_serve_every_length(kind):
    subprocess.run([sys.executable, "-c", SCRIPT, kind], check=True)


@pytest.mark.slow
def test_what_it_brings_can_be_measured():
    options = ["--kinds", "local", "--layers", "1", "--lengths", "100", "130", "--turns", "1", "--threads", "1"]
    command = [sys.executable, "-m", "benchmarks.compiled", *options]
    lines = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()
    assert lines[1] == "1 reversible layers, batch 1, 1 thread(s), float32"
    assert [line.split(":")[0] for line in lines[2:]] == ["local", "local, 100 tokens", "local, 130 tokens", "local"]
    assert lines[-1] == "local: 1 graph(s) for 2 lengths"
