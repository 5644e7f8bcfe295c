"""Recipe of a training run: immutable tables of every choice, with the checks that need no knowledge of tasks."""

import difflib
from collections.abc import Iterable, Mapping
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import BaseModel, Field, model_validator

from reformer.errors import ReformerError

Fraction = Annotated[float, Field(ge=0, lt=1)]
AtLeastOne = Annotated[int, Field(ge=1)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class _Table(BaseModel, frozen=True, extra="forbid", strict=True):
    """One table of the file: no field is unknown, none is converted, none changes later."""

    deprecated_names: ClassVar[Mapping[str, str]] = {}
    """Fields by the name that earlier versions gave them; recipes may still use it."""


class DataRecipe(_Table, frozen=True):
    """Files or data set of a run. A task whose data have more to say about adds its fields in a subclass."""

    source: str | None = Field(None, description="a data set of `reformer data list`, as `index:people-daily`")
    train: str | None = Field(
        None, description="a file to learn from, instead of a source; for language models a folder of texts, too"
    )
    validation: str | None = Field(None, description="a file to choose the best weights with")
    test: str | None = Field(None, description="a file to report on at the end")
    validation_fraction: Annotated[float, Field(gt=0, lt=1)] = Field(
        0.05,
        description="how much of the training data, or of a text's or a series' end, to hold out when there is no "
        "validation file",
    )
    separator: str = Field("\n", description="what stands between joined texts")

    @model_validator(mode="after")
    def _one_origin(self) -> Self:
        if (self.source is None) == (self.train is None):
            raise ValueError("expected either source or train")
        fields = ("validation", "test", "format", "text_column", "label_column", "encoding", "group_column", "folds")
        files = [name for name in fields if getattr(self, name, None) is not None]
        if self.source is not None and files:
            raise ValueError(f"a source has its own split and format; leave out {', '.join(files)}")
        if self.source is not None and not self.source.startswith("index:"):
            raise ValueError(f"source = {self.source!r}: expected index:NAME; for a file of yours give train")
        return self


HOLD_OUT, STRATIFIED, BY_CHANCE = "hold_out", "stratified", "random"


class HeldOutDataRecipe(DataRecipe, frozen=True):
    """Records of which some are held out to validate with, where no file does."""

    hold_out: Literal["stratified", "random"] = Field(
        STRATIFIED,
        description="how held-out records are chosen: stratified gives each label its share and keeps together what "
        "belongs together; random chooses by chance alone, of texts after they are joined, as earlier versions did",
    )

    @model_validator(mode="after")
    def _something_is_held_out(self) -> Self:
        if self.hold_out != STRATIFIED and self.validation is not None:
            raise ValueError(f'hold_out = "{self.hold_out}": with a validation file nothing is held out; leave it out')
        return self


FROM_START = "start"


class TokenizerRecipe(_Table, frozen=True):
    """Tokenizer of a task that reads or writes texts."""

    kind: str = Field(
        "character",
        description="character, byte, the folder or name of a tokenizer, or start: that of the model which "
        "finetune.start_from names, the only choice there",
    )
    vocab_size: AtLeastOne | None = Field(None, description="the most characters to know")
    min_frequency: AtLeastOne | None = Field(
        None, description="how often a character must occur to be known; none: once"
    )

    vocabulary: Literal["whole", "used"] | None = Field(
        None,
        description="of the tokenizer of the start: used leaves the pieces that the training texts have, single "
        "characters of their scripts and a reserve of frequent ones, and the model only their embeddings; none: whole",
    )

    @model_validator(mode="after")
    def _only_characters_are_counted(self) -> Self:
        if self.kind != FROM_START and self.vocabulary is not None:
            raise ValueError(
                f"vocabulary = {self.vocabulary!r} with kind = {self.kind!r}: only a trained model has embeddings to "
                f'leave out; give kind = "{FROM_START}"'
            )
        counted = [name for name in ("vocab_size", "min_frequency") if getattr(self, name) is not None]
        if self.kind != "character" and counted:
            raise ValueError(f"kind = {self.kind!r} has its own vocabulary; leave out {', '.join(counted)}")
        return self


PRUNING = {
    "layers": ("keep_layers", "prune_layers", "prune_tolerance"),
    "heads": ("keep_heads", "prune_heads", "prune_heads_tolerance"),
}
"""Parts of a model that can be pruned, and the fields that say which ones go, of which a recipe gives one."""


class FinetuneRecipe(_Table, frozen=True):
    """Warm start: the trained model that a run begins with instead of a fresh one, and what is changed in it."""

    deprecated_names: ClassVar[Mapping[str, str]] = {
        "trim_layers": "prune_layers",
        "trim_tolerance": "prune_tolerance",
        "trim_heads": "prune_heads",
        "trim_heads_tolerance": "prune_heads_tolerance",
    }

    start_from: str | None = Field(
        None,
        description="a run folder, a model's folder, its name on the hub, or index:NAME of `reformer data list`: begin "
        "with its weights, its tokenizer and its architecture; [model] may then change what leaves the weights as they "
        "are",
    )
    accept_licence: bool | None = Field(
        None, description="true: start from a model whose licence forbids some uses, as cc-by-nc-4.0 does"
    )
    freeze: list[str] | Literal["auto"] | None = Field(
        None,
        description="the weights that do not learn: embeddings, layers as 0 or 0-3 from the bottom (encoder.0-3 of an "
        "encoder-decoder), patterns of parameters' names; auto: begin with the head alone, and let the next lower "
        "layer learn while the score improves",
    )

    layer_decay: Annotated[float, Field(gt=0, le=1)] | None = Field(
        None,
        description="the learning rate of each layer as a part of that of the layer above it, down to the embeddings; "
        "the top one has training.learning_rate; none: every layer has it",
    )
    head_learning_rate: Positive | None = Field(
        None, description="the highest learning rate of the head; none: training.learning_rate"
    )
    keep_layers: list[int] | None = Field(
        None, description="go on with these layers alone, counted from 0 at the bottom"
    )
    prune_layers: AtLeastOne | None = Field(
        None,
        description="prune to so many layers, one at a time: each time the one without which the validation score is "
        "best",
    )
    prune_tolerance: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None = Field(
        None, description="prune layers for as long as the validation score falls by no more than this"
    )
    keep_heads: list[list[int]] | None = Field(
        None, description="for each layer, the heads to go on with, counted from 0; [] for one that is no attention"
    )
    prune_heads: AtLeastOne | None = Field(
        None,
        description="prune to so many heads a layer: those go without which, each skipped alone, the validation score "
        "falls least",
    )
    prune_heads_tolerance: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None = Field(
        None, description="prune heads for as long as the validation score falls by no more than this"
    )
    distinct_layers: AtLeastOne | None = Field(
        None,
        description="share weights between layers: so many different ones stay, each the mean of those it replaces",
    )
    hidden_size: AtLeastOne | None = Field(
        None, description="widen the model to this multiple of its hidden width; its function is at first the same"
    )

    lora_rank: AtLeastOne | None = Field(
        None,
        description="freeze the trained weights and learn low-rank products of this rank beside projections (LoRA); "
        "the run keeps these alone, as an adapter of the model it starts from",
    )
    lora_alpha: Positive | None = Field(None, description="the scale of these products; none: twice the rank")
    lora_targets: list[str] | None = Field(
        None, description="the projections' names, such as query_key or inner; none: all of attention's"
    )
    lora_merge: bool | None = Field(
        None, description="true: add the products to their projections at the end, and keep a whole model"
    )

    @model_validator(mode="after")
    def _with_a_start(self) -> Self:
        given = [name for name, value in self if value is not None and name != "start_from"]
        if self.start_from is None and given:
            raise ValueError(f"{', '.join(given)}: there is no trained model to do this with; give start_from")
        for part, names in PRUNING.items():
            ways = [name for name in names if name in given]
            if len(ways) > 1:
                raise ValueError(f"{' and '.join(ways)} say each which {part} go; give one of them")
        self._check_lora(given)
        return self

    def _check_lora(self, given: list[str]) -> None:
        of_lora = [name for name in given if name.startswith("lora_")]
        if of_lora and self.lora_rank is None:
            raise ValueError(f"{', '.join(of_lora)}: there are no products without a rank; give lora_rank")
        if self.lora_rank is not None and self.freeze is not None:
            raise ValueError("lora_rank freezes all that is trained; leave freeze out")
        changed = [name for name in given if name not in ("start_from", "accept_licence", "freeze", *of_lora)]
        if of_lora and changed and not self.lora_merge:
            raise ValueError(
                f"{', '.join(changed)} with lora_rank: an adapter belongs to the model as it was; do this in a run of "
                "its own, which the next one starts from, or set lora_merge = true"
            )


class TrainingRecipe(_Table, frozen=True):
    """Training: task, duration, optimizer, evaluation. A task with choices of its own adds them in a subclass."""

    deprecated_names: ClassVar[Mapping[str, str]] = {
        "evaluations": "num_evaluations",
        "clip": "max_grad_norm",
        "log_steps": "logging_steps",
        "average_decay": "ema_decay",
    }

    task: str = Field(description="a name in reformer.tasks.registry.TASKS")
    epochs: Positive | None = Field(None, description="end after so many passes over the training documents")
    max_steps: AtLeastOne | None = Field(None, description="end after so many optimizer steps")
    max_minutes: Positive | None = Field(
        None, description="end after so many minutes, the learning rate having decayed by then"
    )
    learning_rate: Positive = Field(1e-3, description="the highest learning rate, met after the warm-up")
    warmup_ratio: Fraction = Field(0.05, description="the part of the run in which the learning rate rises")
    weight_decay: Annotated[float, Field(ge=0)] = Field(
        0.01, description="weight decay of AdamW; biases and norms have none"
    )
    head_lasso: Positive | None = Field(
        None,
        description="strength of a group lasso that shrinks the output weights of each head, down to zero; none: no "
        "lasso",
    )
    layer_lasso: Positive | None = Field(None, description="the same for all output weights of a layer")
    final_dropout: Fraction | None = Field(
        None, description="move model.hidden_dropout_prob linearly to this over the run; none: it stays"
    )
    dropout_until: Annotated[float, Field(gt=0, lt=1)] | None = Field(
        None, description="set model.hidden_dropout_prob to 0 after this part of the run"
    )
    batch_tokens: AtLeastOne | None = Field(
        16384,
        description="the most tokens in a batch, padding included; a longer document or sequence is one of its own",
    )
    batch_size: AtLeastOne | None = Field(None, description="the most documents or sequences in a batch")
    gradient_accumulation: AtLeastOne = Field(1, description="batches to an optimizer step")
    sequence_parallel: AtLeastOne = Field(
        1,
        description="processes that hold a part of the tokens of each document or sequence; torchrun must begin a "
        "multiple of so many",
    )
    fsdp: bool = Field(
        False,
        description="shard weights, gradients and the optimizer's state between the processes that torchrun begins; "
        "checkpoints are then sharded too, and any number of processes can go on with them",
    )
    max_grad_norm: Annotated[float, Field(ge=0)] = Field(
        1.0, description="gradients of a greater norm are scaled down to it; 0: none is"
    )
    ema_decay: Fraction | None = Field(
        None,
        description="evaluate and keep an exponential moving average of the weights, with this decay a step; none: the "
        "weights themselves",
    )
    baseline: Literal["auto", "none"] = Field(
        "auto",
        description="auto: before the first step, measure the classical method of the task on the same data, where "
        "there is one, to compare with; none: do not",
    )
    num_evaluations: AtLeastOne = Field(
        10, description="how often to evaluate and to save a checkpoint, evenly over the run"
    )
    early_stopping_patience: AtLeastOne | None = Field(
        None, description="end after so many evaluations without a better one"
    )
    logging_steps: AtLeastOne = Field(10, description="steps between two recorded losses")
    report_to: list[Literal["tensorboard", "wandb", "mlflow", "trackio"]] | None = Field(
        None,
        description="the trackers that are told of losses and scores: tensorboard (in the run folder), wandb, mlflow, "
        "trackio, the last three set up by their own environment variables; none: tensorboard alone",
    )
    inspect_examples: AtLeastOne | None = Field(
        None,
        description="at each evaluation, look at the hashed layers on so many documents or sequences of the validation "
        "part, as `reformer inspect` does, and tell the trackers; none: do not",
    )
    seed: Annotated[int, Field(ge=0, lt=2**32)] = Field(
        0, description="random seed of weights, order, dropout and split"
    )
    precision: Literal["auto", "float32", "bfloat16"] = Field(
        "auto",
        description="precision of matrix products in the model; auto: bfloat16 where it is multiplied natively",
    )
    device: Literal["auto", "cpu"] = Field("auto", description="auto: a GPU where there is one")
    num_threads: AtLeastOne | None = Field(
        None, description="threads, each of which computes a part of a batch's sequences; none: PyTorch's choice"
    )

    @model_validator(mode="after")
    def _bounded(self) -> Self:
        if self.epochs is None and self.max_steps is None and self.max_minutes is None:
            raise ValueError("nothing says when to end; give epochs, max_steps or max_minutes")
        if self.batch_tokens is None and self.batch_size is None:
            raise ValueError("nothing bounds a batch; give batch_tokens or batch_size")
        if self.ema_decay is not None and (self.head_lasso is not None or self.layer_lasso is not None):
            raise ValueError("ema_decay with head_lasso or layer_lasso: an average of weights has no zeros")
        if self.inspect_examples is not None and self.report_to == []:
            raise ValueError("inspect_examples with report_to = []: there is no tracker to tell; name one")
        return self


class Recipe(_Table, frozen=True):
    """All tables of a run. `model` holds fields of `ReformerConfig`, but for those that data and tokenizer decide.

    A task with fields of its own has a subclass, `Task.recipe_type`, which `read_recipe` and `checked_recipe` make.
    """

    data: DataRecipe
    tokenizer: TokenizerRecipe = Field(default_factory=lambda: TokenizerRecipe.model_validate({}))
    model: dict[str, Any] = Field(default_factory=dict)
    finetune: FinetuneRecipe = Field(default_factory=lambda: FinetuneRecipe.model_validate({}))
    training: TrainingRecipe

    @model_validator(mode="after")
    def _start_is_named(self) -> Self:
        if self.tokenizer.kind == FROM_START and self.finetune.start_from is None:
            raise ValueError(f'tokenizer.kind = "{FROM_START}": there is no start; give finetune.start_from')
        return self

    @model_validator(mode="after")
    def _adapter_has_its_vocabulary(self) -> Self:
        if self.tokenizer.vocabulary == "used" and self.finetune.lora_rank is not None and not self.finetune.lora_merge:
            raise ValueError(
                'tokenizer.vocabulary = "used" with finetune.lora_rank: an adapter belongs to the model with all its '
                "tokens; leave vocabulary out, or set finetune.lora_merge = true"
            )
        return self


def table_types(recipe_type: type[Recipe]) -> dict[str, type[_Table]]:
    """The tables that have fields of their own, by name: all but `model`."""
    annotations = {name: field.annotation for name, field in recipe_type.model_fields.items()}
    return {name: kind for name, kind in annotations.items() if isinstance(kind, type) and issubclass(kind, _Table)}


def deprecated_fields(recipe_type: type[Recipe]) -> dict[tuple[str, str], str]:
    """Today's name of each field that had another one, by its table and that other name."""
    return {
        (table, old): new
        for table, kind in table_types(recipe_type).items()
        for parent in kind.__mro__
        for old, new in vars(parent).get("deprecated_names", {}).items()
    }


class RecipeError(ReformerError):
    """A recipe that cannot be read, or that asks for what does not exist."""


def nearest_name(name: str, known: Iterable[str]) -> str:
    """The end of a message about an unknown name: the known one that is spelt most like it, or all of them."""
    known = sorted(known)
    close = difflib.get_close_matches(name, known, n=1)
    return f"; did you mean {close[0]}?" if close else f"; there are {', '.join(known)}"
