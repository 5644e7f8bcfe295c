"""Fields that make no sense, alone or together: an error says what was given and what was expected."""

import math

import pytest

from reformer.models import ReformerConfig
from tests.contract.models import AXIAL, SMALL

YARN = {"rope_type": "yarn", "factor": 2.0, "original_max_position_embeddings": 64}


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (
            {"attention_layers": ["local", "nearby"]},
            "has 'nearby'; expected 'full', 'local', 'lsh', 'local\\+lsh', 'fourier'",
        ),
        ({"attention_layers": []}, "at least one layer"),
        ({"attention_layers": [[]]}, r"has \[\], a layer without any head; expected at least one"),
        ({"num_buckets": 7}, "buckets=7: expected an even number"),
        ({"num_buckets": [4, 3]}, "3 is not"),
        ({"num_buckets": 2 * 1009}, "cannot be split into even factors"),
        ({"hidden_size": 2**70}, "hidden_size=1180591620717411303424: expected at most 131,072"),
        ({"num_rounds": 0}, "num_rounds=0: expected at least 1"),
        ({"local_window": 0}, "local_window=0"),
        ({"attention_head_size": 15}, "rotary positions need an even width"),
        ({**AXIAL, "axial_pos_shape": [4, 4]}, "holds 16 positions"),
        ({**AXIAL, "axial_pos_embds_dim": [12, 12]}, "adds up to 24"),
        ({**AXIAL, "axial_pos_shape": None}, "need both"),
        ({"hidden_dropout_prob": 1.0}, "expected a probability"),
        ({"convolution_kernel": 4}, "an odd width"),
        ({"projection_kernel": 2}, "projection_kernel=2: expected 0"),
        ({"bottleneck_size": -1}, "bottleneck_size=-1"),
        ({"embedding_size": 0}, "embedding_size=0: expected at least 1"),
        (
            {"attention_layers": [["local", "local", "fourier", "lsh"]]},
            "has 'fourier'; expected 'full', 'local', 'lsh'",
        ),
        ({"attention_layers": ["fourier"], "fourier_kernel": 0}, "fourier_kernel=0"),
        (
            {"feed_forward_linear": "circulant", "circulant_block": 5},
            "circulant_block=5 does not divide hidden_size=32",
        ),
        ({"shortened_layers": [3]}, r"shortened_layers=\[3\]: expected the first layer"),
        ({"shortened_layers": [2, 7]}, "within 0 and 6"),
        ({"shortened_layers": [1, 3], "shorten_stride": 1}, "shortens nothing"),
        ({"shortened_layers": [1, 3], "shorten_stride": 6}, "shorten_stride=6 with fusion_kernel=5 would skip"),
        ({"shortened_layers": [1, 3], "residual_streams": 1, "reversible": False}, "no hourglass of one stream"),
        ({"classifier_pooling": "fusion", "fusion_stride": 6}, "fusion_stride=6 with fusion_kernel=5 would skip"),
        ({"classifier_pooling": "fusion", "fusion_ranges": [1]}, "ranges of at least 2 steps"),
        ({"classifier_pooling": "fusion", "fusion_size": 0}, "fusion_size=0: expected at least 1"),
        ({"residual_streams": 1}, "an input can be found again only from two streams"),
        ({"image_size": [8, 8, 8]}, r"image_size=\[8, 8, 8\]: expected a height and a width of at least 1"),
        ({"image_size": [8, 0]}, r"image_size=\[8, 0\]: expected a height and a width of at least 1"),
        ({"residual_streams": 3}, "residual_streams=3: expected 2, or 1"),
        ({"num_distinct_layers": 0}, "num_distinct_layers=0: expected 1 to 6"),
        ({"num_distinct_layers": 7}, "num_distinct_layers=7: expected 1 to 6"),
        (
            {"num_distinct_layers": 3},
            "in attention_layers, layer 3 is 'lsh' and layer 0, whose weights it would use, 'local'; .* every 3",
        ),
        ({"chunk_size_feed_forward": -1}, "chunk_size_feed_forward=-1"),
        ({"norm_order": "post"}, "norm_order='post' with residual_streams=2: .* set residual_streams to 1"),
        ({"hashed_scores": "dot"}, "no length of its own; set shared_query_key=False"),
        ({"global_tokens": [1, 1]}, r"global_tokens=\[1, 1\]: expected different places"),
        ({"global_tokens": [0, -1], "is_decoder": True}, "seen ahead of time; give places from the beginning"),
        ({"rope_theta": {"ful": 1.0}}, r"rope_theta has \['ful'\]; expected a number, or one for each of full"),
        ({"rope_theta": {"local": 10}}, r"none for \['lsh'\], which layers are of"),
        ({"rope_theta": 0}, "rope_theta=0: expected more than 0"),
        ({"partial_rotary_factor": 0.2}, "partial_rotary_factor=0.2 of attention_head_size=16 turns 3 channels"),
        ({"partial_rotary_factor": 1.5}, "partial_rotary_factor=1.5: expected a share above 0 and up to 1"),
        ({"partial_rotary_factor": math.inf}, "partial_rotary_factor=inf: expected a share"),
        ({"rotary_scaling": YARN | {"factor": 10**400}}, "factor must be a number above 0, and at most"),
        ({"rotary_scaling": {"rope_type": "dynamic"}}, "expected a rope_type of linear, llama3, yarn"),
        ({"rotary_scaling": {"factor": 2.0}}, "expected a rope_type of linear, llama3, yarn"),
        ({"rotary_scaling": {"rope_type": "linear"}}, "factor is missing for the type 'linear'"),
        ({"rotary_scaling": YARN | {"mscale": 2.0}}, "mscale is unknown for the type 'yarn'"),
        ({"rotary_scaling": YARN | {"truncate": 1.0}}, "expected truncate=True or False"),
        ({"rotary_scaling": YARN | {"beta_fast": 0.5, "beta_slow": 1.0}}, "expected beta_slow below beta_fast"),
        ({"rotary_scaling": YARN | {"beta_fast": "1"}}, "beta_fast must be a number above 0"),
        ({"rotary_scaling": YARN | {"factor": 0.5}}, "expected a factor of at least 1"),
        ({"rotary_scaling": YARN | {"factor": math.nan}}, "factor must be a number above 0"),
        ({"rotary_scaling": YARN, "rope_theta": 1.0}, "rope_theta=1.0: expected a base above 1"),
        ({"rotary_scaling": YARN}, "keys that are unit vectors; set attention_factor to 1.0, or shared_query_key"),
    ],
)
def test_bad_configurations(fields, message):
    with pytest.raises(ValueError, match=message):
        ReformerConfig(**{**SMALL, **fields})


@pytest.mark.parametrize("fields", [{"hidden_act": "tanh"}, {"hidden_size": "wide"}, {"position_embedding_type": "x"}])
def test_configurations_of_the_wrong_type(fields):
    with pytest.raises(Exception, match=next(iter(fields))):
        ReformerConfig(**{**SMALL, **fields})
