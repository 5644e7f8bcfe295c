"""Pipeline of transformers that predicts with a run folder what `reformer predict` does."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from transformers.pipelines import PIPELINE_REGISTRY
from transformers.pipelines.token_classification import AggregationStrategy, TokenClassificationPipeline

from reformer.data import Document
from reformer.errors import ReformerError
from reformer.models import ReformerForTokenClassification
from reformer.runs.folder import RECIPE, read_calibration
from reformer.runs.recipe_file import read_recipe
from reformer.tasks.base import Run
from reformer.tasks.documents.prediction import predict
from reformer.tasks.predict_options import PredictOptions
from reformer.tasks.registry import TASKS

TASK = "token-classification"


def register_pipeline() -> None:
    """Let `pipeline("token-classification", FOLDER, aggregation_strategy=...)` of transformers give the entities of
    `reformer predict` where the folder is one that `reformer train` has written.

    With each of the strategies `simple`, `first`, `average` and `max` they are those of `reformer predict
    --aggregation-strategy`, with their calibrated scores. Transformers itself takes words for tokens that a space
    parts, by which a Chinese sentence is one word. With the strategy `none`, and with other models, all is as before.

    Example:
        >>> from transformers import pipeline
        >>> register_pipeline()
        >>> label = pipeline("token-classification", "runs/my-recipe", aggregation_strategy="average")  # doctest: +SKIP
    """
    entry = dict(PIPELINE_REGISTRY.supported_tasks[TASK])
    PIPELINE_REGISTRY.supported_tasks[TASK] = entry | {"impl": EntityPipeline}


class EntityPipeline(TokenClassificationPipeline):
    """`TokenClassificationPipeline` whose entities are those of `reformer predict`, for the models of run folders.

    Raises:
        ReformerError: an argument that has no meaning for whole texts, or tokens are asked for where the model labels
            characters.
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._run = _run_of(self.model, self.tokenizer)

    def _sanitize_parameters(self, **options: Any) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
        given = [name for name in ("is_split_into_words", "offset_mapping", "stride", "delimiter") if options.get(name)]
        first, second, third = super()._sanitize_parameters(**options)
        strategy = third.get("aggregation_strategy")
        if strategy is not None:
            first["strategy"] = strategy.value
        first["refused"] = given
        return first, second, third

    def preprocess(self, sentence: Any, offset_mapping: Any = None, **options: Any) -> Iterator[dict[str, Any]]:
        strategy, refused = options.pop("strategy", "none"), options.pop("refused", [])
        if self._run is None or strategy == "none":
            if self._run is not None and self._run.model.config.classifier_reads == "characters":
                raise ReformerError(
                    "aggregation_strategy 'none' lists tokens, and this model labels characters: give simple, first, "
                    "average or max"
                )
            yield from super().preprocess(sentence, offset_mapping, **options)
            return
        if refused or not isinstance(sentence, str):
            what = ", ".join(refused) or f"a {type(sentence).__name__}"
            raise ReformerError(f"{what}: entities are found in texts, which are read whole; give a text as it is")
        yield {"sentence": sentence, "strategy": strategy, "is_last": True}

    def _forward(self, model_inputs: dict[str, Any]) -> dict[str, Any]:
        if "strategy" not in model_inputs:
            return super()._forward(model_inputs)
        assert self._run is not None
        run = replace(self._run, model=self.model)
        # A batch of transformers has lists here.
        several = isinstance(model_inputs["sentence"], list)
        texts = model_inputs["sentence"] if several else [model_inputs["sentence"]]
        strategy = model_inputs["strategy"][0] if several else model_inputs["strategy"]
        run = run.task.as_asked(run, PredictOptions(aggregation_strategy=strategy))
        documents = [Document(text, f"text {number}") for number, text in enumerate(texts, 1)]
        found = [_entities(document, answer) for document, answer in predict(run, documents)]
        entities = found if several else found[0]
        return {"entities": entities, "is_last": model_inputs["is_last"]}

    def postprocess(
        self, all_outputs: Any, aggregation_strategy: Any = AggregationStrategy.NONE, ignore_labels: Any = None
    ) -> list[dict[str, Any]]:
        if "entities" not in all_outputs[0]:
            return super().postprocess(all_outputs, aggregation_strategy, ignore_labels)
        ignored = ["O"] if ignore_labels is None else ignore_labels
        return [entity for each in all_outputs for entity in each["entities"] if entity["entity_group"] not in ignored]


def _entities(document: Document, answer: Any) -> list[dict[str, Any]]:
    return [
        {
            "entity_group": span.label,
            "score": span.score,
            "word": document.text[span.start : span.end],
            "start": span.start,
            "end": span.end,
        }
        for span in answer.spans
    ]


def _run_of(model: Any, tokenizer: Any) -> Run[Any] | None:
    """The run whose folder a model was loaded from; None for other models."""
    if not isinstance(model, ReformerForTokenClassification):
        return None
    folder = Path(model.name_or_path or "")
    if not model.name_or_path or not (folder / RECIPE).is_file():
        return None
    recipe = read_recipe(folder / RECIPE)
    task = TASKS[TASK].for_recipe(recipe)
    return Run(folder, recipe, task, model, tokenizer, read_calibration(folder))
