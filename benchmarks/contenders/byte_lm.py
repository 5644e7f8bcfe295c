"""A byte language model on a slice of enwik8: the same model, data and order of it, with each kind of attention."""

import math
from dataclasses import replace

import numpy
import torch
from torch import Tensor, nn

from benchmarks.case import Action, Contender, ContractError
from benchmarks.learning import Plan, causal_lm, in_random_order, learn, sequences_of

TOKENS = 6_000_000
"""Trained on, each byte once, from the beginning of enwik8's training split."""

QUICK_TOKENS = 200_000
"""In their place at lengths below 1024, which are for a short look."""

STEP_TOKENS = 1 << 14
EVALUATED_TOKENS = 1 << 19
"""From the beginning of the validation split, in sequences of the same length."""

CONTEXT = 8
"""A byte continues what was read before if so many bytes before it stood in the sequence already..."""

FAR = 512
"""...last at least so far back: further than four layers of a window of 64 reach."""

KINDS = ("full", "local", "lsh", "local+lsh")
CHECK_LENGTH = 128


def byte_lm(kind: str) -> Contender:
    """Four layers of one kind of attention."""

    def build(length: int) -> dict[str, Action]:
        short = length < 1024
        count = QUICK_TOKENS if short else TOKENS
        text, held_out = (
            first_bytes("train", count),
            first_bytes("validation", QUICK_TOKENS if short else EVALUATED_TOKENS),
        )
        plan = Plan(max(1, count // STEP_TOKENS), learning_rate=3e-3, warm_up=60, weight_decay=0.01)
        return {"train": Action(lambda _: train(kind, length, text, held_out, plan))}

    return Contender(kind, kind, build, lambda: _check(kind), {"dtype": "float32"})


def model(kind: str, length: int) -> nn.Module:
    """Four layers of 128 with a convolution over three bytes before each attention; queries and keys are separate
    everywhere, so all kinds have the same weights but for a temperature a head."""
    return causal_lm(
        vocab_size=256,
        hidden_size=128,
        num_attention_heads=4,
        attention_head_size=32,
        feed_forward_size=512,
        attention_layers=[kind] * 4,
        local_window=64,
        lsh_window=64,
        num_buckets=max(2, length // 128),
        num_rounds=2,
        shared_query_key=False,
        convolution_kernel=3,
        position_embedding_type="rotary",
        max_position_embeddings=length,
        reversible=False,
    )


def train(
    kind: str, length: int, text: Tensor, held_out: Tensor, plan: Plan, step_tokens: int = STEP_TOKENS
) -> dict[str, float | int]:
    """Bits per byte of held-out text: of all, of each quarter of the sequence, and of the bytes whose context was
    last read far back, whatever followed it there."""
    torch.manual_seed(plan.seed)
    trained = model(kind, length)
    draw = in_random_order(sequences_of(text, length), max(1, step_tokens // length), plan.seed)
    facts = learn(f"byte-lm, {kind}, {length} tokens", trained, draw, plan)
    return facts | score(trained, sequences_of(held_out, length).long())


def score(trained: nn.Module, sequences: Tensor) -> dict[str, float | int]:
    """Bits per byte by place and by how far back the context of a byte was last read."""
    bits = bits_of_bytes(trained, sequences)
    distance = torch.stack([last_seen(sequence) for sequence in sequences])[:, 1:]
    facts: dict[str, float | int] = {"bits": float(bits.mean())}
    for quarter, part in enumerate(bits.chunk(4, dim=1), 1):
        facts[f"bits of quarter {quarter}"] = float(part.mean())
    for name, chosen in (
        ("far", distance >= FAR),
        ("near", (distance > 0) & (distance < FAR)),
        ("new", distance == 0),
    ):
        facts |= {f"{name} bytes": int(chosen.sum())}
        if bool(chosen.any()):
            facts[f"bits of {name}"] = float(bits[chosen].mean())
    return facts


@torch.no_grad()
def bits_of_bytes(trained: nn.Module, sequences: Tensor) -> Tensor:
    """Of every byte but the first of each sequence."""
    found = []
    for ids in sequences.long().split(8):
        logits = trained.eval()(input_ids=ids).logits[:, :-1]
        lost = nn.functional.cross_entropy(logits.flatten(0, 1), ids[:, 1:].flatten(), reduction="none")
        found.append(lost.view(len(ids), -1) / math.log(2))
    return torch.cat(found)


def last_seen(sequence: Tensor) -> Tensor:
    """For each byte, how far back the `CONTEXT` bytes before it last stood in front of a byte; 0 if nowhere."""
    content, last = sequence.to(torch.uint8).numpy().tobytes(), {}
    distances = torch.zeros(len(content), dtype=torch.long)
    for place in range(CONTEXT, len(content)):
        context = content[place - CONTEXT : place]
        if context in last:
            distances[place] = place - last[context]
        last[context] = place
    return distances


def first_bytes(split: str, count: int) -> Tensor:
    """The first bytes of a split of enwik8."""
    from reformer.data.index._enwik8 import load_texts

    [stretch] = load_texts("index:enwik8")[split]
    stretch = replace(stretch, stop=min(stretch.stop, stretch.start + count))
    content = numpy.fromfile(stretch.path, dtype=numpy.uint8, count=len(stretch), offset=stretch.start)
    return torch.from_numpy(content)


def _check(kind: str) -> str:
    """It learns a short text by heart, and the place of a repeated context is found."""
    found = last_seen(torch.tensor(list(b"a far word, and again a far word.")))
    if found[-2:].tolist() != [22, 22] or bool(found[:CONTEXT].any()):
        raise ContractError(f"the last places of a repeated context are wrong: {found.tolist()}")
    text = torch.randint(0, 256, (CHECK_LENGTH,), dtype=torch.uint8)
    facts = train(kind, CHECK_LENGTH, text, text, Plan(40, learning_rate=3e-3, warm_up=5), CHECK_LENGTH)
    if not facts["bits"] < 4:
        raise ContractError(f"{facts['bits']:.2f} bits per byte of the text it was trained on 40 times, expected < 4")
    return f"{facts['bits']:.2f} bits per byte of {CHECK_LENGTH} random bytes it was trained on 40 times"
