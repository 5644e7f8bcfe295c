"""`reformer inspect` end to end: tables, JSON, a page without markup of others, and one message for what is wrong."""

import json
from html.parser import HTMLParser

import pytest

from reformer.runs.recipe_file import write_recipe
from reformer.tasks.recipe_checks import checked_recipe
from tests.cli.test_cli import reformer
from tests.tiny import language_recipe, masked_recipe, ner_recipe, pairs_recipe, series_recipe, write_text


class _Page(HTMLParser):
    """Elements of a page, and its text; an end tag without its begin is an error."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.found: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.text = ""
        self.feed(page)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.found.append(tag)
        self.attributes += attrs
        if tag != "meta":
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.found.append(tag)
        self.attributes += attrs

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A labeller with a mixed layer, a language model and a masked one, each of two steps."""
    folder = tmp_path_factory.mktemp("runs")
    few = {"max_steps": 2, "num_evaluations": 1}
    tables = {
        "ner": ner_recipe(folder, **few),
        "lm": language_recipe(folder, **few),
        "mlm": masked_recipe(folder, **few),
    }
    tables["ner"]["model"] |= {"attention_layers": ["local+lsh", ["lsh", "local"]], "num_rounds": 2}
    tables["lm"]["data"]["test"] = str(write_text(folder / "other.txt", 900, seed=5))
    for name, recipe in tables.items():
        write_recipe(checked_recipe(recipe), folder / f"{name}.toml")
        reformer("train", folder / f"{name}.toml", "-o", folder / name)
    return folder


def test_a_labeller_is_inspected_on_its_test_data(runs, tmp_path):
    outputs = ("--json", tmp_path / "a.json", "--html", tmp_path / "a.html")
    result = reformer("inspect", runs / "ner", "--documents", 3, "--queries", 5, "--token", "2:1", *outputs)
    assert "3 documents" in result.stdout
    assert "layer 2: " in result.stdout
    report = json.loads((tmp_path / "a.json").read_text(encoding="utf-8"))
    assert [(head["layer"], head["head"], head["kind"]) for head in report["heads"]] == [
        (1, 1, "local+lsh"),
        (1, 2, "local+lsh"),
        (2, 1, "lsh"),
    ]
    for head in report["heads"]:
        assert len(head["fullness"]) == len(head["fallen"]) == 2
        assert len(head["cumulated"]) == 4
        assert head["cumulated"] == sorted(head["cumulated"])
        assert 0 <= head["together"] == head["cumulated"][2] <= head["best"] + 1e-9 <= 1 + 1e-8
        assert head["together"] <= head["wider"]["hash"] + 1e-9
    assert report["heads"][0]["windows"] == {"local": 8, "round": 8}
    assert report["queries"] == 15
    metrics = json.loads((runs / "ner/metrics.json").read_text(encoding="utf-8"))
    scores = {score["change"]: score["metrics"] for score in report["scores"]}
    assert list(scores) == [
        "as it is",
        "layer 1 without attention",
        "layer 1 with local attention",
        "layer 2 without attention",
        "layer 2 with local attention",
        "all of these layers with local attention",
    ]
    assert scores["as it is"]["f1"] == metrics["test"]["f1"]
    token = report["token"]
    assert token["text"][slice(*token["offsets"][token["token"]])] == token["text"][1]
    assert [(view["layer"], view["head"]) for view in token["views"]] == [(1, 1), (1, 2), (2, 1)]
    assert all(sum(seen["weight"] for seen in view["tokens"]) <= 1 + 1e-6 for view in token["views"])
    page = _Page((tmp_path / "a.html").read_text(encoding="utf-8"))
    assert "svg" in page.found
    assert not {"script", "link", "img", "iframe"} & set(page.found)
    assert not [value for _, value in page.attributes if value and "//" in value]
    assert "without attention" in page.text


def test_the_model_is_as_it_was_and_the_seed_decides(runs, tmp_path):
    found = []
    for number, seed in enumerate((0, 0, 1)):
        given = ("--queries", 3, "--seed", seed, "--no-scores", "--json", tmp_path / f"{number}.json")
        reformer("inspect", runs / "ner", runs / "test.conll", *given)
        found.append((tmp_path / f"{number}.json").read_text(encoding="utf-8"))
    assert found[0] == found[1] != found[2]
    assert json.loads(found[0])["scores"] is None


def test_scores_are_measured_on_so_many_documents(runs, tmp_path):
    reformer("inspect", runs / "ner", "--scored", 2, "--json", tmp_path / "a.json")
    report = json.loads((tmp_path / "a.json").read_text(encoding="utf-8"))
    assert {score["metrics"]["documents"] for score in report["scores"]} == {2}
    assert len(report["documents"]) == 8


@pytest.mark.parametrize(("name", "metric"), [("lm", "bits_per_byte"), ("mlm", "perplexity")])
def test_language_models_are_inspected(runs, tmp_path, name, metric):
    reformer("inspect", runs / name, "--token", "1:2", "--json", tmp_path / "a.json", "--html", tmp_path / "a.html")
    report = json.loads((tmp_path / "a.json").read_text(encoding="utf-8"))
    metrics = json.loads((runs / name / "metrics.json").read_text(encoding="utf-8"))
    assert report["scores"][0]["metrics"][metric] == pytest.approx(metrics["test"][metric], rel=1e-4)
    assert report["token"]["views"]
    if name == "lm":
        # A causal model shows a token none that is later.
        seen = [token["token"] for view in report["token"]["views"] for token in view["tokens"]]
        assert max(seen) <= report["token"]["token"]
        assert report["documents"][0]["tokens"] == 128


def test_text_of_a_document_is_no_markup(runs, tmp_path):
    text = "<script>alert(1)</script>\x1b[31m[/b]&amp;"
    (tmp_path / "a<b>.jsonl").write_text(json.dumps({"id": "<i>x", "text": text}) + "\n", encoding="utf-8")
    given = ("--no-scores", "--token", "1:1", "--html", tmp_path / "a.html")
    result = reformer("inspect", runs / "ner", tmp_path / "a<b>.jsonl", *given)
    assert "\x1b[31m" not in result.stdout
    page = _Page((tmp_path / "a.html").read_text(encoding="utf-8"))
    assert not {"script", "i", "b"} & set(page.found)
    assert "<script" in page.text
    assert "<i>x" in page.text


@pytest.mark.parametrize(
    ("arguments", "told", "status"),
    [
        (("{ner}", "{folder}/nothing.conll"), "nothing.conll", 1),
        (("{ner}", "--token", "one:2"), "expected the number of a document", 2),
        (("{ner}", "--token", "0:2"), "counted from 1", 2),
        (("{ner}", "--no-scores", "--token", "9:0"), "there is no document 9 among the 8 documents", 1),
        (("{ner}", "--no-scores", "--token", "1:999"), "there is none with number 999", 1),
        (("{ner}", "--documents", "0"), "--documents", 2),
        (("{ner}", "--overwrite"), "leave it out", 1),
        (("{ner}", "--html", "{folder}/x", "--json", "{folder}/x"), "are the same file", 1),
        (("{ner}", "{folder}/test.conll", "--json", "{folder}/test.conll", "--overwrite"), "test.conll", 1),
        (("{lm}", "--format", "csv"), "--format: running text has no format", 1),
        (("{folder}/no-run",), "no-run", 1),
    ],
)
def test_what_is_wrong_is_one_message(runs, arguments, told, status):
    given = [each.format(ner=runs / "ner", lm=runs / "lm", folder=runs) for each in arguments]
    assert told in reformer("inspect", *given, status=status).output


def test_a_file_without_labels_needs_no_scores(runs, tmp_path):
    (tmp_path / "a.txt").write_text("王小明去了北京\n", encoding="utf-8")
    assert "--no-scores" in reformer("inspect", runs / "ner", tmp_path / "a.txt", status=1).stderr
    assert "1 document" in reformer("inspect", runs / "ner", tmp_path / "a.txt", "--no-scores").stdout


def test_a_run_without_hashed_layers_is_told_what_it_has(runs, tmp_path):
    tables = ner_recipe(tmp_path, max_steps=1, num_evaluations=1)
    tables["model"]["attention_layers"] = ["local", "full", "local"]
    write_recipe(checked_recipe(tables), tmp_path / "recipe.toml")
    reformer("train", tmp_path / "recipe.toml", "-o", tmp_path / "run")
    message = reformer("inspect", tmp_path / "run", status=1).stderr
    assert "hashes nothing" in message
    assert "2 x local, 1 x full" in message


def test_a_run_without_test_data_needs_a_file(runs, tmp_path):
    tables = language_recipe(tmp_path, max_steps=1, num_evaluations=1)
    write_recipe(checked_recipe(tables), tmp_path / "recipe.toml")
    reformer("train", tmp_path / "recipe.toml", "-o", tmp_path / "run")
    assert "names no test data" in reformer("inspect", tmp_path / "run", status=1).stderr


def test_a_shortened_layer_is_told_in_its_steps(tmp_path):
    tables = ner_recipe(tmp_path, max_steps=1, num_evaluations=1)
    tables["model"] |= {"attention_layers": ["lsh", "lsh", "local"], "shortened_layers": [1, 2], "shorten_stride": 2}
    write_recipe(checked_recipe(tables), tmp_path / "recipe.toml")
    reformer("train", tmp_path / "recipe.toml", "-o", tmp_path / "run")
    given = ("--no-scores", "--token", "1:0", "--json", tmp_path / "a.json")
    assert "layer 2 read other steps" in reformer("inspect", tmp_path / "run", *given).stdout
    report = json.loads((tmp_path / "a.json").read_text(encoding="utf-8"))
    assert [view["layer"] for view in report["token"]["views"]] == [1, 1]
    first, second = (report["heads"][place]["fullness"][0]["mean"] for place in (0, 2))
    assert second < first


def test_an_encoder_and_a_forecaster_are_inspected(tmp_path):
    few = {"max_steps": 1, "num_evaluations": 1}
    tables = {"pairs": pairs_recipe(tmp_path, **few), "series": series_recipe(tmp_path, **few)}
    for name, file, metric in (("pairs", "test.tsv", "chrf"), ("series", "series.csv", "mase")):
        write_recipe(checked_recipe(tables[name]), tmp_path / f"{name}.toml")
        reformer("train", tmp_path / f"{name}.toml", "-o", tmp_path / name)
        reformer("inspect", tmp_path / name, tmp_path / file, "--json", tmp_path / f"{name}.json")
        report = json.loads((tmp_path / f"{name}.json").read_text(encoding="utf-8"))
        assert [(head["layer"], head["head"]) for head in report["heads"]] == [(2, 1), (2, 2)]
        assert all(metric in score["metrics"] for score in report["scores"])
    message = reformer("inspect", tmp_path / "series", tmp_path / "series.csv", "--token", "1:0", status=1).stderr
    assert "has no characters" in message
