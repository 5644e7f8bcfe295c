"""A plan's parts add up, grow as attention grows, and leave the model and the random state as they were."""

import json

import pytest
import torch

from reformer.runs.recipe_file import write_recipe
from reformer.tasks.recipe_checks import checked_recipe
from reformer.tasks.registry import TASKS
from reformer.training.plan import plan as planning
from reformer.training.plan.batches import Source
from reformer.training.plan.growth import Growth, Shape, crossing, fitted
from reformer.training.plan.plan import plan_run
from reformer.training.plan.rates import Batches
from reformer.training.plan.trial import Kind, Measured, Trial
from tests.cli.test_cli import reformer
from tests.tiny import language_recipe, ner_recipe, pairs_recipe, series_recipe


def test_a_growth_is_found_from_its_figures():
    for growth in (Growth(3.0, 2.0, 0.0), Growth(1.0, 5e-3, 7e-6)):
        shapes = [Shape(1, 256), Shape(2, 256), Shape(1, 1024), Shape(2, 2048)]
        found = fitted([(shape, growth.at(shape)) for shape in shapes], pairs=growth.per_pair > 0)
        far = Shape(4, 65536)
        assert found.at(far) == pytest.approx(growth.at(far), rel=1e-6)
    # The last figure counts most: the smaller ones fill neither caches nor buckets.
    assert fitted([(Shape(1, 256), 0.1), (Shape(1, 512), 4.0)], pairs=False).at(Shape(1, 1024)) == pytest.approx(8.0)
    # Noise is no pair where nothing sees all pairs.
    assert fitted([(Shape(1, 256), 1.0), (Shape(1, 512), 2.1)], pairs=False).per_pair == 0.0
    assert Growth(1.0, 1.0, 0.0).over([Shape(1, 2), Shape(2, 2)]) == 1 + 2 + 1 + 4


def test_lines_cross_where_the_quadratic_one_becomes_dearer():
    linear, quadratic = Growth(0.0, 1000.0, 0.0), Growth(0.0, 0.0, 1.0)
    assert crossing(linear, quadratic) == 1024
    assert crossing(quadratic, linear) == 64
    assert crossing(Growth(0.0, 2.0, 0.0), Growth(0.0, 1.0, 0.0)) is None


def test_batches_that_are_measured_are_small_and_grow_towards_the_largest():
    def growing(rows, length, parts=1, cut=True):
        return list(Source({}, Shape(rows, length), length if cut else None).growing(parts))

    assert growing(1, 65536) == [Shape(1, 512), Shape(1, 2048), Shape(1, 8192), Shape(1, 32768), Shape(1, 65536)]
    assert growing(300, 64, parts=2) == [Shape(2, 64), Shape(8, 64), Shape(32, 64), Shape(128, 64), Shape(300, 64)]
    assert growing(8, 64, cut=False) == [Shape(1, 64), Shape(4, 64), Shape(8, 64)]
    assert growing(1, 1) == [Shape(1, 1)]
    batch = {
        "input_ids": torch.arange(12).view(2, 6),
        "attention_mask": torch.zeros(2, 6),
        "labels": torch.tensor([1, 2]),
    }
    found = Source(batch, Shape(2, 6), 6).cut(Shape(3, 4))
    assert found["input_ids"].tolist() == [[0, 1, 2, 3], [6, 7, 8, 9], [0, 1, 2, 3]]
    assert found["attention_mask"].all()
    assert found["labels"].tolist() == [1, 2, 1]


def _begun(tables):
    """Recipe, data and model."""
    recipe = checked_recipe(tables)
    task = TASKS[recipe.training.task].for_recipe(recipe)
    data = task.load_data(recipe)
    return recipe, data, task.head(data.config)


def test_planning_changes_neither_the_model_nor_the_random_state(tmp_path):
    tables = ner_recipe(tmp_path, max_steps=4, precision="bfloat16")
    tables["model"] |= {"hidden_dropout_prob": 0.1}
    recipe, data, model = _begun(tables)
    state, weights = torch.get_rng_state(), {name: each.clone() for name, each in model.state_dict().items()}
    training, own = model.training, dict(vars(model))
    found = plan_run(recipe, data, model)
    assert found.cost.seconds > 0
    assert found.largest in {each.shape for each in found.measured}
    assert torch.equal(torch.get_rng_state(), state)
    assert model.training == training
    assert vars(model).keys() == own.keys()
    assert all(each.grad is None for each in model.parameters())
    assert all(torch.equal(each, weights[name]) for name, each in model.state_dict().items())


def test_two_batches_are_measured_however_long_the_first_takes(tmp_path):
    """From one alone what libraries keep was foretold again for each of its tokens, and more memory than there is."""
    recipe, data, model = _begun(language_recipe(tmp_path, batch_size=1))
    run = planning._Run(recipe, data, Batches(recipe, data), held=0)
    with run.trial(model, longest=0.0) as trial:
        source, _ = run.batches.source(run.batches.largest, model)
        assert [each.shape for each in trial.steps(source, trial.kind(source.shape))] == [Shape(1, 32), Shape(1, 128)]


def test_batches_of_each_kind_are_measured_by_themselves(tmp_path):
    """One row is computed by all threads, several by one each; and stacks choose by the size of a batch."""
    recipe, data, model = _begun(language_recipe(tmp_path, batch_size=4))
    model.reformer.encoder.reversible = "auto"
    run = planning._Run(recipe, data, Batches(recipe, data), held=0)
    with run.trial(model) as trial:
        threads = torch.get_num_threads()
        assert trial.kind(Shape(1, 64)).parts == 1
        assert trial.kind(Shape(64, 64)).parts == threads
        assert trial.kind(Shape(1, 8)).again == (False,)
        again = Kind(1, (True,))
        assert trial.kind(Shape(1, 1 << 24)) == again
        seen = []
        trial._step = lambda batch: seen.append(model.reformer.encoder.reversible)
        trial.steps(Source({"input_ids": torch.zeros(1, 8, dtype=torch.long)}, Shape(1, 8), 8), again)
        assert set(seen) == {True}
        assert model.reformer.encoder.reversible == "auto"


def _planned(tables, **options):
    return plan_run(*_begun(tables), **options)


@pytest.fixture
def figures(monkeypatch):
    """Steps that take a second for every 1,024 tokens, and a mebibyte for each, whatever the machine does."""

    def growing(self, source, parts, call):
        for shape in list(source.growing(parts))[:3]:
            learns = call == self._step
            yield Measured(shape, shape.tokens / (1024 if learns else 4096), shape.tokens * 2.0**20 if learns else 1.0)

    monkeypatch.setattr(Trial, "_growing", growing)
    monkeypatch.setattr(Trial, "optimizer_seconds", lambda self, source: 0.5)


def test_a_plan_adds_up(tmp_path, figures):
    tables = language_recipe(tmp_path, max_steps=12, num_evaluations=3)
    found = _planned(tables)
    assert found.fits
    assert found.steps == 12
    assert found.largest == Shape(4, 128)
    assert found.cost.step_seconds == pytest.approx(0.5 + 512 / 1024, rel=0.2)
    assert found.cost.memory["optimizer"] == 8 * found.weights == 2 * found.cost.memory["gradients"]
    of_batch = sum(size for name, size in found.cost.memory.items() if name.startswith("largest batch"))
    assert of_batch + found.cost.memory["gradients"] == pytest.approx(512 * 2**20, rel=0.01)
    assert of_batch == pytest.approx(found.cost.peak - found.cost.held)
    assert found.cost.seconds == pytest.approx(12 * found.cost.step_seconds + 3 * found.cost.evaluation_seconds)
    assert found.full_attention is not None
    json.dumps(found.to_json())


def test_minutes_end_a_run_that_has_no_steps(tmp_path, figures):
    found = _planned(language_recipe(tmp_path, max_steps=None, max_minutes=2))
    # The last evaluation comes when the minutes are over.
    assert found.cost.seconds == 120 + found.cost.evaluation_seconds
    assert found.steps == round((120 - 2 * found.cost.evaluation_seconds) / found.cost.step_seconds)


def test_what_does_not_fit_gets_what_would_make_it_fit(tmp_path, figures):
    tables = ner_recipe(tmp_path)
    tables["model"] |= {"reversible": False, "chunk_size_feed_forward": 0}
    whole = _planned(tables).cost
    found = _planned(tables, available=int((whole.held + (whole.peak - whole.held) / 2) / planning.MOST_SHARE))
    assert not found.fits
    assert {
        "model.reversible = true", "model.chunk_size_feed_forward = 1024", 'training.precision = "bfloat16"',
    } <= found.alternatives.keys()  # fmt: skip
    (smaller,) = (cost for name, cost in found.alternatives.items() if name.startswith("training.batch_tokens"))
    assert smaller.peak <= planning.MOST_SHARE * found.available + 3e7


def test_the_command_tells_it(tmp_path):
    recipe = tmp_path / "ner.toml"
    write_recipe(checked_recipe(ner_recipe(tmp_path, max_steps=4)), recipe)
    shown = reformer("plan", recipe, "--set", "training.num_threads=1").stdout
    for said in ("weights", "4 steps and 3 evaluations", "largest batch", "full attention"):
        assert said in shown
    assert "no such recipe" in reformer("plan", tmp_path / "x.toml", status=1).output
    assert sorted(path.name for path in tmp_path.iterdir()) == ["ner.toml", "test.conll", "train.conll"]


@pytest.mark.parametrize("recipe_of", [series_recipe, pairs_recipe])
def test_rows_that_cannot_be_cut_are_measured_whole(recipe_of, tmp_path):
    """Measured in another unit than it is foretold in, a step of series was to take thirty times as long as it does."""
    recipe, data, model = _begun(recipe_of(tmp_path, precision="float32"))
    found = plan_run(recipe, data, model)
    assert {each.shape.length for each in found.measured} <= set(data.lengths(data.train))
    per_token = (found.cost.step_seconds) / found.largest.tokens
    slowest = max(each.seconds / each.shape.tokens for each in found.measured)
    assert per_token < 4 * slowest
