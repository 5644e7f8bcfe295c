"""Table of every number that an advised recipe gets, and of every bound that decides between two: change them here."""

from collections.abc import Mapping
from typing import Any

from reformer.advice.records import CLASSES, ENTITIES, MASKED, PAIRS, QUESTIONS, TEXT

START = "index:multilingual-e5-small"
FRESH, WARM = "fresh", "warm"

WINDOWS = {"attention_layers": "local", "local_window": 64, "global_tokens": [0, -1]}
"""Windows for the layers of the start, and its two ends, which it has learned to look at."""

FIELDS: Mapping[tuple[str, str], Mapping[str, Mapping[str, Any]]] = {
    (ENTITIES, WARM): {
        "finetune": {
            "start_from": START,
            "keep_layers": [0, 1, 2, 3, 4, 5],
            "freeze": ["embeddings"],
            "head_learning_rate": 2e-3,
        },
        "model": {**WINDOWS, "hidden_dropout_prob": 0.1},
        "training": {
            "learning_rate": 2e-4,
            "warmup_ratio": 0.08,
            "weight_decay": 0.01,
            "batch_tokens": 1024,
        },
    },
    (ENTITIES, FRESH): {
        "tokenizer": {"kind": "character", "min_frequency": 2},
        "model": {
            "hidden_size": 128,
            "num_attention_heads": 2,
            "attention_head_size": 64,
            "feed_forward_size": 512,
            "local_window": 32,
            "convolution_kernel": 5,
            "hidden_dropout_prob": 0.2,
            "reversible": "auto",
            "ngram_sizes": [2, 3],
            "ngram_width": 16,
            "ngram_min_frequency": 2,
            "ngram_dropout": 0.4,
        },
        "training": {"learning_rate": 3e-3, "warmup_ratio": 0.05, "weight_decay": 0.05, "batch_tokens": 4096},
    },
    (CLASSES, WARM): {
        "finetune": {
            "start_from": START,
            "freeze": ["embeddings"],
            "layer_decay": 0.8,
            "head_learning_rate": 1e-3,
        },
        "model": {**WINDOWS, "classifier_pooling": "mean", "hidden_dropout_prob": 0.1},
        "training": {
            "learning_rate": 2e-4,
            "warmup_ratio": 0.08,
            "weight_decay": 0.01,
            "batch_tokens": 2048,
            "batch_size": 32,
        },
    },
    (CLASSES, FRESH): {
        "tokenizer": {"kind": "character", "min_frequency": 2},
        "model": {
            "hidden_size": 128,
            "num_attention_heads": 2,
            "attention_head_size": 64,
            "feed_forward_size": 256,
            "reversible": "auto",
            "local_window": 32,
            "convolution_kernel": 5,
            "hidden_dropout_prob": 0.2,
            "classifier_pooling": "mean",
            "ngram_sizes": [2, 3],
            "ngram_width": 16,
            "ngram_min_frequency": 2,
            "ngram_dropout": 0.6,
        },
        "training": {
            "learning_rate": 1e-3,
            "warmup_ratio": 0.05,
            "weight_decay": 0.05,
            "batch_tokens": 8192,
            "batch_size": 32,
        },
    },
    (QUESTIONS, FRESH): {
        "tokenizer": {"kind": "character"},
        "model": {
            "attention_layers": ["lsh", "local", "lsh", "local", "lsh", "local"],
            "hidden_size": 128,
            "num_attention_heads": 4,
            "attention_head_size": 32,
            "feed_forward_size": 512,
            "reversible": "auto",
            "local_window": 32,
            "lsh_window": 64,
            "num_buckets": 16,
            "num_rounds": 2,
            "convolution_kernel": 5,
            "initializer_range": 0.1,
            "hidden_dropout_prob": 0.1,
        },
        "training": {"learning_rate": 1e-3, "batch_tokens": 16384},
    },
    (PAIRS, FRESH): {
        "tokenizer": {"kind": "character"},
        "model": {
            "attention_layers": ["local+lsh", "local+lsh", "local+lsh"],
            "decoder_attention_layers": ["local", "local", "local"],
            "cross_attention_layers": ["full", "full", "full"],
            "hidden_size": 256,
            "num_attention_heads": 4,
            "attention_head_size": 64,
            "feed_forward_size": 1024,
            "reversible": "auto",
            "local_window": 32,
            "lsh_window": 32,
            "num_buckets": 16,
            "shared_query_key": False,
            "convolution_kernel": 3,
            "hidden_dropout_prob": 0.1,
            "label_smoothing": 0.1,
        },
        "training": {"learning_rate": 1e-3, "batch_tokens": 8192},
    },
    (TEXT, FRESH): {
        "tokenizer": {"kind": "byte"},
        "model": {
            "attention_layers": ["local", "lsh", "local", "lsh"],
            "hidden_size": 128,
            "num_attention_heads": 2,
            "attention_head_size": 64,
            "feed_forward_size": 512,
            "reversible": "auto",
            "local_window": 64,
            "lsh_window": 32,
            "num_buckets": 32,
            "num_rounds": 1,
            "convolution_kernel": 3,
        },
        "training": {"learning_rate": 3e-3, "batch_tokens": 8192},
    },
    (MASKED, FRESH): {
        "tokenizer": {"kind": "character", "min_frequency": 2},
        "model": {
            "hidden_size": 128,
            "num_attention_heads": 2,
            "attention_head_size": 64,
            "feed_forward_size": 512,
            "local_window": 32,
            "convolution_kernel": 5,
            "hidden_dropout_prob": 0.1,
            "reversible": "auto",
            "ngram_sizes": [2, 3],
            "ngram_width": 16,
            "ngram_min_frequency": 3,
            "ngram_dropout": 0.2,
        },
        "training": {"learning_rate": 2e-3, "weight_decay": 0.05, "batch_tokens": 8192},
    },
}
"""Fields whose values no figure of the data changes, by task and start."""

WHY: Mapping[str, str] = {
    "keep_layers": "half the layers: twice as many texts are read in a minute",
    "attention_layers": "its layers, through windows: faster, and on labelled texts as good or better",
    "global_tokens": "the two ends of a text, which all others see",
    "freeze": "few labels would spoil what the embeddings know of words that the labelled texts do not have",
    "layer_decay": "lower layers learn more slowly: what they know is of use to any task",
    "head_learning_rate": "the head is new and has all to learn",
    "ngram_sizes": "pairs and triples of characters, which words and names are made of",
    "ngram_dropout": "left out in training this often: what is learned by heart helps no new text",
    "min_frequency": "what occurs once teaches the model what an unknown character may be",
    "reversible": "keeping what layers compute saves time; where it is more than a gigabyte, they are run again",
    "initializer_range": "to find a word again attention has to be sharp, and it is so sooner with large weights",
    "shared_query_key": "queries and keys of their own translate better where this was measured",
    "learning_rate": "the highest rate; it falls to 0 by the end of the minutes",
    "batch_tokens": "tokens of a step, padding included; halve it where memory is short",
}
"""Why the fields above are there, where that does not go without saying."""

PIECES_A_SECOND = 1000
"""Pieces that the warm start trains on in a second of two cores, roughly: with it goes how much a budget can read."""
PASSES, MIN_STEPS = {ENTITIES: 8.0, CLASSES: 3.0}, {ENTITIES: 600, CLASSES: 300}
"""Passes of a warm start over the texts; more where they would be fewer steps than these."""
MIN_PASSES = {ENTITIES: 1.0, CLASSES: 0.5}
"""Passes over the texts that a warm start has to have time for; with less, a small fresh model reads more of them."""
START_PIECES = 440
"""Estimated pieces of a text, at most, for the 512 tokens that the start reads: the estimate may be short."""
LOWER_HALF, MIN_WHOLE_PASSES = [0, 1, 2, 3, 4, 5], 2.0
"""Layers to keep where there is no time for so many passes of all."""
ROOM, MAX_POSITIONS = 1.5, 1 << 15
"""Its positions as a multiple of the estimated pieces of the longest text, at least; and its positions, at most."""
MIN_LETTERS = 0.6
"""Letters among the characters, at least, for a text of a language that the start may know."""
MAX_CRF_TYPES = 12
"""Types of entities, at most, for a conditional random field: its time grows with their square."""
WIDE_SIZES = [1, 2, 3]
"""Characters of the n-grams of the wide part, as of the classical method."""
WIDE_ROWS, WIDE_WEIGHTS = 1 << 19, 1 << 25
"""Rows of the wide part, and its rows times labels, at most."""
JOIN, FULL = 4000, 0.9
"""Characters that neighbouring texts are joined to; of a warm start, so much of `START_PIECES`."""
MIN_JOINED = 100
"""Joined documents, at least: fewer would tell nothing where some of them validate."""
FAR = 200
"""Characters of a text from which hashed layers find something that windows do not."""
NEAR_LAYERS = ["local", "local"]
FAR_LAYERS = {
    "attention_layers": ["local", "local+lsh", "local"],
    "lsh_window": 32,
    "num_buckets": 64,
    "num_rounds": 1,
}
"""Layers of a fresh labeller or classifier, for shorter and for longer texts."""
VALIDATION, MIN_VALIDATION, MAX_VALIDATION, MAX_VALIDATION_FRACTION = 0.1, 200, 2000, 0.2
"""Share of the records that validate, unless that is too few or more than it takes; and the greatest share."""
MIN_DOCUMENTS = 10
"""Records, at least."""
SEQUENCE_LENGTH = {1 << 19: 512, 1 << 22: 1024, 1 << 62: 2048}
"""Tokens of a sequence of running text, by the characters that there are at most."""
MATCH_SIZES = [1, 2, 3, 4, 6]
"""Tokens of the groups of a document that are compared with the question's."""
QUESTION_POSITIONS = 1 << 12
"""Positions of a reader of questions, at least: twice the longest text where that is more."""
EVALUATIONS, PATIENCE = 10, 4
MIN_EVALUATIONS, EVALUATED = 3, 0.2
"""Evaluations of a warm start, at least, and the part of the time that all of them may take, about. A piece that is
evaluated takes a third of the time of one that is learned from."""
