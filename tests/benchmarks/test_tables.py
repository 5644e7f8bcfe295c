"""The tables of memory and of learning say what their rows say."""

from types import SimpleNamespace

import pytest
import torch

from benchmarks import learning_tables, memory_tables
from benchmarks.case import ContractError
from benchmarks.contenders import byte_lm, copy_reverse, options, synthetic, translation
from benchmarks.learning import Plan

MEGABYTE = 1 << 20


def _row(contender, length, seconds=1.0, megabytes=100, action="step", **facts):
    return {
        "contender": contender,
        "length": length,
        "action": action,
        "median_seconds": seconds,
        "peak_bytes": megabytes * MEGABYTE,
        "facts": facts,
    }


def _result(rows, actions=("step",), axis="tokens"):
    contracts = dict.fromkeys((row["contender"] for row in rows), "seen")
    return {"rows": rows, "actions": list(actions), "axis": axis, "contracts": contracts}


def test_what_a_layer_adds_is_told_beside_its_parameters():
    rows = [
        _row("ours", 6, 1.0, 100, parameters=0),
        _row("ours", 24, 1.0, 640, parameters=18 * MEGABYTE),
        {"contender": "full", "length": 6, "action": "step", "skipped": "does not fit: about 30 GB"},
    ]
    text = memory_tables.growth(_result(rows, axis="layers"))
    assert "ours, 6 to 24 layers: 30.0 MB a layer, of which 16.0 MB are parameters" in text
    assert "14.0 MB beyond" in text
    assert "- full, 6: does not fit: about 30 GB." in text


def test_a_token_of_a_long_sequence_is_compared_with_one_of_a_short_one():
    rows = [_row("ours", 1024, 1.0), _row("ours", 4096, 4.4)]
    assert "a token of 4k takes 1.10x one of 1k" in memory_tables.million(_result(rows))


def test_new_tokens_are_compared_with_those_after_a_short_text():
    rows = [_row("ours", at, seconds, tokens=32, cache_bytes=MEGABYTE) for at, seconds in ((1024, 1.0), (4096, 1.2))]
    assert "after 4k tokens 1.20x the time that it takes after 1k" in memory_tables.decoding(_result(rows))


def test_the_time_of_a_billion_tokens_is_carried_on_from_the_last():
    rows = [_row("ours", 10**at, 10.0**at / 1e6, state_bytes=5, process_bytes=MEGABYTE) for at in (5, 6)]
    text = memory_tables.streaming(_result(rows))
    assert "10^9 tokens take 16.7 minutes" in text
    assert "Memory differs by 0.0%" in text


def test_a_cell_below_the_papers_is_named():
    facts = {"full": 1.0, "LSH-8": 1.0, "LSH-4": 0.998, "LSH-2": 0.995, "LSH-1": 0.93}
    row = _row("LSH-4", 256, action="train", steps=3, training_seconds=1.0, **facts)
    text = learning_tables.duplication(_result([row], ("train",)))
    assert "99.8 (99.9)" in text
    assert "Below the paper's: LSH-4 with LSH-4." in text
    row["facts"]["LSH-4"] = 0.9987
    assert "Every cell is at or above" in learning_tables.duplication(_result([row], ("train",)))


@pytest.mark.parametrize("length", [128, 256])
def test_needles_are_asked_for_at_the_end_with_the_values_they_were_hidden_with(length):
    torch.manual_seed(0)
    ids, labels = synthetic.needles(length, 5)
    count = min(32, length // 16)
    assert int((labels >= 0).sum()) == 5 * count
    for row in ids.tolist():
        hay, asked = row[: length - 3 * count], row[length - 3 * count :]
        hidden = {hay[at + 1]: hay[at + 2] for at, token in enumerate(hay) if token == synthetic.MARK}
        assert len(hidden) == count
        assert hidden == {asked[at + 1]: asked[at + 2] for at in range(0, 3 * count, 3)}


def test_counting_is_told_by_the_last_two_numbers():
    ids, labels = synthetic.increment(50, 3)
    step = (ids[:, 1] - ids[:, 0]) % synthetic.NUMBERS
    assert torch.equal((ids[:, 1:] - ids[:, :-1]) % synthetic.NUMBERS, step[:, None].expand(-1, 49))
    assert (labels[:, :2] == -100).all()
    assert torch.equal(labels[:, 2:], ids[:, 2:])


@pytest.mark.parametrize("kind", synthetic.KINDS)
def test_every_kind_learns_a_task_and_a_text(kind):
    facts = synthetic.train("increment", kind, 32, Plan(3), tokens=64)
    assert 0 <= facts["accuracy"] <= 1
    text = torch.randint(0, 256, (256,), dtype=torch.uint8)
    facts = byte_lm.train(kind, 64, text, text, Plan(2), 128)
    assert facts["bits"] > 0
    assert facts["far bytes"] == 0


def test_how_far_back_a_context_was_read():
    content = torch.randint(0, 256, (600,), generator=torch.Generator().manual_seed(0))
    twice = torch.cat((content, content))
    found = byte_lm.last_seen(twice)
    assert (found[:608] == 0).all()
    assert (found[608:] == 600).all()
    assert byte_lm.score(byte_lm.model("local", 2048), twice[None])["far bytes"] == 592


def test_the_table_of_bits_says_by_how_much():
    facts = dict.fromkeys(learning_tables.MEASURES, 2.0) | {"training_seconds": 1.0, "tokens": 9}
    facts |= {"far bytes": 1, "near bytes": 2, "new bytes": 3}
    rows = [
        _row(kind, 4096, action="train", **(facts | {"bits": bits}))
        for kind, bits in (("full", 2.0), ("local", 2.2), ("local+lsh", 2.01))
    ]
    text = learning_tables.byte_lm(_result(rows, ("train",)))
    assert "local+lsh against full: +0.50% of all, +0.00%" in text
    assert "local+lsh against local: -8.64% of all" in text


def test_accuracies_are_told_by_task_and_kind():
    rows = [
        _row(f"copy: {kind}", 4096, accuracy=part, trained_length=length, training_seconds=2.0)
        | {"task": "copy", "kind": kind}
        for kind, part, length in (("full", 1.0, 4096), ("local", 0.01, 128))
    ]
    assert "| copy | 100.0 | 1.0 (trained to 128) |" in learning_tables.synthetic(_result(rows))


def test_sequences_get_longer_once_the_loss_is_small():
    lesson = synthetic.Lesson(Told([9.0, 0.1, 9.0, 0.1, 0.1, 0.1]), synthetic.increment, 256, 512)
    lengths = []
    for step in range(6):
        ids, labels = lesson.draw(step)
        lengths.append(tuple(ids.shape))
        lesson(input_ids=ids, labels=labels)
    assert lengths == [(8, 64), (8, 64), (4, 128), (4, 128), (2, 256), (2, 256)]


class Told(torch.nn.Module):
    """Stands in for a model: its losses are given."""

    def __init__(self, losses: list[float]) -> None:
        super().__init__()
        self.losses = iter(losses)

    def forward(self, **_: torch.Tensor) -> SimpleNamespace:
        return SimpleNamespace(loss=torch.tensor(next(self.losses)))


@pytest.mark.parametrize("kind", copy_reverse.KINDS)
def test_an_encoder_decoder_is_trained_and_writes(kind):
    facts = copy_reverse.train("reverse", kind, 32, Plan(3), tokens=64)
    assert facts["steps"] == 3
    assert all(0 <= facts[measure] <= 1 for measure in ("accuracy", "written"))


def test_a_run_is_one_token_again_and_again():
    source, target = copy_reverse.pairs("reverse", 100, 3, run=10)
    assert torch.equal(target.flip(1), source)
    changes = (source[:, 1:] != source[:, :-1]).sum(1)
    assert ((changes >= 7) & (changes <= 10)).all()


def test_a_lesson_goes_on_as_the_loss_falls():
    lesson = copy_reverse.Lesson(None, "copy", 400, Plan(10), tokens=800)
    assert lesson.draw(0)[0].shape == (50, copy_reverse.SHORT)
    lesson._go_on(1.0)
    assert lesson.run == 400
    lesson._go_on(0.01)
    assert lesson.run == 50
    assert lesson.draw(1)[0].shape == (2, 400)
    for _ in range(100):
        lesson._go_on(0.4)
    assert lesson.run == 1
    assert (lesson.draw(8)[0].diff() != 0).float().mean() > 0.9
    assert not lesson.told
    lesson.draw(9)
    assert lesson.told


def test_ways_to_fine_tune_are_compared_with_the_start_and_with_the_whole():
    def row(data, way, action="train", **facts):
        return _row(f"{data}: {way}", 80, action=action, **facts) | {"data": data, "way": way}

    common = {"weights": 1000, "learned": 500, "bytes": 4e6}
    rows = [
        row(
            "people-daily", "backward", "step", **{"whole backward": 0.5, "frozen backward": 0.2, "upper backward": 0.1}
        ),
        row("people-daily", "whole", "step", step=0.4),
        row("people-daily", "start", score=0.80, **common),
        row("people-daily", "whole", score=0.83, **common),
        row("people-daily", "trimmed", score=0.81, kept=[0, 1, 3, 5], **common),
        row("people-daily", "shared", score=0.7, **common | {"weights": 450}),
        row("chinese-reviews", "whole", score=0.84, **common),
    ]
    text = learning_tables.fine_tuning(_result(rows, actions=("step", "train")))
    assert "| whole | 0.8300 | 0.8400 | 400 ms |" in text
    assert "frozen 200 ms, 0.40 of it; what is frozen costs 0.25 of what it cost" in text
    assert "Four of six layers (0, 1, 3, 5) have +1.0 points of F1 against the start, and -2.0 against all six" in text
    assert "0.45 of the model's weights" in text


def test_manners_of_reading_are_compared():
    def row(family, manner, action="score", length=4096, seconds=2.0, learned=False, **facts):
        name = f"{family}: {manner}{', learned' * learned}"
        told = {"family": family, "manner": manner, "learned": learned}
        return _row(name, length, seconds, action=action, **facts) | told

    def entities(manner, f1, **more):
        return row(
            "entities", manner, **more, **{"f1": f1, "short f1": f1 - 0.2, "short recall": 0.5, "consistent": 0.9}
        )

    rows = [
        entities("sliding pieces", 0.80),
        entities("windows", 0.82),
        entities("windows", 0.85, learned=True),
        entities("full attention", 0.86, learned=True),
        row("evidence at the end", "windows", learned=True, accuracy=0.7),
        row("evidence at the end", "sliding pieces", learned=True, accuracy=0.75),
        row("entities", "windows", "read", 32 << 10, 3.0, characters=47000, entities=9),
        row("entities", "full attention", "read", 32 << 10, 60.0, characters=47000, entities=9),
        row("entities", "windows", "read", 100 << 10, 9.0, characters=147000, entities=9),
    ]
    text = learning_tables.reading(_result(rows, actions=("train", "score", "read")))
    assert "| windows | in short documents | 0.8200 | 0.6200 | 0.5000 | 0.9000 | 2.00 s | 100 MB |" in text
    assert "| windows | in this manner | 0.7000 | 2.00 s | 100 MB |" in text
    assert "the usual way, entities, weights from short documents: +0.0200 F1, +0.0200 F1, short" in text
    assert "Windows against full attention, entities, each with weights that learned so: -0.0100 F1" in text
    assert "evidence at the end, each with weights that learned so: -0.0500 accuracy" in text
    assert "| full attention | 60.0 s |  |" in text
    assert "Windows take 0.05 of the time of full attention on a text of 32k tokens." in text


def test_translations_are_compared():
    facts = {"chrf": 10.0, "weights": 1000, "steps": 60, "pairs": 8, "training_seconds": 2.0}
    rows = [_row(name, 60, bleu=bleu, **facts) for name, bleu in (("ours", 20.5), ("plain Transformer", 21.0))]
    told = learning_tables.translation(_result(rows))
    assert "| ours | 20.50 | 10.00 | 1,000 | 60 | 8 |" in told
    assert "ours against plain Transformer: -0.50 BLEU." in told
    assert "against" not in learning_tables.translation(_result(rows[:1]))


def test_translation_reads_its_pairs(tmp_path):
    with pytest.raises(ContractError, match="there are no pairs; give --pairs"):
        translation.read_pairs(None)
    file = tmp_path / "pairs.tsv"
    file.write_text('split\tsource\ttarget\ntest\tOpen\t打开\ntrain\t"a\tb"\t甲\n', encoding="utf-8")
    assert translation.read_pairs(file) == {"train": [("a\tb", "甲")], "validation": [], "test": [("Open", "打开")]}


def test_a_translator_is_trained_and_scored(tmp_path):
    pairs = dict.fromkeys(("train", "validation", "test"), translation.CHECK_PAIRS[:6])
    facts = translation.train("ours", 2, pairs, tmp_path)
    assert facts["steps"] == 2
    assert facts["pairs"] == 6
    assert 0 <= facts["bleu"] <= 100


def test_the_layers_called_by_hand_are_the_model_with_all_options_off():
    assert "the model's loss and 51 gradients" in options.by_hand().check()


@pytest.mark.parametrize("name", options.OPTIONS)
def test_every_option_makes_another_model(name):
    fields = options.model(256, **options.OPTIONS[name]).config.to_dict()
    assert (fields == options.model(256).config.to_dict()) == (name == options.OFF)


def test_an_option_is_told_beside_all_off():
    rows = []
    for name, seconds in ((options.BY_HAND, 0.9), (options.OFF, 1.0), ("gated heads", 1.1)):
        step = _row(name, 1024, seconds, parameters=1000) | {"cpu_seconds": seconds}
        rows.append(step | {"family": "ours" if name == options.OFF else name})
    bits = {"bits": 3.5, "bits of seed 0": 3.4, "bits of seed 1": 3.6}
    rows.append(_row("gated heads", 1024, action="train", **bits) | {"family": "gated heads"})
    told = learning_tables.options(_result(rows, ("step", "train")))
    assert "| all off, by hand | 1,000 | 900 ms | 0.90 |  |  |" in told
    assert "| gated heads | 1,000 | 1.10 s | 1.10 | 3.500 | 0.200 |" in told
