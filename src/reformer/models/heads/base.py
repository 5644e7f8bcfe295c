"""Base class of the heads, and the cross entropy of labelled tokens."""

from collections.abc import Mapping
from typing import Any, TypeVar, cast

from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from transformers.utils.generic import ModelOutput

from reformer.models.backbone import ReformerModel
from reformer.models.base import ReformerPreTrainedModel
from reformer.models.configuration import ReformerConfig
from reformer.nn import NgramLogits
from reformer.nn.dropout import Dropout
from reformer.nn.sequence_part import NeedsWholeRows, SequencePart
from reformer.ops import linear_cross_entropy

AnyOutput = TypeVar("AnyOutput", bound=ModelOutput)

IGNORE_INDEX = -100
"""The label of a token that no loss counts, as PyTorch and transformers have it."""


def token_loss(
    hidden: Float[Tensor, "batch length streams"],
    output: nn.Linear,
    labels: Int[Tensor, "batch length"],
    num_items_in_batch: Tensor | int | None,
    label_smoothing: float = 0.0,
    part: SequencePart | None = None,
) -> Float[Tensor, ""]:
    """Mean cross entropy over the labels that are not `IGNORE_INDEX`, or their sum over a count given from outside, as
    gradient accumulation over unequal batches needs it. The logits are never held whole. Of a part of the rows, the
    mean is over all labels of whole rows."""
    if labels.shape != hidden.shape[:2]:
        raise ValueError(f"labels have shape {tuple(labels.shape)}, expected {tuple(hidden.shape[:2])}")
    reduction = "mean" if num_items_in_batch is None and part is None else "sum"
    loss = linear_cross_entropy(
        hidden.flatten(0, 1),
        output.weight,
        labels.flatten(),
        output.bias,
        ignore_index=IGNORE_INDEX,
        label_smoothing=label_smoothing,
        reduction=reduction,
    )
    if part is not None:
        every = num_items_in_batch
        if every is None:
            every = part.sum((labels != IGNORE_INDEX).sum()).clamp_min(1)
        return part.total(loss / every)
    return loss if num_items_in_batch is None else loss / num_items_in_batch


class Head(ReformerPreTrainedModel, NeedsWholeRows):
    """Base class of a head over a backbone named `reformer`."""

    backbone: type[ReformerPreTrainedModel] = ReformerModel
    reads: tuple[str, ...] = ()
    """Names of the modules that embed the input, where the backbone has no embeddings for it."""
    smooths: bool = True
    """Whether the targets are classes, which `label_smoothing` needs."""

    labels_of_tokens: bool = True
    """Whether `labels` have an entry for each token of a row, and not for each text."""

    has_wide_part: bool = False
    """Whether logits of n-grams are added to its own, which `wide_sizes` asks for."""

    has_question: bool = False
    """Whether its input is a question and a document, which `question_match_sizes` compares."""

    def __init__(self, config: ReformerConfig) -> None:
        super().__init__(config)
        if config.question_match_sizes and not self.has_question:
            raise ValueError(
                f"question_match_sizes={list(config.question_match_sizes)} has no effect on {type(self).__name__}, "
                "which is asked no questions; leave it out"
            )
        if config.wide_sizes and not self.has_wide_part:
            raise ValueError(
                f"wide_sizes={list(config.wide_sizes)} has no effect on {type(self).__name__}, which classifies "
                "neither tokens nor sequences; leave it out"
            )
        if config.label_smoothing and not self.smooths:
            raise ValueError(
                f"label_smoothing={config.label_smoothing} has no effect on {type(self).__name__}, whose targets are "
                "no classes; leave it out"
            )
        self.reformer = self.backbone(config)

    def _part(
        self, attention_mask: Tensor | None, given: Tensor | None
    ) -> tuple[SequencePart | None, Bool[Tensor, "batch all"] | None]:
        """This process's part of the rows and the mask of whole ones, where other processes hold the rest of them."""
        # Type checkers see any module in `self.reformer`, which may be a pair of stacks.
        backbone: Any = self.reformer
        found = backbone.part(attention_mask, given) if hasattr(backbone, "part") else None
        return (None, None) if found is None else found

    def _encode(
        self,
        input_ids: Tensor | None,
        attention_mask: Tensor | None,
        inputs_embeds: Tensor | None,
        num_rounds: int | None,
        others: Mapping[str, Any],
        *,
        packs: bool = False,
    ) -> tuple[Float[Tensor, "batch length streams"], tuple[Tensor, ...] | None]:
        """The backbone's streams, and the hidden states where they are asked for.

        Args:
            others: further arguments of the call, which the backbone takes or refuses.
            packs: the head scores each token alone, so that several documents may stand in a row.

        Raises:
            ValueError: several documents in a row, of which the head would make one.
        """
        # Type checkers see any module in `self.reformer`.
        backbone: Any = self.reformer
        packed = None if packs else backbone.packed_rows(others, attention_mask, input_ids, inputs_embeds)
        if packed is not None and packed.several:
            raise ValueError(
                f"several documents in a row, for {type(self).__name__}, which makes one of a row; give each its own"
            )
        found = backbone(input_ids, attention_mask, inputs_embeds, num_rounds=num_rounds, return_dict=True, **others)
        return found.last_hidden_state, found.hidden_states

    def _wide_logits(
        self,
        wide: NgramLogits,
        input_ids: Tensor | None,
        mask: Bool[Tensor, "batch length"],
        given: Float[Tensor, "batch ..."] | None = None,
    ) -> Float[Tensor, "batch ..."]:
        """The logits of the wide part, which reads token ids; or those that are given, of which training leaves out as
        many."""
        if given is not None:
            return wide.kept(given)
        if input_ids is None:
            raise ValueError("inputs_embeds with wide_sizes: groups of tokens need their ids; give input_ids")
        return wide(input_ids, mask)

    def _classifier_dropout(self) -> Dropout:
        given = self.config.classifier_dropout
        return Dropout(float(self.config.hidden_dropout_prob if given is None else given))

    @property
    def _smoothing(self) -> float:
        """Label smoothing of this pass, which only training has."""
        return float(self.config.label_smoothing) if self.training else 0.0

    def _wants_logits(self, labels: Tensor | None, asked: bool | None) -> bool:
        return (labels is None or not self.training) if asked is None else asked

    def _answer(self, output: AnyOutput, return_dict: bool | None) -> AnyOutput:
        """The output, or a plain tuple of what is in it; that it is one is for whoever asks for it to know."""
        wants_dict = self.config.return_dict if return_dict is None else return_dict
        return output if wants_dict else cast(AnyOutput, output.to_tuple())
