import pickle

import pytest

from reformer.data import DataError
from reformer.errors import ReformerError


@pytest.mark.parametrize(
    ("path", "line", "printed"),
    [
        ("a.csv", 3, "a.csv:3: bad; mend"),
        ("a.csv", None, "a.csv: bad; mend"),
        (None, None, "bad; mend"),
    ],
)
def test_prints_place_problem_and_remedy(path, line, printed):
    error = DataError(path, line, "bad", "mend")
    assert str(error) == printed
    assert isinstance(error, ReformerError)


def test_survives_a_pickle():
    error = pickle.loads(pickle.dumps(DataError("a.csv", 3, "bad", "mend")))
    assert (error.path, error.line, error.problem, error.remedy) == ("a.csv", 3, "bad", "mend")


@pytest.mark.parametrize(
    ("source", "path", "line"), [("a:b.csv:12", "a:b.csv", 12), ("a.csv", "a.csv", None), ("", None, None)]
)
def test_takes_a_document_source_apart(source, path, line):
    error = DataError.at(source, "bad", "mend")
    assert (error.path, error.line) == (path, line)
