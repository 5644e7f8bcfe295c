"""Targets: how an input of each is made, and how it is tried. An input is a line of JSON, then bytes."""

import hashlib
import json
import random
import shutil
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import torch
from huggingface_hub.errors import StrictDataclassError
from typer.testing import CliRunner

from reformer.cli import app
from reformer.data import Document, load_tokenizer
from reformer.data.convert import convert
from reformer.data.formats.writers import WRITTEN
from reformer.data.index import _archive
from reformer.data.index._registry import Archive, DataSet, Member
from reformer.data.notes import DataWarning
from reformer.data.readers import FORMATS, read_documents, read_images, read_questions, read_series
from reformer.data.spans import SpanReading, fitted_span
from reformer.data.tags import SCHEMES
from reformer.data.texts import find_text, split_text, text_pieces
from reformer.errors import ReformerError
from reformer.inference.scoring_state import ScoreState, read_state
from reformer.models import ReformerConfig, ReformerForTokenClassification
from reformer.models.configuration.fields import FIELDS
from reformer.recipe import Recipe
from reformer.runs.folder import MARKER, check_free, make_folder
from reformer.runs.recipe_file import read_recipe, write_recipe
from reformer.training.resume import find_run, kept_changes, kept_start
from reformer.training.run_inputs import kept_inputs
from tests.fuzz import ops, seeds
from tests.fuzz.mutate import VALUES, as_json, mutated_bytes, mutated_json, mutated_safetensors, mutated_value

Parameters = dict[str, Any]
Made = tuple[Parameters, bytes]

SMALL_FILES = 1 << 17
GOLDEN = Path(__file__).parents[1] / "contract/golden/labeller"


class Targets:
    """All targets, over a folder of their own with valid files to begin with."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.file = folder / "tried"
        self.recipes = seeds.recipes(folder / "data")
        for name, tables in self.recipes.items():
            lines = []
            for table, fields in tables.items():
                lines += [f"[{table}]", *(f"{field} = {json.dumps(value)}" for field, value in fields.items())]
            (folder / f"{name}.toml").write_text("\n".join(lines), encoding="utf-8")
        seeds.write_runs(folder / "runs", self.recipes)
        self.asked = seeds.inputs_of_runs(folder / "data")
        shutil.copytree(GOLDEN / "interrupted", folder / "runs/interrupted")
        self.interrupted: Recipe = read_recipe(folder / "runs/interrupted/recipe.toml")
        shutil.copytree(folder / "runs/labeller", folder / "runs/interrupted/start")
        (folder / "runs/interrupted/start/changes.json").write_text('{"new": ["x"], "kept": [0], "base_sha256": "a"}')
        (folder / "runs/interrupted/start/inputs.json").write_text('{"data": "x"}')
        (folder / "runs/interrupted" / MARKER).write_text('{"written": ["recipe.toml"], "replaced": null}')
        self.images, self.archives, self.questions = seeds.images(), seeds.archives(), seeds.questions()
        self.state = folder / "state"
        ScoreState("run", 64, [{"file": "a", "bytes": 1, "digest": "d"}], "d", None, None, {"x": torch.ones(2)}).write(
            self.state
        )

    # Making.

    def make_documents(self, pick: random.Random) -> Made:
        suffix = pick.choice(list(seeds.DOCUMENTS))
        data = seeds.DOCUMENTS[suffix]
        if suffix in (".jsonl", ".ndjson") and pick.random() < 0.5:
            records = [mutated_value(json.loads(line), pick, seeds.FIELDS) for line in data.splitlines()]
            data = b"\n".join(map(as_json, records))
        elif suffix == ".json" and pick.random() < 0.5:
            data = mutated_json(data, pick, seeds.FIELDS)
        else:
            data = mutated_bytes(data, pick, list(seeds.DOCUMENTS.values()))
        is_open = suffix in (".jsonl", ".alternating") and pick.random() < 0.1
        options: Parameters = {"suffix": ".jsonl.gz" if is_open else suffix}
        if pick.random() < 0.5:
            columns = pick.choice((None, None, ["word", "tag"], ["_", "word", "tag", "tag"]))
            options["spans"] = [pick.random() < 0.5, pick.choice(("error", "longest", "first", "keep")), columns]
            options["spans"].append(pick.random() < 0.8)
        if suffix in (".alternating", ".fasttext") or pick.random() < 0.1:
            options["format"] = suffix[1:] if suffix in (".alternating", ".fasttext") else pick.choice(FORMATS)
        if pick.random() < 0.1:
            options |= {
                "text_column": pick.choice(("label", "id", "", "none")),
                "label_column": pick.choice((None, "x")),
            }
        return options | {"report": pick.random() < 0.5}, data

    def make_questions(self, pick: random.Random) -> Made:
        suffix = pick.choice(list(self.questions))
        names = ("context", "question", "answers", "id", "is_impossible", "data", "paragraphs", "qas")
        return {"suffix": suffix, "report": pick.random() < 0.5}, mutated_json(self.questions[suffix], pick, names)

    def make_images(self, pick: random.Random) -> Made:
        suffix = pick.choice(list(self.images))
        return {"suffix": suffix}, mutated_bytes(self.images[suffix], pick, list(self.images.values()))

    def make_series(self, pick: random.Random) -> Made:
        data = b"\n".join((self.folder / "data/series.csv").read_bytes().splitlines()[: pick.choice((4, 20, 60))])
        options = {"columns": pick.choice((None, None, None, ["load"], ["x"], [])), "report": pick.random() < 0.5}
        return options | {"suffix": pick.choice((".csv", ".csv", ".tsv"))}, mutated_bytes(data, pick)

    def make_texts(self, pick: random.Random) -> Made:
        data = mutated_bytes(b"the river \xe5\x8c\x97\xe4\xba\xac runs\n\xc3\xa9 \xf0\x9f\x91\x8d" * 3, pick)
        return {
            "suffix": pick.choice((".txt", ".gz")),
            "piece": pick.choice((4, 7, 64)),
            "cut": pick.choice((0, 3, 50)),
        }, data

    def make_recipe(self, pick: random.Random) -> Made:
        name = pick.choice(list(self.recipes))
        overrides = [f"{pick.choice(_SETTINGS)}={pick.choice(_TEXTS)}" for _ in range(pick.choice((0, 0, 0, 1, 2)))]
        if pick.random() < 0.4:
            return {"overrides": overrides}, mutated_bytes((self.folder / f"{name}.toml").read_bytes(), pick)
        tables = mutated_value(self.recipes[name], pick, [*_RECIPE_FIELDS, *FIELDS])
        if pick.random() < 0.5 and isinstance(tables, dict) and isinstance(tables.get("model"), dict):
            tables["model"] = mutated_value(tables["model"], pick, FIELDS)
        return {"overrides": overrides}, _toml(tables)

    def make_config(self, pick: random.Random) -> Made:
        name = pick.choice(("labeller", "pairs", "series", "language"))
        data = (self.folder / "runs" / name / "config.json").read_bytes()
        return {}, mutated_json(data, pick, [*FIELDS, *_LOADER_FIELDS])

    def make_tokenizer(self, pick: random.Random) -> Made:
        name = pick.choice(("tokenizer.json", "tokenizer.json", "tokenizer_config.json"))
        data = (self.folder / "runs/labeller" / name).read_bytes()
        return {"name": name}, mutated_json(
            data, pick, ("type", "added_tokens", "normalizer", "pre_tokenizer", "auto_map")
        )

    def make_run(self, pick: random.Random) -> Made:
        run = pick.choice(list(self.asked))
        files = [file for file in (self.folder / "runs" / run).iterdir() if file.stat().st_size < SMALL_FILES]
        file = pick.choice(sorted(files))
        data = file.read_bytes()
        commands = {"language": ("score", "generate"), "adapter": ("predict",)}.get(
            run, ("predict", "evaluate", "show")
        )
        if file.suffix == ".json":
            data = mutated_json(data, pick, [*FIELDS, *_LOADER_FIELDS] if "config" in file.name else ())
        elif file.suffix == ".safetensors":
            data = mutated_safetensors(data, pick)
        else:
            data = mutated_bytes(data, pick)
        return {"run": run, "file": file.name, "command": pick.choice(commands)}, data

    def make_command(self, pick: random.Random) -> Made:
        run = pick.choice(list(self.asked))
        command = pick.choice(("predict", "evaluate", "show", "score", "generate", "train"))
        arguments = []
        for _ in range(pick.choice((1, 1, 2, 3))):
            option = pick.choice(_OPTIONS)
            arguments += [option] if pick.random() < 0.2 else [option, pick.choice(_TEXTS)]
        return {"run": run, "command": command, "arguments": arguments}, b""

    def make_interrupted(self, pick: random.Random) -> Made:
        files = [file for file in (self.folder / "runs/interrupted").rglob("*") if file.is_file()]
        files = [file for file in files if file.suffix in (".json", ".toml", ".safetensors")]
        file = pick.choice(sorted(files))
        data = file.read_bytes()
        data = mutated_json(data, pick) if file.suffix == ".json" else mutated_bytes(data, pick)
        return {"file": str(file.relative_to(self.folder / "runs/interrupted"))}, data

    def make_state(self, pick: random.Random) -> Made:
        return {}, mutated_safetensors(self.state.read_bytes(), pick)

    def make_archive(self, pick: random.Random) -> Made:
        suffix = pick.choice(list(self.archives))
        return {"suffix": suffix}, mutated_bytes(self.archives[suffix], pick, list(self.archives.values()))

    def make_op(self, pick: random.Random) -> Made:
        return ops.random_call(pick), b""

    # Trying.

    def try_documents(self, parameters: Parameters, data: bytes) -> None:
        file = self._written(parameters.pop("suffix"), data)
        report = parameters.pop("report")
        if file.suffix == ".ann":
            file.with_suffix(".txt").write_text(seeds.TEXT_OF_BRAT, encoding="utf-8")
        if "spans" in parameters:
            repair, on_overlap, columns, wanted = parameters["spans"]
            parameters["spans"] = SpanReading(repair, on_overlap, columns and tuple(columns), wanted)
        for document in read_documents(file, **parameters, **({"on_error": _ignore} if report else {})):
            for span in document.spans or ():
                inside = document.text[span.start : span.end]
                assert fitted_span(document.text, span.start, span.end) == (span.start, span.end), inside

    def make_conversion(self, pick: random.Random) -> Made:
        parameters, data = self.make_documents(pick)
        for name in ("spans", "report"):
            parameters.pop(name, None)
        return parameters | {"write_as": pick.choice(WRITTEN)}, data

    def try_conversion(self, parameters: Parameters, data: bytes) -> None:
        """What is converted is equal, or told of."""
        file, write_as = self._written(parameters.pop("suffix"), data), parameters.pop("write_as")
        if file.suffix == ".ann":
            file.with_suffix(".txt").write_text(seeds.TEXT_OF_BRAT, encoding="utf-8")
        unread: list[Exception] = []
        errors: list[Exception] = []
        parameters["spans"] = SpanReading(on_overlap="keep")
        output = self.folder / "converted"
        with suppress(OSError):
            shutil.rmtree(output) if output.is_dir() else output.unlink()
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always", DataWarning)
            convert(str(file), output, write_as=write_as, on_error=errors.append, **parameters)
        before = list(read_documents(file, on_error=unread.append, **parameters))
        own = None if write_as == "brat" else "conll" if write_as in SCHEMES else write_as
        after = list(read_documents(output, format=own, spans=SpanReading(on_overlap="keep")))
        assert len(after) == len(before) - (len(errors) - len(unread)), "documents are lost without a word"
        left = iter(before)
        same = [next((each for each in left if _content(each) == _content(one)), None) for one in after]
        assert None not in same, "a document is another now"
        # A class more than once among equal texts is told by its text alone.
        lost = sum(
            sorted(each.classes or ()) != sorted(one.classes or ()) for each, one in zip(same, after, strict=True)
        )
        assert not lost or errors or any("classes for which" in str(each.message) for each in told), "classes are lost"

    def try_questions(self, parameters: Parameters, data: bytes) -> None:
        file = str(self._written(parameters["suffix"], data))
        for _ in read_questions(file, **({"on_error": _ignore} if parameters["report"] else {})):
            pass

    def try_images(self, parameters: Parameters, data: bytes) -> None:
        for _ in read_images(str(self._written(parameters["suffix"], data))):
            pass

    def try_series(self, parameters: Parameters, data: bytes) -> None:
        file = self._written(parameters["suffix"], data)
        read_series(file, columns=parameters["columns"], **({"on_error": _ignore} if parameters["report"] else {}))

    def try_texts(self, parameters: Parameters, data: bytes) -> None:
        found = find_text(str(self._written(parameters["suffix"], data)))
        for part in split_text(found, parameters["cut"]):
            for stretch in part:
                for _ in text_pieces(stretch, parameters["piece"]):
                    pass

    def try_recipe(self, parameters: Parameters, data: bytes) -> None:
        recipe = read_recipe(self._written(".toml", data), parameters["overrides"])
        write_recipe(recipe, self.folder / "again.toml")

    def try_config(self, parameters: Parameters, data: bytes) -> None:
        try:
            config = ReformerConfig.from_json_file(self._written(".json", data))
            with torch.device("meta"):
                ReformerForTokenClassification(config)
            config.to_json_string()
        except (ValueError, StrictDataclassError):
            # What is wrong with a configuration is a ValueError, which loading turns into a message.
            pass

    def try_tokenizer(self, parameters: Parameters, data: bytes) -> None:
        place = self.folder / "tokenizer"
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir()
        for name in ("tokenizer.json", "tokenizer_config.json"):
            shutil.copy(self.folder / "runs/labeller" / name, place / name)
        (place / parameters["name"]).write_bytes(data)
        load_tokenizer(place)

    def try_run(self, parameters: Parameters, data: bytes) -> None:
        run = self.folder / "runs" / parameters["run"]
        with self._replaced(run / parameters["file"], data):
            self._command(parameters["command"], run, self.asked[parameters["run"]])

    def try_command(self, parameters: Parameters, data: bytes) -> None:
        run, command = parameters["run"], parameters["command"]
        asked = self.folder / "nothing.toml" if command == "train" else self.asked[run]
        self._command(command, self.folder / "runs" / run, asked, *parameters["arguments"])

    def try_interrupted(self, parameters: Parameters, data: bytes) -> None:
        folder = self.folder / "runs/interrupted"
        with self._replaced(folder / parameters["file"], data):
            for call in (
                lambda: find_run(folder, self.interrupted),
                lambda: kept_start("x", folder / "start"),
                lambda: kept_changes("x", folder / "start"),
                lambda: kept_inputs(folder),
                lambda: check_free(folder, overwrite=True),
            ):
                _refused(call)
        copy = self.folder / "copy"
        if parameters["file"] == MARKER:
            copy.mkdir(exist_ok=True)
            (copy / MARKER).write_bytes(data)
            _refused(lambda: make_folder(copy, self.interrupted))
            shutil.rmtree(copy)

    def try_state(self, parameters: Parameters, data: bytes) -> None:
        read_state(self._written(".state", data), "run", 64)

    def try_archive(self, parameters: Parameters, data: bytes) -> None:
        file, members = self._written(parameters["suffix"], data), []
        for path, content in (("toy/a.txt", b"one"), ("toy/b.txt", b"two" * 50)):
            members.append(Member(path, len(content), hashlib.sha256(content).hexdigest()))
        place = self.folder / "unpacked"
        shutil.rmtree(place, ignore_errors=True)
        _archive._extract(DataSet("toy", "", "", Archive("toy", "1", file.name, 1, ""), tuple(members)), file, place)

    def try_op(self, parameters: Parameters, data: bytes) -> None:
        try:
            ops.run(parameters)
        except (ValueError, TypeError, IndexError, NotImplementedError):
            pass
        except RuntimeError as error:
            # torch refuses shapes and dtypes by this, and memory that there is not.
            if "memory" in str(error):
                raise MemoryError(str(error)) from error

    def _written(self, suffix: str, data: bytes) -> Path:
        file = self.file.with_name(f"tried{suffix}")
        file.write_bytes(data)
        return file

    @contextmanager
    def _replaced(self, file: Path, data: bytes) -> Iterator[None]:
        before = file.read_bytes()
        file.write_bytes(data)
        try:
            yield
        finally:
            file.write_bytes(before)

    def _command(self, command: str, run: Path, asked: Path, *arguments: str) -> None:
        places = {"train": [asked], "generate": [run, "the"]}.get(command, [run, asked])
        shorter = ["--max-new-tokens", "3"] if command == "generate" else []
        result = CliRunner().invoke(app, [command, *map(str, places), *shorter, *arguments], input="")
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception


def _content(document: Document) -> tuple[object, ...]:
    spans = document.spans and tuple(sorted((each.start, each.end, each.label) for each in document.spans))
    return document.text, document.spans is None, spans


def tried_names() -> list[str]:
    """The names of the targets."""
    return [name.removeprefix("make_") for name in vars(Targets) if name.startswith("make_")]


def packed(parameters: Parameters, data: bytes) -> bytes:
    """An input as the bytes of a file."""
    return json.dumps(parameters).encode() + b"\n" + data


def unpacked(whole: bytes) -> Made:
    """The input that `packed` has packed."""
    told, _, data = whole.partition(b"\n")
    return json.loads(told), data


def try_input(targets: Targets, target: str, whole: bytes) -> None:
    """Try one input; what the project's users may see is a `ReformerError`, and any other error is a finding."""
    with suppress(ReformerError):
        getattr(targets, f"try_{target}")(*unpacked(whole))


def _refused(call: Callable[[], object]) -> None:
    with suppress(ReformerError):
        call()


def _ignore(error: object) -> None:
    str(error)


def _toml(tables: Any) -> bytes:
    lines = []
    for name, table in tables.items() if isinstance(tables, dict) else [("x", tables)]:
        if isinstance(table, dict):
            lines.append(f"[{json.dumps(name)}]")
            lines += [f"{json.dumps(field)} = {json.dumps(value)}" for field, value in table.items()]
        else:
            lines.insert(0, f"{json.dumps(name)} = {json.dumps(table)}")
    text = (
        "\n".join(lines).replace(": ", " = ").replace("null", '"none"').replace("Infinity", "inf").replace("NaN", "nan")
    )
    return text.encode("utf-8", "surrogatepass")


_LOADER_FIELDS = (
    *(
        "attn_implementation",
        "quantization_config",
        "auto_map",
        "fusion_config",
        "per_layer_config",
        "num_labels",
        "dtype",
    ),
    *("torch_dtype", "transformers_weights", "configuration_files", "model_type", "id2label", "architectures"),
)
_RECIPE_FIELDS = (
    *(
        "source",
        "train",
        "test",
        "validation",
        "format",
        "max_length",
        "sequence_length",
        "columns",
        "kind",
        "vocab_size",
    ),
    *("start_from", "freeze", "keep_layers", "lora_rank", "task", "epochs", "learning_rate", "batch_tokens", "seed"),
)
_SETTINGS = (
    *("training.seed", "training.max_steps", "model.hidden_size", "data.train", "model.attention_layers", "x", "a.b.c"),
    *("tokenizer.kind", "finetune.start_from", "training.task", "data", "model.num_buckets", "finetune.freeze", "."),
)
_TEXTS = (
    *(str(value) for value in VALUES if not isinstance(value, str)),
    *(
        "x",
        "inf",
        "nan",
        "-1",
        str(1 << 70),
        "1e-320",
        "true",
        '"a"',
        "[" * 2000,
        "csv",
        "jsonl",
        "test",
        "/dev/null",
        "",
        "北京",
    ),
    *("index:people", "[[0], [1]]", "{a = 1}", "1979-05-27", "a=b=c", "0x", "\x1b[2J", "/proc/self/mem", "."),
)
_OPTIONS = (
    *("--temperature", "--seed", "--top-k", "--top-p", "--beams", "--num-rounds", "--max-new-tokens", "--greedy"),
    *("--format", "--text-column", "--label-column", "--split", "--number", "--piece", "--prompt-file", "--set"),
    *("--no-text", "--text", "--nonsense", "--help", "--resume", "--excel", "--keep-columns", "--joined"),
)
