"""A recipe: every choice of one training run, checked before anything is read or computed."""

import difflib
from collections.abc import Iterable
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from reformer.errors import ReformerError

Fraction = Annotated[float, Field(ge=0, lt=1)]
AtLeastOne = Annotated[int, Field(ge=1)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class _Table(BaseModel):
    """One table of the file: no field is unknown, none is converted, none changes later."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class DataRecipe(_Table):
    """Where the documents come from, and how long they are."""

    source: str | None = Field(None, description="a data set of `reformer data list`, as `index:people-daily`")
    train: str | None = Field(
        None, description="a file to learn from, instead of a source; for language models a folder of texts, too"
    )
    validation: str | None = Field(None, description="a file to choose the best weights with")
    test: str | None = Field(None, description="a file to report on at the end")
    format: str | None = Field(None, description="the files' format, if their names do not tell it")
    text_column: str | None = Field(
        None,
        description="the column of a table, or the field of JSONL, that has the text; none: text, of pairs: source",
    )
    label_column: str | None = Field(None, description="the one that has the label; none: label, of pairs: target")
    max_length: AtLeastOne | None = Field(
        None,
        description="join neighbouring texts to documents of at most so many characters; none: do not join, of a "
        "cloze to pages of 4,000",
    )
    separator: str = Field("\n", description="what stands between joined texts")
    validation_fraction: Annotated[float, Field(gt=0, lt=1)] = Field(
        0.05,
        description="how much of the training documents, or of the text's end, to hold out when there is no "
        "validation file",
    )

    sequence_length: Annotated[int, Field(ge=2)] | None = Field(
        None, description="for language models: cut running text into sequences of so many tokens"
    )
    measure_tokens: AtLeastOne | None = Field(
        None,
        description="for language models: measure on about so many tokens of the validation text and of the test "
        "text, spread over them evenly; none: on all",
    )

    date_columns: list[str] | None = Field(
        None,
        description="for forecasting: the column of dates, or those of year, month, day, hour, minute; none: the first "
        "that begins with a date",
    )
    columns: list[str] | None = Field(
        None, description="for forecasting: the columns to foretell; none: all that begin with a number"
    )
    context_length: AtLeastOne | None = Field(None, description="for forecasting: from how many steps to foretell")
    horizon: AtLeastOne | None = Field(None, description="for forecasting: how many steps to foretell")
    season: AtLeastOne | None = Field(
        None,
        description="for forecasting: after how many steps a series is like itself, such as 24 for hours; errors are "
        "measured against repeating the last season; none: 1, the last value",
    )
    test_fraction: Annotated[float, Field(gt=0, lt=1)] | None = Field(
        None, description="for forecasting: how much of the series' end to report on; none: nothing, or the test file"
    )

    @model_validator(mode="after")
    def _one_origin(self) -> Self:
        if (self.source is None) == (self.train is None):
            raise ValueError("expected either source or train")
        fields = ("validation", "test", "format", "text_column", "label_column")
        files = [name for name in fields if getattr(self, name) is not None]
        if self.source is not None and files:
            raise ValueError(f"a source has its own split and format; leave out {', '.join(files)}")
        if self.source is not None and not self.source.startswith("index:"):
            raise ValueError(f"source = {self.source!r}: expected index:NAME; for a file of yours give train")
        return self


FROM_START = "start"


class TokenizerRecipe(_Table):
    """What a token is."""

    kind: str = Field(
        "character",
        description="character, byte, the folder or name of a tokenizer, or start: that of the model which "
        "finetune.start_from names, the only choice there",
    )
    vocab_size: AtLeastOne | None = Field(None, description="the most characters to know")
    min_frequency: AtLeastOne | None = Field(
        None, description="how often a character must occur to be known; none: once"
    )

    @model_validator(mode="after")
    def _only_characters_are_counted(self) -> Self:
        counted = [name for name in ("vocab_size", "min_frequency") if getattr(self, name) is not None]
        if self.kind != "character" and counted:
            raise ValueError(f"kind = {self.kind!r} has its own vocabulary; leave out {', '.join(counted)}")
        return self


WHICH_GO = {
    "layers": ("keep_layers", "trim_layers", "trim_tolerance"),
    "heads": ("keep_heads", "trim_heads", "trim_heads_tolerance"),
}
"""What can be trimmed, and the fields that say it, of which a recipe gives one."""


class FinetuneRecipe(_Table):
    """How the run begins with a trained model instead of a fresh one."""

    start_from: str | None = Field(
        None,
        description="a run folder, a model's folder, or its name on the hub: begin with its weights, its tokenizer and "
        "its architecture; [model] may then change what leaves the weights as they are",
    )
    freeze: list[str] | Literal["auto"] | None = Field(
        None,
        description="what keeps its weights: embeddings, layers as 0 or 0-3 from the bottom (encoder.0-3 of an "
        "encoder-decoder), patterns of parameters' names; auto: begin with the head alone, and let the next lower "
        "layer learn while the score improves",
    )

    keep_layers: list[int] | None = Field(
        None, description="go on with these layers alone, counted from 0 at the bottom"
    )
    trim_layers: AtLeastOne | None = Field(
        None, description="go on with so many layers: one after the other goes, each time the one that is missed least"
    )
    trim_tolerance: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None = Field(
        None, description="let layers go for as long as the held-out score falls by no more than this"
    )
    keep_heads: list[list[int]] | None = Field(
        None, description="for each layer, the heads to go on with, counted from 0; [] for one that is no attention"
    )
    trim_heads: AtLeastOne | None = Field(
        None, description="go on with so many heads a layer: those go that are missed least when they alone are skipped"
    )
    trim_heads_tolerance: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None = Field(
        None, description="let heads go for as long as the held-out score falls by no more than this"
    )
    distinct_layers: AtLeastOne | None = Field(
        None, description="let the layers share so many layers' weights, each the mean of those it replaces"
    )
    hidden_size: AtLeastOne | None = Field(
        None, description="widen the model to this multiple of its hidden width; its function is at first the same"
    )

    lora_rank: AtLeastOne | None = Field(
        None,
        description="freeze all that is trained, and learn products of two matrices, so narrow, beside projections; "
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
        for what, names in WHICH_GO.items():
            ways = [name for name in names if name in given]
            if len(ways) > 1:
                raise ValueError(f"{' and '.join(ways)} say each which {what} go; give one of them")
        self._check_lora(given)
        return self

    def _check_lora(self, given: list[str]) -> None:
        of_lora = [name for name in given if name.startswith("lora_")]
        if of_lora and self.lora_rank is None:
            raise ValueError(f"{', '.join(of_lora)}: there are no products without a rank; give lora_rank")
        if self.lora_rank is not None and self.freeze is not None:
            raise ValueError("lora_rank freezes all that is trained; leave freeze out")
        changed = [name for name in given if name not in ("start_from", "freeze", *of_lora)]
        if of_lora and changed and not self.lora_merge:
            raise ValueError(
                f"{', '.join(changed)} with lora_rank: an adapter belongs to the model as it was; do this in a run of "
                "its own, which the next one starts from, or set lora_merge = true"
            )


class TrainingRecipe(_Table):
    """What is learned, for how long, and how."""

    task: str = Field(description="a name in reformer.tasks.registry.TASKS")
    epochs: Positive | None = Field(None, description="end after so many passes over the training documents")
    max_steps: AtLeastOne | None = Field(None, description="end after so many optimizer steps")
    max_minutes: Positive | None = Field(
        None, description="end after so many minutes, the learning rate having decayed by then"
    )
    learning_rate: Positive = Field(1e-3, description="the highest learning rate, met after the warm-up")
    warmup_ratio: Fraction = Field(0.05, description="the part of the run in which the learning rate rises")
    weight_decay: Annotated[float, Field(ge=0)] = Field(0.01, description="AdamW's, on matrices alone")
    head_lasso: Positive | None = Field(
        None, description="shrink the output weights of each head at each step, down to zero, so strongly; none: do not"
    )
    layer_lasso: Positive | None = Field(None, description="the same for all that a layer writes with")
    final_dropout: Fraction | None = Field(
        None, description="let model.hidden_dropout_prob move straight to this over the run; none: it stays"
    )
    dropout_until: Annotated[float, Field(gt=0, lt=1)] | None = Field(
        None, description="drop out nothing hidden after this part of the run"
    )
    batch_tokens: AtLeastOne | None = Field(
        16384,
        description="the most tokens in a batch, padding included; a longer document or sequence is one of its own",
    )
    batch_size: AtLeastOne | None = Field(None, description="the most documents or sequences in a batch")
    gradient_accumulation: AtLeastOne = Field(1, description="batches to an optimizer step")
    clip: Annotated[float, Field(ge=0)] = Field(1.0, description="the greatest norm of a gradient; 0: any")
    average_decay: Fraction | None = Field(
        None, description="measure and keep a running average of the weights, of which so much stays at each step"
    )
    evaluations: AtLeastOne = Field(10, description="how often to measure and keep the weights, evenly over the run")
    early_stopping_patience: AtLeastOne | None = Field(
        None, description="end after so many evaluations without a better one"
    )
    mask_ratio: Annotated[float, Field(gt=0, lt=1)] | None = Field(
        None, description="for masked-language-modelling: the part of the tokens that is hidden; none: 0.15"
    )
    answer_types: list[str] | None = Field(
        None,
        description="for token-classification: the types to answer with and to score; what else is tagged is learned "
        "beside them, for what it tells about them; none: all",
    )
    recombination: Fraction | None = Field(
        None,
        description="for token-classification: the probability with which an entity becomes another of its length, "
        "put together from the training documents' entities of its type, at each step anew",
    )
    recombined_types: list[str] | None = Field(None, description="the types to which that happens; none: all")
    log_steps: AtLeastOne = Field(10, description="steps between two recorded losses")
    seed: Annotated[int, Field(ge=0, lt=2**32)] = Field(0, description="of weights, order, dropout and split")
    precision: Literal["auto", "float32", "bfloat16"] = Field(
        "auto", description="of the products in the model; auto: bfloat16 where the machine multiplies it natively"
    )
    device: Literal["auto", "cpu"] = Field("auto", description="auto: a GPU where there is one")
    num_threads: AtLeastOne | None = Field(None, description="threads to compute with; none: PyTorch's choice")

    @field_validator("task")
    @classmethod
    def _known_task(cls, task: str) -> str:
        from reformer.tasks.registry import TASKS

        if task not in TASKS:
            raise ValueError(f"expected one of {', '.join(TASKS)}")
        return task

    @model_validator(mode="after")
    def _bounded(self) -> Self:
        if self.epochs is None and self.max_steps is None and self.max_minutes is None:
            raise ValueError("nothing says when to end; give epochs, max_steps or max_minutes")
        if self.batch_tokens is None and self.batch_size is None:
            raise ValueError("nothing bounds a batch; give batch_tokens or batch_size")
        if self.average_decay is not None and (self.head_lasso is not None or self.layer_lasso is not None):
            raise ValueError("average_decay with head_lasso or layer_lasso: an average of weights has no zeros")
        return self


class Recipe(_Table):
    """A whole run. `model` holds fields of `ReformerConfig`, but for those that data and tokenizer decide."""

    data: DataRecipe
    tokenizer: TokenizerRecipe = Field(default_factory=lambda: TokenizerRecipe.model_validate({}))
    model: dict[str, Any] = Field(default_factory=dict)
    finetune: FinetuneRecipe = Field(default_factory=lambda: FinetuneRecipe.model_validate({}))
    training: TrainingRecipe

    @model_validator(mode="before")
    @classmethod
    def _tokenizer_of_the_start(cls, tables: Any) -> Any:
        from reformer.tasks.registry import TASKS

        match tables:
            case {"finetune": {"start_from": str()}, "training": {"task": str(task)}} if "tokenizer" not in tables:
                of_texts = task in TASKS and TASKS[task].processor_file == "tokenizer.json"
                return tables | {"tokenizer": {"kind": FROM_START}} if of_texts else tables
        return tables

    @model_validator(mode="after")
    def _start_is_named(self) -> Self:
        if self.tokenizer.kind == FROM_START and self.finetune.start_from is None:
            raise ValueError(f'tokenizer.kind = "{FROM_START}": there is no start; give finetune.start_from')
        return self

    @model_validator(mode="after")
    def _as_the_task_needs(self) -> Self:
        from reformer.tasks.registry import TASKS

        task = TASKS[self.training.task]
        for field in sorted(frozenset().union(*(other.recipe_fields for other in TASKS.values())) - task.recipe_fields):
            table, _, name = field.partition(".")
            if dict(getattr(self, table)).get(name) is not None:
                knowing = " and ".join(known for known, other in TASKS.items() if field in other.recipe_fields)
                raise ValueError(f"{field} is for {knowing}; leave it out for {self.training.task}")
        task.check_recipe(self)
        return self


class RecipeError(ReformerError):
    """A recipe that cannot be read, or that asks for what does not exist."""


def _nearest(name: str, known: Iterable[str]) -> str:
    known = sorted(known)
    close = difflib.get_close_matches(name, known, n=1)
    return f"; did you mean {close[0]}?" if close else f"; there are {', '.join(known)}"
