"""Head for extractive question answering: start and end logits of every token."""

from collections.abc import Callable, Mapping
from typing import Any, ClassVar, cast

from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from transformers.modeling_outputs import QuestionAnsweringModelOutput

from reformer.models.backbone import real_tokens
from reformer.models.configuration import ReformerConfig
from reformer.models.heads.base import IGNORE_INDEX, Head
from reformer.nn import QuestionMatches
from reformer.nn.channels import Channels, StreamChannels


class ReformerForQuestionAnswering(Head):
    """Extractive question answering: logits of the answer's first and last token."""

    smooths = False
    has_question = True

    stream_channels: ClassVar[StreamChannels] = {"qa_outputs.weight": {1: Channels.SUMMED}}

    __call__: Callable[..., QuestionAnsweringModelOutput]

    def __init__(self, config: ReformerConfig) -> None:
        super().__init__(config)
        self.qa_outputs = nn.Linear(config.output_size, 2)
        sizes = config.question_match_sizes
        if sizes and config.eos_token_id is None:
            raise ValueError(
                f"question_match_sizes={list(sizes)} without eos_token_id, the token that ends a question; give it, or "
                "leave question_match_sizes out"
            )
        self.question_matches = QuestionMatches(sizes, config.hidden_size) if sizes else None
        self.post_init()

    def forward(
        self,
        input_ids: Int[Tensor, "batch length"] | None = None,
        attention_mask: Tensor | None = None,
        inputs_embeds: Float[Tensor, "batch length hidden"] | None = None,
        start_positions: Int[Tensor, " batch"] | None = None,
        end_positions: Int[Tensor, " batch"] | None = None,
        num_items_in_batch: Tensor | int | None = None,
        num_rounds: int | None = None,
        return_dict: bool | None = None,
        **kwargs: Any,
    ) -> QuestionAnsweringModelOutput:
        """Start and end logits `[batch, length]`, -inf at padding; with both positions the mean of their losses, or the
        sum over `num_items_in_batch`, which `count_items` counts. A position outside the text is ignored."""
        if self.question_matches is not None:
            matched = self._matches(self.question_matches, input_ids, attention_mask)
            given = kwargs.get("added")
            if given is None:
                kwargs["added"] = matched
            elif given.shape == matched.shape:
                # Of another shape, it is the backbone that refuses it.
                kwargs["added"] = given + matched
        hidden, states = self._encode(input_ids, attention_mask, inputs_embeds, num_rounds, kwargs)
        logits = self.qa_outputs(hidden).masked_fill(~real_tokens(attention_mask, hidden)[..., None], float("-inf"))
        start, end = logits.unbind(-1)
        loss = None
        if start_positions is not None and end_positions is not None:
            part, _ = self._part(attention_mask, hidden)
            whole = logits if part is None else part.gather(logits)
            positions = (start_positions, end_positions)
            losses, counts = zip(*map(_position_loss, whole.unbind(-1), positions), strict=True)
            if num_items_in_batch is None:
                loss = (losses[0] / counts[0].clamp_min(1) + losses[1] / counts[1].clamp_min(1)) / 2
            else:
                loss = (losses[0] + losses[1]) / num_items_in_batch
            loss = loss if part is None else part.total(part.once(loss))
        output = QuestionAnsweringModelOutput(
            loss=loss,  # pyright: ignore
            start_logits=start,
            end_logits=end,
            hidden_states=states,
        )
        return self._answer(output, return_dict)

    @staticmethod
    def count_items(batch: Mapping[str, Tensor]) -> Int[Tensor, ""]:
        """How many losses the loss of a batch is the mean of: those of the positions inside of the texts."""
        length = batch["input_ids"].shape[1]
        return _is_inside(batch["start_positions"], length).sum() + _is_inside(batch["end_positions"], length).sum()

    def _matches(
        self, matches: QuestionMatches, input_ids: Tensor | None, attention_mask: Tensor | None
    ) -> Float[Tensor, "batch length hidden"]:
        if input_ids is None:
            raise ValueError("inputs_embeds with question_match_sizes: tokens are compared by ids; give input_ids")
        ends = self.config.eos_token_id
        ends = cast(list[int], ends if isinstance(ends, list) else [ends])
        part, rows = self._part(attention_mask, input_ids)
        if part is None or rows is None:
            return matches(input_ids, real_tokens(attention_mask, input_ids), ends)
        # The question stands in one part, and what is asked of it in all others.
        return matches.project(part.own(matches.features(part.gather(input_ids), rows, ends)))

    def why_whole(self) -> None:
        """None: the logits of whole rows are gathered, which are two numbers a token."""


def _position_loss(
    logits: Float[Tensor, "batch length"], positions: Int[Tensor, " batch"]
) -> tuple[Float[Tensor, ""], Int[Tensor, ""]]:
    """The sum of the losses of the positions inside of the text, and how many there are."""
    inside = _is_inside(positions, logits.shape[1])
    targets = positions.where(inside, IGNORE_INDEX)
    return cross_entropy(logits.float(), targets, ignore_index=IGNORE_INDEX, reduction="sum"), inside.sum()


def _is_inside(positions: Int[Tensor, " batch"], length: int) -> Bool[Tensor, " batch"]:
    return (positions >= 0) & (positions < length)
