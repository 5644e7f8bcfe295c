"""chrF and BLEU against sacrebleu."""

import pytest
from sacrebleu import corpus_bleu, corpus_chrf

from reformer.metrics.texts import CharacterMetric, bleu

ENGLISH = (
    ["the cat sat on the mat", "a b", "", "completely other words here", "x"],
    ["the cat is on the mat", "a b c", "nothing was written", "there is nothing alike", "x"],
)
CHINESE = (["北京欢迎你", "今天 天气很好。", "好"], ["北京欢迎您们", "今天天气不好。", "很好"])


@pytest.mark.parametrize("texts", [ENGLISH, CHINESE, ([""], ["北京"]), (["ab"], ["cd"])])
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
