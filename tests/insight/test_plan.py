"""A plan's parts add up, grow as attention grows, and leave the model and the random state as they were."""

import json

import pytest
import torch

from reformer.insight.plan import Growth, Shape, crossing, fitted, plan_run
from reformer.insight.plan import plan as planning
from reformer.insight.plan.measurement import Measured, cut, measure_step, recomputed, short_shapes
from reformer.runs.recipe_file import write_recipe
from reformer.tasks.recipe_checks import checked_recipe
from reformer.tasks.registry import TASKS
from tests.cli.test_cli import reformer
from tests.contract.models import HEADS
from tests.tiny import language_recipe, ner_recipe, pairs_recipe, series_recipe


def test_a_growth_is_found_from_its_figures():
    for growth in (Growth(3.0, 2.0, 0.0), Growth(1.0, 5e-3, 7e-6)):
        shapes = [Shape(1, 256), Shape(1, 512), Shape(2, 512), Shape(1, 1024)]
        found = fitted([(shape, growth.at(shape)) for shape in shapes], pairs=growth.per_pair > 0)
        far = Shape(4, 65536)
        assert found.at(far) == pytest.approx(growth.at(far), rel=1e-6)
    # Noise is no pair where nothing sees all pairs.
    assert fitted([(Shape(1, 256), 1.0), (Shape(1, 512), 2.1)], pairs=False).per_pair == 0.0
    assert Growth(1.0, 1.0, 0.0).over([Shape(1, 2), Shape(2, 2)]) == 1 + 2 + 1 + 4


def test_lines_cross_where_the_quadratic_one_becomes_dearer():
    linear, quadratic = Growth(0.0, 1000.0, 0.0), Growth(0.0, 0.0, 1.0)
    assert crossing(linear, quadratic) == 1024
    assert crossing(quadratic, linear) == 64
    assert crossing(Growth(0.0, 2.0, 0.0), Growth(0.0, 1.0, 0.0)) is None


def test_batches_that_are_measured_are_small_and_grow_towards_the_largest():
    assert short_shapes(Shape(1, 65536)) == [Shape(1, 512), Shape(1, 1024), Shape(1, 2048)]
    assert short_shapes(Shape(300, 64)) == [Shape(16, 64), Shape(32, 32), Shape(32, 64)]
    assert short_shapes(Shape(1, 1)) == [Shape(1, 1)] * 3
    batch = {
        "input_ids": torch.arange(12).view(2, 6),
        "attention_mask": torch.zeros(2, 6),
        "labels": torch.tensor([1, 2]),
    }
    found = cut(batch, Shape(3, 4), 6)
    assert found["input_ids"].tolist() == [[0, 1, 2, 3], [6, 7, 8, 9], [0, 1, 2, 3]]
    assert found["attention_mask"].all()
    assert found["labels"].tolist() == [1, 2, 1]


def test_measuring_changes_neither_the_model_nor_the_random_state():
    model = HEADS["token-classification"].build("local", hidden_dropout_prob=0.1)
    ids = torch.randint(1, 41, (2, 30))
    state, weights = torch.get_rng_state(), {name: each.clone() for name, each in model.state_dict().items()}
    with recomputed(model, Shape(2, 30), "float32"):
        measured = measure_step(model, {"input_ids": ids, "labels": ids % 5}, Shape(2, 30), "float32")
    assert measured.seconds > 0
    assert torch.equal(torch.get_rng_state(), state)
    assert not model.training
    assert all(each.grad is None for each in model.parameters())
    assert all(torch.equal(each, weights[name]) for name, each in model.state_dict().items())


def test_stacks_that_choose_by_size_choose_for_the_largest_batch():
    model = HEADS["causal-lm"].build("local", reversible="auto")
    for target, again in ((Shape(1, 8), False), (Shape(64, 1 << 20), True)):
        with recomputed(model, target, "float32"):
            assert model.reformer.encoder.reversible is again
        assert model.reformer.encoder.reversible == "auto"


def _planned(tables, **options):
    recipe = checked_recipe(tables)
    task = TASKS[recipe.training.task].for_recipe(recipe)
    data = task.load_data(recipe)
    return plan_run(recipe, data, task.head(data.config), **options)


@pytest.fixture
def figures(monkeypatch):
    """Steps that take a second for every 1,024 tokens, and a mebibyte for each, whatever the machine does."""

    def step(model, batch, shape, precision):
        return Measured(shape, shape.tokens / 1024, shape.tokens * 2.0**20)

    monkeypatch.setattr(planning, "measure_step", step)
    monkeypatch.setattr(
        planning, "measure_evaluation", lambda m, e, shape, p: Measured(shape, shape.tokens / 4096, 1.0)
    )
    monkeypatch.setattr(planning, "optimizer_seconds", lambda model: 0.5)


def test_a_plan_adds_up(tmp_path, figures):
    tables = language_recipe(tmp_path, max_steps=12, num_evaluations=3)
    found = _planned(tables)
    assert found.fits
    assert found.steps == 12
    assert found.largest == Shape(4, 128)
    assert found.cost.step_seconds == pytest.approx(0.5 + 512 / 1024, rel=0.2)
    assert found.cost.memory["optimizer"] == 8 * found.weights == 2 * found.cost.memory["gradients"]
    assert found.cost.memory["largest batch"] == pytest.approx(512 * 2**20, rel=0.01)
    assert found.cost.seconds == pytest.approx(12 * found.cost.step_seconds + 3 * found.cost.evaluation_seconds)
    assert found.full_attention is not None
    json.dumps(found.to_json())


def test_minutes_end_a_run_that_has_no_steps(tmp_path, figures):
    found = _planned(language_recipe(tmp_path, max_steps=None, max_minutes=2))
    assert found.cost.seconds == 120
    assert found.steps == round(120 / found.cost.step_seconds)


def test_what_does_not_fit_gets_what_would_make_it_fit(tmp_path, figures):
    tables = ner_recipe(tmp_path)
    tables["model"] |= {"reversible": False, "chunk_size_feed_forward": 0}
    whole = _planned(tables)
    others = whole.cost.peak - whole.cost.memory["largest batch"]
    found = _planned(tables, available=int((others + 0.5 * whole.cost.memory["largest batch"]) / planning.MOST_SHARE))
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
    recipe = checked_recipe(recipe_of(tmp_path, precision="float32"))
    task = TASKS[recipe.training.task]
    data = task.load_data(recipe, None)
    found = plan_run(recipe, data, task.head(data.config))
    assert {each.shape.length for each in found.measured} <= set(data.lengths(data.train))
    per_token = found.cost.step_seconds / found.largest.tokens
    slowest = max(each.seconds / each.shape.tokens for each in found.measured)
    assert per_token < 4 * slowest
