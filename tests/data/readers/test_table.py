import csv

import pytest

from reformer.data import DataError, read_documents


def test_quoted_line_breaks_and_true_line_numbers(read):
    found = read("a.csv", 'label,text\na,"one\ntwo ""x"", y"\n\nb,three\n')
    assert [(document.text, document.label, document.id) for document in found.documents] == [
        ('one\ntwo "x", y', "a", "a.csv:2"),
        ("three", "b", "a.csv:5"),
    ]
    assert found.documents[1].source.endswith("a.csv:5")


def test_columns_are_chosen(read):
    found = read("a.tsv", "id\tbody\tclass\n7\tone\tx\n", text_column="body", label_column="class")
    assert [(document.id, document.text, document.label) for document in found.documents] == [("7", "one", "x")]
    assert read("b.csv", "text\none\n", label_column=None).documents[0].label is None


@pytest.mark.parametrize(
    ("header", "options", "problem"),
    [
        ("body,label", {}, "there is no column 'text'; the columns are 'body', 'label'"),
        ("text,class", {}, "there is no column 'label'; the columns are 'text', 'class'"),
        ("text,label,text", {}, "there is more than one column 'text'"),
    ],
)
def test_a_wrong_column_lists_those_there_are(tmp_path, header, options, problem):
    (tmp_path / "a.csv").write_text(f"{header}\na,b,c\n")
    # A wrong header is no matter of one record, so it is raised in spite of on_error.
    with pytest.raises(DataError, match=rf"a\.csv:1: {problem}"):
        list(read_documents(tmp_path / "a.csv", on_error=lambda error: None, **options))


def test_a_wrong_column_is_told_at_the_header_s_own_line(tmp_path):
    (tmp_path / "a.csv").write_text("\n\nbody\na\n")
    with pytest.raises(DataError, match=r"a\.csv:3: there is no column 'text'"):
        list(read_documents(tmp_path / "a.csv"))


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        ("a,b,c", "the row has 3 cells, and the first line names 2 columns"),
        ("one", "the row has 1 cell"),
        ("one,", "the column 'label' is empty"),
        (",x", "empty text"),
        ('"on"e,x', "broken row"),
    ],
)
def test_a_bad_row_is_told_and_passed_over(read, row, problem):
    found = read("a.csv", f"text,label\n{row}\ntwo,y\n")
    assert found.texts == ["two"]
    [error] = found.errors
    assert error.startswith(f"a.csv:2: {problem}")


def test_a_quote_that_is_never_closed(read):
    found = read("a.csv", 'text,label\none,x\n"two,y\nthree,z\n')
    assert found.texts == ["one"]
    assert found.errors == [
        'a.csv:3: broken row (unexpected end of data); close every double quote, and write " inside of a cell as ""'
    ]


@pytest.fixture
def limit():
    before = csv.field_size_limit(131_072)
    yield 131_072
    csv.field_size_limit(before)


def test_a_cell_may_be_longer_than_the_csv_module_allows(read, limit):
    text = "长" * 200_000
    assert read("a.csv", f"text\n{text}\n", label_column=None).texts == [text]
    assert csv.field_size_limit() == limit


def test_the_limit_of_the_process_stays_while_rows_are_taken(tmp_path, limit):
    text = "长" * 200_000
    for name in ("a.csv", "b.csv"):
        (tmp_path / name).write_text(f"text\n{text}\n{text}\n", encoding="utf-8")
    outer, inner = (read_documents(tmp_path / name, label_column=None) for name in ("a.csv", "b.csv"))
    assert next(outer).text == next(inner).text == text
    assert csv.field_size_limit() == limit
    outer.close()
    assert next(inner).text == text
    assert csv.field_size_limit() == limit


def test_a_broken_row_puts_the_limit_back(read, limit):
    assert read("a.csv", 'text,label\n"on"e,x\n').errors
    assert csv.field_size_limit() == limit
