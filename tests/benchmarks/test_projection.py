"""What is projected to many processes is what few of them were measured to do."""

import json

import pytest

from benchmarks.contenders.language_models import SHAPE
from benchmarks.projection import Row, memory_of_a_token
from benchmarks.results import FOLDER


@pytest.mark.parametrize("tokens", [262_144, 1_048_576])
def test_bytes_are_those_that_were_counted(tokens):
    told = json.loads((FOLDER / f"parallel-{tokens}.json").read_text())
    for found in told["rows"]:
        if found["processes"] > 1:
            row = Row(tokens, found["processes"], SHAPE["num_attention_heads"], SHAPE["attention_head_size"])
            assert {step["sent"]["heads"] for step in found["steps"]} == {row.sent_to_heads}


def test_memory_of_a_token_is_between_those_measured():
    least, most = memory_of_a_token()
    assert 10_000 < least < most < 20_000
