"""Form of a table: separator, quotes and header are told by its lines, or asked for; nothing is read wrongly."""

import pytest

from reformer.data import DataError, first_records, read_documents

PAIR = [("好", "pos"), ("差", "neg")]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.csv", "text;label\n好;pos\n差;neg\n"),
        ("a.csv", "text\tlabel\n好\tpos\n差\tneg\n"),
        ("a.tsv", "text,label\n好,pos\n差,neg\n"),
        ("a.csv", "text|label\n好|pos\n差|neg\n"),
        ("a.csv", "sep=;\ntext;label\n好;pos\n差;neg\n"),
        ("a.csv", '"sep=,"\ntext,label\n好,pos\n差,neg\n'),
        ("a.csv", "\ufeffSEP=,\r\ntext,label\r\n好,pos\r\n差,neg\r\n"),
        ("a.csv", "text, label \n好, pos\n差,neg \n"),
        ("a.csv", "text,label\r好,pos\r差,neg\r"),
        ("a.csv", "text,label\r好,pos\r差,neg"),
        ("a.csv", "text,label\r\n好,pos\r\n差,neg\r\n"),
        ("a.csv", "text,label\n好,pos\n   \n差,neg\n"),
        ("a.csv", 'label,text\npos,"好"\nneg,"差"\n'),
        ("a.tsv", 'text\tlabel\n"好"\tpos\n"差"\tneg\n'),
    ],
)
def test_separators_line_ends_and_blanks_are_told_by_the_file(read, name, content):
    found = read(name, content)
    assert [(document.text, document.label) for document in found.documents] == PAIR
    assert not found.errors


def test_the_separator_inside_of_texts_is_none_of_the_table(read):
    found = read("a.csv", "text;label\n好,很好;pos\n差,很差;neg\n")
    assert found.texts == ["好,很好", "差,很差"]


def test_lines_count_behind_one_that_names_the_separator(read):
    assert read("a.csv", "sep=;\ntext;label\n好;pos\n").documents[0].id == "a.csv:3"


def test_rows_of_old_macs_have_their_own_lines(read):
    assert [each.id for each in read("a.csv", "text,label\r好,pos\r差,neg\r").documents] == ["a.csv:2", "a.csv:3"]


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        # A quote that is text, in a row of its own and again two rows later.
        (['"不错\tpos', "很差\tneg", '还行"\tpos', "一般\tneg"], ['"不错', "很差", '还行"', "一般"]),
        (['"First\ta', 'Second "sentence"\tb', "Third\ta"], ['"First', 'Second "sentence"', "Third"]),
        (['"Never closed\ta', "Next\tb"], ['"Never closed', "Next"]),
        (['"He" said\ta', "Next\tb"], ['"He" said', "Next"]),
        # Quotes of the table, as Excel writes them.
        (['"one\ntwo"\ta', "three\tb"], ["one\ntwo", "three"]),
        (['"a tab\there"\ta', '"say ""yes"""\tb'], ["a tab\there", 'say "yes"']),
        (["5' 10\"\ta", '12"\tb'], ["5' 10\"", '12"']),
    ],
)
def test_quotes_in_a_tsv_are_text_unless_every_row_says_otherwise(read, rows, expected):
    found = read("a.tsv", "\n".join(["text\tlabel", *rows, ""]))
    assert found.texts == expected
    assert not found.errors


def test_a_quote_in_a_csv_that_swallows_rows_is_told(read):
    found = read("a.csv", 'text,label\n"不错,pos\n很差,neg\n还行",pos\n一般,neg\n')
    assert found.texts == ["一般"]
    [error] = found.errors
    assert error.startswith("a.csv:2: a double quote opens here and closes 2 lines later")


def test_a_text_of_several_lines_in_a_csv_is_one(read):
    found = read("a.csv", 'text,label\n"Good, but\nslow",neg\nfine,pos\nbad,neg\n')
    assert found.texts == ["Good, but\nslow", "fine", "bad"]
    assert not found.errors


@pytest.mark.parametrize(
    ("header", "options", "hint"),
    [
        ("Text,Label", {}, r"--text-column Text \(data.text_column = \"Text\""),
        ("text,Label", {}, r"--label-column Label"),
        ("好,pos", {}, r"if the first line is a row, give --no-header \(data.header = false"),
        ("Go.\t去。\tCC-BY", {"text_column": "source", "label_column": "target"}, "--no-header"),
        ("body;class", {}, "the line has a semicolon where a comma was expected"),
    ],
)
def test_a_header_without_the_columns_gets_the_right_hint(tmp_path, header, options, hint):
    path = tmp_path / ("a.tsv" if "\t" in header else "a.csv")
    path.write_text(f"{header}\n", encoding="utf-8")
    with pytest.raises(DataError, match=hint):
        list(read_documents(path, **options))


RECURRING = ["pos", "neg", "pos", "neg"]


@pytest.mark.parametrize(
    ("name", "rows", "options"),
    [
        ("a.csv", [f"文本{number},{label}" for number, label in enumerate(RECURRING)], {}),
        ("a.tsv", [f"{label}\t文本{number}" for number, label in enumerate(RECURRING)], {}),
        ("a.csv", [f"文本{number};{label}" for number, label in enumerate(RECURRING)], {}),
        (
            "a.tsv",
            [f"文本{number}\t{label}\t来源" for number, label in enumerate(RECURRING)],
            {"text_column": "1", "label_column": "2"},
        ),
        ("a.csv", [f"{label},文本{number}" for number, label in enumerate(RECURRING)], {"label_column": "1"}),
    ],
)
def test_columns_without_a_header_are_told_by_values_or_numbers(read, name, rows, options):
    found = read(name, "\n".join(rows), header=False, **options)
    assert [(each.text, each.label) for each in found.documents] == [
        (f"文本{number}", label) for number, label in enumerate(RECURRING)
    ]


def test_a_text_without_a_header_keeps_its_blanks(read):
    assert read("a.csv", " 好 ,pos\n", header=False, text_column="1", label_column="2").texts == [" 好 "]


@pytest.mark.parametrize("rows", ["好,pos\n差,neg\n", "a,b,c\nd,b,c\n"])
def test_columns_that_nothing_tells_are_asked_for(tmp_path, rows):
    (tmp_path / "a.csv").write_text(rows, encoding="utf-8")
    with pytest.raises(DataError, match=r"nothing tells which of the columns has the text.*--text-column 1"):
        list(read_documents(tmp_path / "a.csv", header=False))


def test_first_records_without_a_header_have_numbers(tmp_path):
    (tmp_path / "a.csv").write_text("好;pos\n差;neg\n", encoding="utf-8")
    assert first_records(str(tmp_path / "a.csv"), "csv", 5, header=False) == [
        {"1": "好", "2": "pos"},
        {"1": "差", "2": "neg"},
    ]


def test_an_empty_target_is_no_empty_label(read):
    found = read("a.tsv", "source\ttarget\n12\t一二\n13\t\n", text_column="source", label_column="target")
    assert found.errors == ["a.tsv:3: the column 'target' is empty; give the row a target, or delete it"]
