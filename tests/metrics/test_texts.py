"""chrF and BLEU against sacrebleu."""

import random
import re

import pytest
from sacrebleu import corpus_bleu, corpus_chrf
from sacrebleu.metrics import BLEU, CHRF

from reformer.metrics.texts import CharacterMetric, bleu

ENGLISH = (
    ["the cat sat on the mat", "a b", "", "completely other words here", "x"],
    ["the cat is on the mat", "a b c", "nothing was written", "there is nothing alike", "x"],
)
CHINESE = (["北京欢迎你", "今天 天气很好。", "好"], ["北京欢迎您们", "今天天气不好。", "很好"])


@pytest.mark.parametrize(
    "texts",
    [ENGLISH, CHINESE, ([""], ["北京"]), (["ab"], ["cd"]), (["Hello there", "Yes, yes"], ["Hello there", "Yes"])],
)
def test_chrf_is_sacrebleus(texts):
    written, asked = texts
    score = CharacterMetric()
    # In parts, as batches and processes bring them.
    score.update(written[:1], asked[:1])
    other = CharacterMetric()
    other.update(written[1:], asked[1:])
    score.counts += other.counts
    expected = corpus_chrf(written, [asked]).score
    found = score.result()
    assert (found["chrf"], found["pairs"]) == (pytest.approx(expected, abs=1e-9), len(written))
    assert found["exact_match"] == sum(map(str.__eq__, written, asked)) / len(written)


def test_bleu_cuts_chinese_by_characters():
    assert bleu(*ENGLISH) == corpus_bleu(ENGLISH[0], [ENGLISH[1]]).score
    assert bleu(*CHINESE) == corpus_bleu(CHINESE[0], [CHINESE[1]], tokenize="zh").score
    assert bleu(*CHINESE) != corpus_bleu(CHINESE[0], [CHINESE[1]]).score


def test_nothing_written_is_no_score():
    assert CharacterMetric().result() == {"chrf": 0.0, "exact_match": 0.0, "pairs": 0}


def test_a_thousand_outputs_score_as_sacrebleu_does():
    pick = random.Random(0)

    def text(longest: int) -> str:
        return "".join(pick.choices("ab c,é北京 ", k=pick.randint(0, longest)))

    for _ in range(1000):
        asked = [text(pick.choice((2, 5, 20))) or "x" for _ in range(pick.randint(1, 3))]
        written = [reference if pick.random() < 0.2 else text(20) for reference in asked]
        score = CharacterMetric()
        score.update(written, asked)
        assert score.result()["chrf"] == pytest.approx(CHRF().corpus_score(written, [asked]).score, abs=1e-9)
        chinese = 2 * len(re.findall("[北京]", "".join(asked))) > sum(map(str.isalpha, "".join(asked)))
        expected = BLEU(tokenize="zh" if chinese else "13a").corpus_score(written, [asked]).score
        assert bleu(written, asked) == pytest.approx(expected, abs=1e-9)
