"""Places of this machine, named as others may read them: without their folders."""

from pathlib import Path, PureWindowsPath


def last_name(place: str) -> str:
    """The last name of a path of either system.

    >>> last_name("/home/max/train.jsonl"), last_name(r"C:\\texts\\train.jsonl")
    ('train.jsonl', 'train.jsonl')
    """
    return PureWindowsPath(place).name


def model_name(place: str) -> str:
    """The last name of a folder that a model is in; a name on the hub or in the package index as it is.

    >>> model_name("/home/max/runs/base"), model_name("someone/base"), model_name("index:base")
    ('base', 'someone/base', 'index:base')
    """
    local = PureWindowsPath(place).is_absolute() or place.startswith(("/", ".", "~")) or Path(place).is_dir()
    return last_name(place) if local else place
