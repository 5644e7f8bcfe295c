"""Models as graphs: traced once with open lengths, written, and compared with the model."""

import logging
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.export import ExportedProgram

from reformer.errors import ReformerError
from reformer.export.inputs import GraphInputs, TokenInputs, graph_inputs
from reformer.files import replace_file, unfinished_folder
from reformer.models import ReformerModel, ReformerPreTrainedModel
from reformer.ops import standard

FORMS = (".onnx", ".pt2")

BOUND = 1e-4
"""By how much a graph's outputs may differ from the model's, relative to the greatest."""

FLIPS = 1e-3
"""The part of the tokens that may differ by more: a hash puts one near a border into another bucket where a product is
rounded otherwise."""

LENGTHS = (1, 63, 64, 1000, 20000)
"""The lengths at which a graph is compared with its model."""

Runner = Callable[[Mapping[str, Tensor]], list[Tensor]]


@dataclass(frozen=True)
class Exported:
    """What was written, and how it compares.

    Args:
        path: the file. An ONNX graph may have its weights beside it, in a file that ends in `.data`.
        differences: at each of the lengths, the greatest from the model, relative to its greatest output, where nothing
            was hashed otherwise.
        lengths: the lengths that were compared.
        least: shorter sequences have to be padded.
        most: the longest sequence.
        inputs: names of the graph's inputs.
        outputs: names of its outputs, in their order: those of the model's output.
    """

    path: Path
    differences: tuple[float, ...]
    lengths: tuple[int, ...]
    least: int
    most: int
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]

    @property
    def difference(self) -> float:
        """The greatest of all lengths."""
        return max(self.differences)


class _Answers(nn.Module):
    """A model that gives tensors alone."""

    def __init__(self, model: ReformerPreTrainedModel) -> None:
        super().__init__()
        self.model = model
        self.options = {"use_cache": False} if model.config.is_decoder else {}

    def named(self, **inputs: Tensor | None) -> dict[str, Tensor]:
        """The tensors among the outputs."""
        found = self.model(**inputs, return_dict=True, **self.options)
        return {name: each for name, each in found.items() if isinstance(each, Tensor)}


# Each names its inputs: `torch.export` matches sizes with them by their names.
class _TokenAnswers(_Answers):
    def forward(
        self, input_ids: Int[Tensor, "batch length"], attention_mask: Int[Tensor, "batch length"]
    ) -> tuple[Float[Tensor, "batch *any"], ...]:
        return tuple(self.named(input_ids=input_ids, attention_mask=attention_mask).values())


class _SeriesAnswers(_Answers):
    def forward(
        self,
        values: Float[Tensor, "batch length channels"],
        time_features: Tensor | None = None,
        feat_dynamic_real: Tensor | None = None,
        feat_dynamic_cat: Tensor | None = None,
        feat_static_real: Tensor | None = None,
        feat_static_cat: Tensor | None = None,
    ) -> tuple[Float[Tensor, "batch *any"], ...]:
        found = self.named(
            values=values,
            time_features=time_features,
            feat_dynamic_real=feat_dynamic_real,
            feat_dynamic_cat=feat_dynamic_cat,
            feat_static_real=feat_static_real,
            feat_static_cat=feat_static_cat,
        )
        return tuple(found.values())


def exported_program(model: ReformerPreTrainedModel, *, standard_operators: bool = False) -> ExportedProgram:
    """The model as a program of `torch.export`: of one that reads tokens, ids and mask in, `[batch, length]` both, of
    any size; of a forecaster, `values` and what else it reads; outputs out.

    It computes what the model computes in evaluation. Where kernels are compiled it calls them, and is run by a process
    that has imported `reformer.ops`; with `standard_operators`, or without kernels, it consists of PyTorch's operators,
    but for long convolutions ("fourier").

    Args:
        model: any that reads token ids, but for encoder-decoders, or a forecaster.
        standard_operators: call no compiled kernel.

    Raises:
        ReformerError: the model reads something else.
    """
    return _traced(model, graph_inputs(model), standard_operators)[0]


def _traced(
    model: ReformerPreTrainedModel, inputs: GraphInputs, standard_operators: bool
) -> tuple[ExportedProgram, tuple[str, ...]]:
    """The program, and the names of its outputs."""
    was_training = model.training
    answers = (_TokenAnswers if isinstance(inputs, TokenInputs) else _SeriesAnswers)(model.eval())
    example = inputs.example(inputs.traced)
    try:
        with torch.no_grad():
            # Outside of the trace, which puts back what is set in it.
            names = tuple(answers.named(**example))
        with torch.no_grad(), standard.standard_operators() if standard_operators else nullcontext():
            program = torch.export.export(
                answers,
                (),
                example,
                dynamic_shapes=inputs.dims(),
                strict=False,
                prefer_deferred_runtime_asserts_over_guards=True,
            )
    finally:
        model.train(was_training)
    return program, names


def export_model(model: ReformerPreTrainedModel, path: str | Path, *, lengths: Sequence[int] = LENGTHS) -> Exported:
    """Write a model as a graph, and compare what that gives with what the model gives.

    Args:
        model: see `exported_program`.
        path: ends in `.onnx`, for a graph of standard operators that ONNX Runtime runs, or in `.pt2`, for a program of
            `torch.export`, of PyTorch's operators.
        lengths: those to compare at; in place of greater ones than the model reads, its longest.

    Raises:
        ReformerError: another ending, a model that cannot be exported, packages that are missing, or answers that
            differ from the model's; then a file of that name is left as it was.
    """
    path = Path(path)
    if path.suffix not in FORMS:
        raise ReformerError(f"{path}: expected a name that ends in {' or '.join(FORMS)}")
    inputs = graph_inputs(model)
    compared = tuple(sorted({min(max(length, inputs.least), inputs.most) for length in lengths}))
    program, outputs = _traced(model, inputs, standard_operators=True)
    with unfinished_folder(path) as fresh:
        written = fresh / path.name
        if path.suffix == ".onnx":
            write_onnx(program, written, tuple(inputs.dims()), outputs)
            run = onnx_runner(written)
        else:
            run = _write_program(program, written)
        differences = tuple(_compared(model, inputs, run, length) for length in compared)
        # Weights of an ONNX graph may be a file of their own, which the graph calls by this name.
        for name in (f"{path.name}.data", path.name):
            if (fresh / name).exists():
                replace_file(fresh / name, path.with_name(name))
    return Exported(path, differences, compared, inputs.least, inputs.most, tuple(inputs.dims()), outputs)


def _write_program(program: ExportedProgram, path: Path) -> Runner:
    torch.export.save(program, str(path))
    run = torch.export.load(str(path)).module()
    return lambda inputs: list(run(**inputs))


def check_onnx_packages(*, writing: bool = True) -> None:
    """Raise `ReformerError` unless what writes and runs ONNX graphs is installed.

    Args:
        writing: False for a graph that is run alone.
    """
    needed = ("onnx", "onnxscript", "onnxruntime") if writing else ("onnxruntime",)
    if missing := [name for name in needed if find_spec(name) is None]:
        raise ReformerError(f"{', '.join(missing)} not installed: pip install 'reformer-torch[onnx]'")


def write_onnx(program: ExportedProgram, path: Path, inputs: tuple[str, ...], outputs: tuple[str, ...]) -> None:
    """Write a program as an ONNX graph whose inputs and outputs have these names.

    Raises:
        ReformerError: packages are missing, or the program calls an operator of this package.
    """
    check_onnx_packages()
    own = {str(node.target) for node in program.graph.nodes if str(node.target).startswith("reformer.")}
    if own:
        raise ReformerError(
            f"{', '.join(sorted(own))}: ONNX has no such operator; write a .pt2, or take a model without layers of "
            'the kind "fourier"'
        )
    with without_notes():
        written: Any = torch.onnx.export(
            program, dynamo=True, verbose=False, input_names=list(inputs), output_names=list(outputs)
        )
        written.save(str(path))


@contextmanager
def without_notes() -> Iterator[None]:
    """Without what exporters and quantizers log of themselves, such as packages that they could serve.

    For the process of a command: it changes `logging` as a whole.
    """
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)
            warnings.simplefilter("ignore", DeprecationWarning)
            yield
    finally:
        logging.disable(before)


def onnx_runner(path: Path) -> Runner:
    """What runs an ONNX graph on the CPU: tensors in by their names, outputs in their order.

    Raises:
        ReformerError: ONNX Runtime is not installed, or cannot run the graph.
    """
    check_onnx_packages(writing=False)
    import onnxruntime  # pyright: ignore[reportMissingImports]

    options = onnxruntime.SessionOptions()
    # As many threads as the model has.
    options.intra_op_num_threads = torch.get_num_threads()
    try:
        session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    # Of an operator that it does not have, for numbers of this kind.
    except Exception as error:
        raise _cannot_run(error) from error
    # What no output depends on is no input of the graph.
    types = {each.name: np.float32 if each.type == "tensor(float)" else np.int64 for each in session.get_inputs()}

    def run(inputs: Mapping[str, Tensor]) -> list[Tensor]:
        given = {name: inputs[name].cpu().numpy().astype(kind) for name, kind in types.items()}
        try:
            found = session.run(None, given)
        # An operator that it has, and that does not take what the graph gives it.
        except Exception as error:
            raise _cannot_run(error) from error
        return [torch.from_numpy(each) for each in found]

    return run


def _cannot_run(error: Exception) -> ReformerError:
    reason = next(iter(str(error).splitlines()), type(error).__name__)
    return ReformerError(f"ONNX Runtime cannot run this graph ({reason}); write a .pt2, by --to torch")


@torch.no_grad()
def _compared(model: ReformerPreTrainedModel, inputs: GraphInputs, run: Runner, length: int) -> float:
    """The greatest difference at a length, but for tokens that may have changed their bucket.

    Raises:
        ReformerError: too many outputs differ.
    """
    example = inputs.example(length)
    was_training = model.training
    expected = _Answers(model.eval()).named(**example).values()
    model.train(was_training)
    worst = 0.0
    for found, right in zip(run(example), expected, strict=True):
        of_tokens = _of_rows(found.to(right), right, inputs.real(example))
        # A NaN fails every comparison.
        differs = ~(of_tokens <= BOUND)
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
    found: Float[Tensor, "batch *any"], right: Float[Tensor, "batch *any"], real: Bool[Tensor, "batch length"] | None
) -> Float[Tensor, " rows"]:
    """The greatest difference of each real token, or of each sequence, relative to the greatest output."""
    # -inf stands at padding on both sides.
    same = found == right
    difference = (found - right).abs().masked_fill(same, 0) / right[right.isfinite()].abs().max().clamp_min(1e-6)
    if real is not None and right.shape[:2] == real.shape:
        difference = difference[real]
    return difference.flatten(1).amax(-1) if difference.dim() > 1 else difference
