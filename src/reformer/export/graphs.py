"""Models as graphs: traced once with open lengths, written, and compared with the model."""

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram

from reformer.errors import ReformerError
from reformer.files import replace_file, unfinished_folder
from reformer.models import ReformerForConditionalGeneration, ReformerModel, ReformerPreTrainedModel
from reformer.ops import standard

FORMS = (".onnx", ".pt2")

BOUND = 1e-4
"""By how much a graph's outputs may differ from the model's, relative to the greatest."""

FLIPS = 1e-3
"""The part of the tokens that may differ by more: a hash puts one near a border into another bucket where a product is
rounded otherwise."""

SAMPLE = 40
"""Tokens of the sequence that is traced. It has padding, so that no graph is without a mask."""

INPUTS = ("input_ids", "attention_mask")


@dataclass(frozen=True)
class Exported:
    """What was written, and how it compares.

    Args:
        path: the file. An ONNX graph may have its weights beside it, in a file that ends in `.data`.
        difference: the greatest from the model, relative to its greatest output, where nothing was hashed otherwise.
        lengths: the lengths that were compared.
        least: sequences below so many tokens have to be padded.
    """

    path: Path
    difference: float
    lengths: tuple[int, ...]
    least: int


class _Answers(nn.Module):
    """A model that reads ids and a mask, and gives tensors alone."""

    def __init__(self, model: ReformerPreTrainedModel) -> None:
        super().__init__()
        self.model = model
        self.options = {"use_cache": False} if model.config.is_decoder else {}

    def forward(
        self, input_ids: Int[Tensor, "batch length"], attention_mask: Int[Tensor, "batch length"]
    ) -> tuple[Float[Tensor, "batch *any"], ...]:
        found = self.model(input_ids=input_ids, attention_mask=attention_mask, return_dict=True, **self.options)
        return tuple(each for each in found.values() if isinstance(each, Tensor))


def exported_program(model: ReformerPreTrainedModel, *, standard_operators: bool = False) -> ExportedProgram:
    """The model as a program of `torch.export`: ids and mask in, `[batch, length]` both, of any size; outputs out.

    It computes what the model computes in evaluation. Where kernels are compiled it calls them, and is run by a process
    that has imported `reformer.ops`; with `standard_operators`, or without kernels, it consists of PyTorch's operators,
    but for long convolutions ("fourier").

    Args:
        model: any that reads token ids, but for encoder-decoders.
        standard_operators: call no compiled kernel.

    Raises:
        ReformerError: the model reads something else.
    """
    config = model.config
    if isinstance(model, ReformerForConditionalGeneration) or config.is_encoder_decoder:
        raise ReformerError(f"{type(model).__name__} has an encoder and a decoder: expected a model of one stack")
    if not isinstance(model.get_input_embeddings(), nn.Embedding) or not config.vocab_size:
        raise ReformerError(f"{type(model).__name__} reads no token ids: expected a model with a vocabulary")
    most = config.max_position_embeddings
    sample = min(SAMPLE, most)
    if sample <= least_length(model):
        raise ReformerError(f"max_position_embeddings={most}: expected at least {least_length(model) + 1}")
    ids = torch.ones(2, sample, dtype=torch.int64, device=model.device)
    mask = torch.ones_like(ids)
    mask[1, sample // 2 :] = 0
    dims = {0: Dim("batch", min=1), 1: Dim("length", min=least_length(model), max=most)}
    was_training = model.training
    model.eval()
    try:
        with torch.no_grad(), standard.standard_operators() if standard_operators else nullcontext():
            return torch.export.export(
                _Answers(model),
                (ids, mask),
                dynamic_shapes=(dims, dims),
                strict=False,
                prefer_deferred_runtime_asserts_over_guards=True,
            )
    finally:
        model.train(was_training)


def least_length(model: ReformerPreTrainedModel) -> int:
    """The fewest tokens that a program takes: PyTorch makes a case of its own of one, and of one step."""
    config = model.config
    return config.shorten_stride + 1 if config.shortened_layers else 2


def export_model(
    model: ReformerPreTrainedModel, path: str | Path, *, lengths: tuple[int, ...] = (2, 17, 63, 64, 200)
) -> Exported:
    """Write a model as a graph, and compare what that gives with what the model gives.

    Args:
        model: see `exported_program`.
        path: ends in `.onnx`, for a graph of standard operators that ONNX Runtime runs, or in `.pt2`, for a program of
            `torch.export`, of PyTorch's operators.
        lengths: those to compare at; greater ones than the model reads are left out.

    Raises:
        ReformerError: another ending, a model that cannot be exported, packages that are missing, or answers that
            differ from the model's; then a file of that name is left as it was.
    """
    path = Path(path)
    if path.suffix not in FORMS:
        raise ReformerError(f"{path}: expected a name that ends in {' or '.join(FORMS)}")
    least = least_length(model)
    lengths = tuple(length for length in lengths if least <= length <= model.config.max_position_embeddings)
    write = _write_onnx if path.suffix == ".onnx" else _write_program
    program = exported_program(model, standard_operators=True)
    with unfinished_folder(path) as fresh:
        run = write(program, fresh / path.name)
        difference = max(_compared(model, run, length) for length in lengths)
        # Weights of an ONNX graph may be a file of their own, which the graph calls by this name.
        for name in (f"{path.name}.data", path.name):
            if (fresh / name).exists():
                replace_file(fresh / name, path.with_name(name))
    return Exported(path, difference, lengths, least)


Runner = Callable[[Tensor, Tensor], list[Tensor]]


def _write_program(program: ExportedProgram, path: Path) -> Runner:
    torch.export.save(program, str(path))
    run = torch.export.load(str(path)).module()
    return lambda ids, mask: list(run(ids, mask))


def _write_onnx(program: ExportedProgram, path: Path) -> Runner:
    if missing := [name for name in ("onnx", "onnxscript", "onnxruntime") if find_spec(name) is None]:
        raise ReformerError(f"{', '.join(missing)} not installed: pip install 'reformer-torch[onnx]'")
    import onnxruntime  # pyright: ignore[reportMissingImports]

    own = {str(node.target) for node in program.graph.nodes if str(node.target).startswith("reformer.")}
    if own:
        raise ReformerError(
            f"{', '.join(sorted(own))}: ONNX has no such operator; write a .pt2, or take a model without layers of "
            'the kind "fourier"'
        )
    names = [f"output_{index}" for index in range(len(program.graph_signature.user_outputs))]
    written: Any = torch.onnx.export(program, dynamo=True, verbose=False, input_names=INPUTS, output_names=names)
    written.save(str(path))
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])

    def run(ids: Tensor, mask: Tensor) -> list[Tensor]:
        given = {name: each.cpu().numpy() for name, each in zip(INPUTS, (ids, mask), strict=True)}
        return [torch.from_numpy(each) for each in session.run(None, given)]

    return run


@torch.no_grad()
def _compared(model: ReformerPreTrainedModel, run: Runner, length: int) -> float:
    """The greatest difference at a length, but for tokens that may have changed their bucket.

    Raises:
        ReformerError: too many outputs differ.
    """
    generator = torch.Generator().manual_seed(length)
    ids = torch.randint(model.config.vocab_size, (2, length), generator=generator).to(model.device)
    mask = torch.ones_like(ids)
    mask[1, (length + 1) // 2 :] = 0
    was_training = model.training
    expected = _Answers(model.eval())(ids, mask)
    model.train(was_training)
    worst = 0.0
    for found, right in zip(run(ids, mask), expected, strict=True):
        of_tokens = _of_rows(found.to(right), right, mask.bool())
        differs = of_tokens > BOUND
        if differs.sum() > max(1, FLIPS * len(of_tokens)) * _is_hashed(model):
            raise ReformerError(
                f"at {length} tokens {int(differs.sum())} of {len(of_tokens)} outputs differ from the model's, by up "
                f"to {float(of_tokens.max()):.1e} of the greatest; expected at most {BOUND:.0e}"
            )
        worst = max([worst, *of_tokens[~differs].tolist()])
    return worst


def _is_hashed(model: ReformerPreTrainedModel) -> bool:
    return any(isinstance(part, ReformerModel) and part.is_hashed for part in model.modules())


def _of_rows(
    found: Float[Tensor, "batch *any"], right: Float[Tensor, "batch *any"], real: Bool[Tensor, "batch length"]
) -> Float[Tensor, " rows"]:
    """The greatest difference of each real token, or of each sequence, relative to the greatest output."""
    difference = (found - right).abs() / right.abs().max().clamp_min(1e-6)
    if right.shape[:2] == real.shape:
        difference = difference[real]
    return difference.flatten(1).amax(-1) if difference.dim() > 1 else difference
