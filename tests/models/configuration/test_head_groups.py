"""Which heads are alike, and which may share keys."""

import pytest

from reformer.models import ReformerConfig
from reformer.models.configuration.head_groups import head_groups


def test_heads_are_alike_in_kind_and_in_the_windows_they_look_through():
    groups = head_groups(["lsh", "local", "lsh", "local", "full"], 5, [1, 2, 3, 4, 5], [7, 8, 7, 9, 6])
    assert [(group.kind, group.heads) for group in groups] == [
        ("lsh", (0, 2)), ("local", (1,)), ("local", (3,)), ("full", (4,)),
    ]  # fmt: skip
    assert [(groups[1].local_window, groups[0].lsh_window)] == [(2, 7)]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"attention_layers": [["local", "lsh"]]}, "2 entries for num_attention_heads=4; give one for each head"),
        ({"attention_layers": [["local", "lsh", "near", "lsh"]]}, "attention_layers has 'near'; expected 'full'"),
        ({"local_window": [4, 4, 4]}, "3 entries for num_attention_heads=4"),
        ({"lsh_window": [4, 4, 4, 0]}, "expected at least 1"),
        ({"num_key_value_heads": 3}, "expected a divisor of num_attention_heads=4"),
        ({"num_key_value_heads": 2}, "set shared_query_key=False"),
        (
            {"num_key_value_heads": 2, "attention_layers": [["full", "local", "local", "full"]]},
            "make heads that share keys alike",
        ),
    ],
)
def test_what_makes_no_sense_is_refused(fields, message):
    with pytest.raises(ValueError, match=message):
        ReformerConfig(num_attention_heads=4, **fields)
