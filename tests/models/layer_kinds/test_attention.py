"""Fields of attention layers that make no sense, alone or together."""

import pytest

from reformer.models import ReformerConfig


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
def test_heads_that_make_no_sense_are_refused(fields, message):
    with pytest.raises(ValueError, match=message):
        ReformerConfig(num_attention_heads=4, **fields)


def test_heads_that_share_keys_share_a_time_step():
    options = {"attention_layers": ["full"], "num_key_value_heads": 2, "time_bias_length": 9}
    assert ReformerConfig(**options).steps_of_heads == [1, 1, 2, 2]
    with pytest.raises(ValueError, match="neighbouring heads share keys, so they need one time step"):
        ReformerConfig(**options, time_bias_steps=[1, 2, 3, 4])


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"time_bias_length": -1}, "expected 0"),
        ({"time_bias_steps": [1, 2, 3, 4]}, "no effect without a time_bias_length"),
        ({"time_bias_steps": [1, 2], "time_bias_length": 9}, "2 for num_attention_heads=4; give one each"),
    ],
)
def test_a_time_bias_that_makes_no_sense_is_refused(fields, message):
    with pytest.raises(ValueError, match=message):
        ReformerConfig(**fields)


def test_an_order_that_makes_no_sense_is_refused():
    with pytest.raises(ValueError, match="score_polynomial_order=17: expected 1 to 16"):
        ReformerConfig(score_transform="polynomial", score_polynomial_order=17)
