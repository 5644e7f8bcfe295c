"""Recipes: what is read, what is put over it, and what each mistake is answered with."""

import codecs

import pytest
from pydantic import ValidationError

from reformer.recipe import RecipeError
from reformer.runs.recipe_file import MOST_BYTES, read_recipe, write_recipe
from reformer.tasks.recipe_checks import checked_recipe

GOOD = """
[data]
train = "train.conll"
max_length = 2000
[model]
hidden_size = 64
[training]
task = "token-classification"
epochs = 3
"""


@pytest.fixture
def recipe_file(tmp_path):
    path = tmp_path / "recipe.toml"
    path.write_text(GOOD, encoding="utf-8")
    return path


def test_a_recipe_is_read_whole_and_cannot_be_changed(recipe_file):
    recipe = read_recipe(recipe_file)
    assert recipe.data.max_length == 2000
    assert recipe.tokenizer.kind == "character"
    assert recipe.model == {"hidden_size": 64}
    with pytest.raises(ValidationError, match="frozen"):
        recipe.training.epochs = 4  # pyright: ignore[reportAttributeAccessIssue]


def test_what_is_written_is_read_back_the_same(recipe_file, tmp_path):
    overrides = ['data.separator="\\n\\t\\"。"', "model.num_buckets=[8, 4]", "training.learning_rate=1e-5"]
    recipe = read_recipe(recipe_file, overrides)
    write_recipe(recipe, tmp_path / "again.toml")
    assert read_recipe(tmp_path / "again.toml") == recipe
    assert recipe.data.separator == '\n\t"。'


@pytest.mark.parametrize(
    ("override", "table", "field", "value"),
    [
        ("training.learning_rate=1e-4", "training", "learning_rate", 1e-4),
        ("training.precision=bfloat16", "training", "precision", "bfloat16"),
        ("data.train=other.csv", "data", "train", "other.csv"),
        ('data.train="a=b.csv"', "data", "train", "a=b.csv"),
        ("tokenizer.kind=byte", "tokenizer", "kind", "byte"),
        ("training.max_minutes=2", "training", "max_minutes", 2.0),
    ],
)
def test_every_field_can_be_put_over_the_recipe(recipe_file, override, table, field, value):
    assert getattr(getattr(read_recipe(recipe_file, [override]), table), field) == value


def test_the_recipe_of_a_data_set_is_read_back_the_same(tmp_path):
    (tmp_path / "recipe.toml").write_text(
        GOOD.replace('train = "train.conll"', 'source = "index:people-daily"') + '[tokenizer]\nkind = "byte"\n',
        encoding="utf-8",
    )
    recipe = read_recipe(tmp_path / "recipe.toml")
    write_recipe(recipe, tmp_path / "again.toml")
    assert read_recipe(tmp_path / "again.toml") == recipe


def test_model_fields_can_be_put_over_the_recipe(recipe_file):
    recipe = read_recipe(recipe_file, ['model.attention_layers=["local", "full"]', "model.reversible=false"])
    assert recipe.model["attention_layers"] == ["local", "full"]
    assert recipe.model["reversible"] is False


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("training.learning_rat=1", r"training\.learning_rat: there is no such field.*did you mean learning_rate"),
        ("trainin.epochs=1", r"trainin: there is no such field.*did you mean training"),
        ("training.learning_rate=fast", r'training\.learning_rate = "fast": expected a valid number \(from --set'),
        ("training.epochs=0", r"training\.epochs = 0: expected greater than 0"),
        ("training.seed=1.5", r"training\.seed = 1\.5: expected a valid integer"),
        ("training.task=translate", r'training\.task = "translate": expected one of token-classification, '),
        ("training.precision=int8", r"training\.precision = \"int8\": expected 'auto', 'float32' or 'bfloat16'"),
        ("data.source=index:people-daily", r"\[data\] expected either source or train"),
        ("tokenizer.kind=3", r"tokenizer\.kind = 3: expected a valid string"),
        ("model.hiden_size=3", r"model\.hiden_size: there is no such field; did you mean hidden_size"),
        ("model.vocab_size=3", r"model\.vocab_size is not the recipe's to set: the tokenizer decides it"),
        ("model.hidden_size=wide", r"\[model\] .*hidden_size.*int.*str"),
        ("model.convolution_kernel=4", r"\[model\] convolution_kernel=4: expected 0 \(none\) or an odd width"),
        ('model.attention_layers=["locl"]', r"\[model\] attention_layers has 'locl'; expected 'full', 'local'"),
        ("epochs=3", r"--set epochs=3: expected TABLE\.FIELD=VALUE"),
        ("training.epochs", r"--set training\.epochs: expected TABLE\.FIELD=VALUE"),
    ],
)
def test_a_wrong_field_is_named_with_value_and_expectation(recipe_file, override, message):
    with pytest.raises(RecipeError, match=message):
        read_recipe(recipe_file, [override])


def test_several_mistakes_are_named_at_once(recipe_file):
    with pytest.raises(RecipeError) as caught:
        read_recipe(recipe_file, ["training.epochs=-1", "data.max_length=0"])
    assert str(recipe_file) in str(caught.value)
    assert "training.epochs" in str(caught.value)
    assert "data.max_length" in str(caught.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"[data\n", r"not valid TOML: .*line 1"),
        (b"\xff\xfe", "byte 0 is not UTF-8"),
        (b"", r"data: this has to be given"),
        (b'data = 3\n[training]\ntask = "token-classification"', r"data = 3: expected"),
        (
            b'[data]\ntrain = "a"\n[training]\ntask = "token-classification"',
            "give epochs, max_steps or max_minutes",
        ),
        (b'[data]\nsource = "people-daily"\n[training]\nepochs = 1', "expected index:NAME"),
        (b'[data]\nsource = "index:a"\ntest = "b"\n[training]\nepochs = 1', "a source has its own split.*test"),
        (b'[data]\ntrain = "a"\n[tokenizer]\nkind = "byte"\nvocab_size = 9\n', "has its own vocabulary"),
    ],
)
def test_a_broken_file_is_answered_with_place_and_remedy(tmp_path, content, message):
    path = tmp_path / "recipe.toml"
    path.write_bytes(content)
    with pytest.raises(RecipeError, match=message) as caught:
        read_recipe(path)
    assert str(path) in str(caught.value)


def test_a_missing_recipe_and_a_folder_are_errors(tmp_path):
    with pytest.raises(RecipeError, match="there is no such recipe"):
        read_recipe(tmp_path / "none.toml")
    with pytest.raises(RecipeError, match="this is a folder"):
        read_recipe(tmp_path)


def test_a_batch_has_to_be_bounded():
    tables = {"data": {"train": "a"}, "training": {"task": "token-classification", "epochs": 1, "batch_tokens": None}}
    with pytest.raises(RecipeError, match="nothing bounds a batch"):
        checked_recipe(tables)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a = " + "[" * 5000, "not valid TOML: tables or lists within each other, too deep"),
        ("a = " + "1" * 5000, "not valid TOML: .*5000"),
        ("#" * (MOST_BYTES + 1), "this has more than 4,194,304 bytes, and no recipe has"),
    ],
    ids=["deep", "long", "large"],
)
def test_a_file_that_would_exhaust_the_reader_is_refused(text, message, tmp_path, recipe_file):
    (tmp_path / "odd.toml").write_text(text)
    with pytest.raises(RecipeError, match=message):
        read_recipe(tmp_path / "odd.toml")
    value = text.removeprefix("a = ")
    with pytest.raises(RecipeError, match=r"training\.epochs"):
        read_recipe(recipe_file, [f"training.epochs={value[:6000]}"])


def test_a_recipe_with_a_byte_order_mark_is_read(recipe_file):
    found = read_recipe(recipe_file)
    recipe_file.write_bytes(codecs.BOM_UTF8 + recipe_file.read_bytes())
    assert read_recipe(recipe_file) == found


@pytest.mark.parametrize("path", [r"C:\new\train.jsonl", r"C:\Users\x.csv", r"D:\data\t.csv", r"\\server\bad.csv"])
def test_a_path_of_windows_in_double_quotes_gets_a_hint(tmp_path, path):
    text = f'[data]\ntrain = "{path}"\n[training]\ntask = "sequence-classification"\nepochs = 1\n'
    (tmp_path / "a.toml").write_text(text, encoding="utf-8")
    with pytest.raises(RecipeError, match="put a path of Windows in single quotes"):
        read_recipe(tmp_path / "a.toml")


def test_a_recipe_in_another_encoding_is_named(tmp_path):
    (tmp_path / "a.toml").write_bytes("[data]\ntrain = '数据/训练.csv'\n".encode("utf-16"))
    with pytest.raises(RecipeError, match="iconv -f UTF-16"):
        read_recipe(tmp_path / "a.toml")
