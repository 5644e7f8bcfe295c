"""All writing and removing goes through `reformer.files`, but for a short list."""

import ast
from pathlib import Path

import reformer

SOURCES = Path(reformer.__file__).parent

WRITES = {
    *(
        "rmtree",
        "write_text",
        "write_bytes",
        "unlink",
        "rmdir",
        "remove",
        "removedirs",
        "rename",
        "renames",
        "truncate",
    ),
    *("TemporaryDirectory", "NamedTemporaryFile", "mkdtemp", "mkstemp", "save_file", "copyfile", "copytree", "move"),
}

ALLOWED = {
    # crfsuite gives what it has fitted as a file alone.
    ("baselines/ngram_tagger.py", "TemporaryDirectory"),
    # An adapter is saved into the folder that `save_model` puts in place.
    ("finetuning/adapter.py", "save_file"),
    # What is saved there is loaded again, and compared.
    ("insight/doctor/state.py", "TemporaryDirectory"),
    # A model is saved into a folder by transformers; that of a run is put in place when it is whole.
    ("models/configuration/config.py", "write_text"),
    ("models/configuration/remote_code.py", "write_text"),
    # A body is a file of a folder of its own, which ends with the request, in one that ends with the server.
    ("serving/spool.py", "mkdtemp"),
    ("serving/spool.py", "rmtree"),
    ("serving/uploads.py", "open"),
    ("serving/uploads.py", "rmtree"),
    ("serving/uploads.py", "write_bytes"),
    # The average is a file of a checkpoint, which Trainer writes and removes.
    ("training/callbacks/averaging.py", "save_file"),
    # The trainer that a plan measures has a folder of its own, which nothing is kept from.
    ("training/plan/plan.py", "TemporaryDirectory"),
    # A checkpoint is a folder that Trainer writes; whole, it is moved to its place, and an unfinished one is removed.
    ("training/checkpoints.py", "replace"),
    ("training/checkpoints.py", "rmtree"),
    # The lock is a folder that is taken and given back by renames and by its holder's own file alone.
    ("training/run_lock.py", "rename"),
    ("training/run_lock.py", "rmdir"),
    ("training/run_lock.py", "unlink"),
    ("training/run_lock.py", "write_text"),
}


def writes(source: str) -> set[str]:
    """The calls in a source that write or remove files."""
    found = set()
    for call in (node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call)):
        name = getattr(call.func, "attr", getattr(call.func, "id", ""))
        given = [*call.args, *(keyword.value for keyword in call.keywords)]
        texts = [each.value for each in given if isinstance(each, ast.Constant) and isinstance(each.value, str)]
        opened = name == "open" and any(set(text) <= set("rwxabt+") and set(text) & set("wxa+") for text in texts)
        moved = isinstance(call.func, ast.Attribute) and ast.unparse(call.func) in ("os.replace", "os.link")
        if opened or moved or name in WRITES:
            found.add(name)
    return found


def test_files_are_written_by_one_module():
    found = {
        (file.relative_to(SOURCES).as_posix(), name)
        for file in SOURCES.rglob("*.py")
        if file != SOURCES / "files.py"
        for name in writes(file.read_text(encoding="utf-8"))
    }
    assert found == ALLOWED


def test_what_writes_is_found():
    lines = {
        'open(path, "w")': "open",
        'path.open("r+b", buffering=0)': "open",
        'gzip.open(path, mode="xt")': "open",
        "shutil.rmtree(folder)": "rmtree",
        "os.replace(a, b)": "replace",
        'path.write_text("")': "write_text",
        'path.write_bytes(b"")': "write_bytes",
    }
    for line, name in lines.items():
        assert writes(line) == {name}, line
    for line in ('open(path, "rb")', "open(path)", 'text.replace("a", "b")'):
        assert not writes(line), line
