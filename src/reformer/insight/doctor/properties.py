"""The promises that a model is examined for, each with how it is measured and by how much it may be missed."""

import torch

from reformer.insight.doctor import gradients, invariance, state
from reformer.insight.doctor.examination import Property

FLOAT32, FLOAT64 = (torch.float32,), (torch.float64,)

PROPERTIES: tuple[Property, ...] = (
    Property(
        "padding on the right",
        "Padding behind a text changes nothing.",
        *(invariance.padding_on("right"), 1e-5, invariance.refuses_padding_on("right")),
    ),
    Property(
        "padding on the left",
        "Padding before a text changes nothing.",
        *(invariance.padding_on("left"), 1e-5, invariance.refuses_padding_on("left")),
    ),
    Property("batch-mates", "The other rows of a batch change nothing.", invariance.batch_mates, 1e-5),
    Property(
        "causality",
        "A token changes no output before it.",
        *(invariance.causality, 1e-5, invariance.refuses_causality),
    ),
    Property(
        "pieces",
        "A text that is read in pieces gives what it gives at once.",
        *(invariance.pieces, 1e-4, invariance.refuses_pieces),
        # A sharp model makes much of the digits in which positions of a piece round otherwise.
        exact=1e-7,
    ),
    Property("lengths", "Every length trains.", invariance.lengths, 0.0, dtypes=FLOAT32),
    Property(
        "determinism",
        "Evaluation gives the same answer to the same inputs, bit for bit.",
        *(state.determinism, 0.0),
        dtypes=FLOAT32,
    ),
    Property(
        "random state",
        "Evaluation neither reads nor sets the global random state, and training never sets it.",
        *(state.random_state, 0.0),
        dtypes=FLOAT32,
    ),
    Property(
        "side effects",
        "A call changes nothing in the model, its configuration or later answers.",
        *(state.side_effects, 0.0),
        dtypes=FLOAT32,
    ),
    Property(
        "saving",
        "A model that was saved and loaded gives the same answers, bit for bit.",
        *(state.saving, 0.0),
        dtypes=FLOAT32,
    ),
    Property(
        "gradients",
        "Gradients are those of the outputs: central differences agree with them.",
        *(gradients.differences, gradients.BOUND, gradients.refuses_differences),
        exact=gradients.BOUND,
        dtypes=FLOAT64,
    ),
    Property(
        "plain twin",
        "Layers that are run again in the backward pass have the gradients of layers that are not.",
        *(gradients.twin, 1e-4, gradients.refuses_twin),
    ),
    Property(
        "definition",
        "Attention by fast kernels is attention by its definition, in values and gradients.",
        *(gradients.definition, 1e-4, gradients.refuses_definition),
        dtypes=(torch.float32, torch.float64),
    ),
)
"""In the order in which they are tried."""
