"""Columns and schemes of CoNLL files, told from their lines."""

import pytest

from reformer.data.spans import SpanReading

NOT_SEEN = SpanReading(wanted=False)


def read_one(read, lines, name="a.conll", **options):
    found = read(name, lines, **options)
    assert found.errors == []
    [document] = found.documents
    return document.text, [(document.text[span.start : span.end], span.label) for span in document.spans or ()]


@pytest.mark.parametrize(
    ("lines", "entities"),
    [
        ("南 B-GPE\n京 E-GPE\n市 O\n李 S-PER\n", [("南京", "GPE"), ("李", "PER")]),
        ("中 B-ORG\n国 M-ORG\n人 E-ORG\n", [("中国人", "ORG")]),
        ("王\tU-PER\n北\tB-LOC\n京\tL-LOC\n", [("王", "PER"), ("北京", "LOC")]),
        ("南\tB_PER\n京\tI_PER\n", [("南京", "PER")]),
        ("南\tb-per\n京\ti-per\n了\to\n", [("南京", "per")]),
        ("南\tB-PER\n京\to\n", [("南", "PER")]),
        ("王\tPER-B\n明\tPER-I\n", [("王明", "PER")]),
        ("王\tB-person name\n明\tI-person name\n", [("王明", "person name")]),
        ("王 B-person name\n明 I-person name\n", [("王明", "person name")]),
        ("王 B-person name\n明 I-person name\n在 O\n", [("王明", "person name")]),
        ("王\tPER\n明\tPER\n在\tO\n北\tLOC\n", [("王明", "PER"), ("北", "LOC")]),
        ("王\tW-PER\n北\tB-E-mail\n京\tE-E-mail\n", [("王", "PER"), ("北京", "E-mail")]),
        ("北 B-LOC\n京 E-LOC\n上 B-LOC\n海 E-LOC\n", [("北京", "LOC"), ("上海", "LOC")]),
        ("北 E-LOC\n京 E-LOC\n", [("北", "LOC"), ("京", "LOC")]),
    ],
)
def test_schemes(read, lines, entities):
    assert read_one(read, lines)[1] == entities


def test_types_alone_in_a_file_of_several_sentences(read):
    found = read("a.conll", "Test\tO\n\nLoad\tO\n\nHi\tO\nJohn\tNAME\n")
    assert [(d.text, [span.label for span in d.spans]) for d in found.documents] == [
        ("Test", []),
        ("Load", []),
        ("Hi John", ["NAME"]),
    ]


@pytest.mark.parametrize(
    ("lines", "text", "entities"),
    [
        (
            "1 UN NNP I-NP I-ORG\n2 hears VBZ I-VP O\n3 Danish JJ I-NP I-MISC\n4 plan NN I-NP O\n",
            "UN hears Danish plan",
            [("UN", "ORG"), ("Danish", "MISC")],
        ),
        ("EU NNP B-NP B-ORG\nrejects VBZ B-VP O\n", "EU rejects", [("EU", "ORG")]),
        ("Pilvi I-PRO   O\n710:n I-PRO   O\nhinta O       O\n", "Pilvi 710:n hinta", [("Pilvi 710:n", "PRO")]),
        ("#\thttp://x [2009]\n1\tMueller\tB-PER\tO\n2\tsagte\tO\tO\n", "Mueller sagte", [("Mueller", "PER")]),
        ("# sent_id = a\n# text = UN hears\n1\tUN\tB-ORG\t-\tann\n2\thears\tO\t-\tann\n", "UN hears", [("UN", "ORG")]),
        ("Token POS Tag\nEU NNP B-ORG\nrejects VBZ O\n", "EU rejects", [("EU", "ORG")]),
        ("NER\tword\nB-ORG\tEU\nO\trejects\n", "EU rejects", [("EU", "ORG")]),
        ("EU -X- _ B-ORG\nrejects -X- _ O\n", "EU rejects", [("EU", "ORG")]),
        ("# id 1\nEU\tB-ORG\nrejects\tO\n", "EU rejects", [("EU", "ORG")]),
        ("# O\nEU B-ORG\n#tag O\n", "# EU #tag", [("EU", "ORG")]),
        ("王 B-PER\n明 I-PER\n  O\n在 O\n", "王明 在", [("王明", "PER")]),
        ("明0 O\n天1 O\n下0 B-LOC\n雨1 I-LOC\n", "明天下雨", [("下雨", "LOC")]),
        ("7\tB-NUM\n8\tI-NUM\n9\tO\n", "789", [("78", "NUM")]),
    ],
)
@pytest.mark.filterwarnings("ignore::reformer.data.notes.DataWarning")
def test_columns_are_told_from_the_lines(read, lines, text, entities):
    assert read_one(read, lines) == (text, entities)


def test_a_digit_that_is_left_out_is_told_of(read):
    with pytest.warns(UserWarning, match=r"a\.conll: words read without their last digit.*: 4, first at line 1"):
        assert read_one(read, "明0 O\n天1 O\n下0 O\n雨1 O\n")[0] == "明天下雨"


def test_words_that_end_in_digits_otherwise_stay(read):
    assert read_one(read, "A1 O\nB7 O\nC4 B-X\nD9 O\n") == ("A1 B7 C4 D9", [("C4", "X")])


@pytest.mark.parametrize(
    ("columns", "text", "entities"),
    [
        ("word,_,tag,_", "EU rejects", [("EU", "NP"), ("rejects", "VP")]),
        ("_,word,_,tag", "NNP VBZ", [("NNP", "ORG")]),
        ("word,_,tag,tag", "EU rejects", [("EU", "NP"), ("rejects", "VP"), ("EU", "ORG")]),
    ],
)
def test_columns_as_the_user_names_them(read, columns, text, entities):
    spans = SpanReading(columns=tuple(columns.split(",")), on_overlap="keep")
    found = read_one(read, "EU NNP B-NP B-ORG\nrejects VBZ B-VP O\n", spans=spans)
    assert (found[0], sorted(found[1])) == (text, sorted(entities))


def test_a_second_column_of_tags_that_is_no_part_of_the_first_is_to_be_chosen(read):
    found = read("a.conll", "EU B-ORG O\nrejects O B-ORG\n")
    [error] = found.errors
    assert error.startswith("a.conll:1: columns 2 and 3 have tags, and 'ORG' at the characters 3:10 is no part of")
    assert "--columns word,tag,_" in error


def test_nested_entities_are_kept_by_choice(read):
    lines = "Uni B-ORG O\nKoeln I-ORG B-LOC\n"
    assert "overlap" in read("a.conll", lines).errors[0]
    assert read_one(read, lines, spans=SpanReading(on_overlap="keep"))[1] == [("Uni Koeln", "ORG"), ("Koeln", "LOC")]


@pytest.mark.parametrize(
    ("lines", "problem"),
    [
        ("Lund\tB-LOC\när\t0\n", "a.conll:2: the tag is '0', the digit, where O is written as a letter"),
        (
            "the DT\ndog NN\n",
            "a.conll:1: no column has tags such as O, B-PER and I-PER; name the columns in their order",
        ),
        ("去 O\n北 B-LOC I-LOC\n京 I-LOC\n", "a.conll:2: '北 B-LOC I-LOC' has 3 columns, and others have 2"),
    ],
)
def test_what_nothing_tells_is_refused_with_a_remedy(read, lines, problem):
    found = read("a.conll", lines)
    assert found.documents == []
    assert found.errors[0].startswith(problem)


def test_the_digit_0_is_read_as_o_to_repair(read):
    assert read_one(read, "Lund\tB-LOC\när\t0\n", spans=SpanReading(repair=True)) == ("Lund är", [("Lund", "LOC")])


@pytest.mark.parametrize(
    ("lines", "text"),
    [
        ("王\n明\n在\n", "王明在"),
        ("the DT\ndog NN\n", "the dog"),
        ("Lund\tB-LOC\när\t0\n", "Lund är"),
        ("去 O\n北\n京 nonsense\n", "去北京"),
        ("EU B-ORG O\nrejects O B-ORG\n", "EU rejects"),
    ],
)
def test_where_no_entities_are_wanted_words_are_enough(read, lines, text):
    assert read_one(read, lines, spans=NOT_SEEN) == (text, [])


def test_words_without_tags_have_no_known_entities(read):
    [document] = read("a.conll", "王\n明\n").documents
    assert (document.text, document.spans) == ("王明", None)


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_line_ends(read, end):
    lines = end.join(["王\tB-PER", "明\tI-PER", "", "李\tB-PER", ""])
    assert read("a.conll", lines).texts == ["王明", "李"]


@pytest.mark.parametrize("suffix", ["tsv", "iob2", "bioes", "bmes", "bio", "conll2003"])
def test_suffixes(read, suffix):
    assert read_one(read, "王\tB-PER\n明\tI-PER\n", f"a.{suffix}") == ("王明", [("王明", "PER")])


CONLLU = """# sent_id = s1
# text = Vámonos al mar, Ana.
1-2\tVámonos\t_\t_\t_\t_\t_\t_\t_\t_
1\tVamos\tir\tVERB\t_\t_\t0\troot\t_\tNER=O
2\tnos\tnosotros\tPRON\t_\t_\t1\tobj\t_\tNER=O
3\tal\ta\tADP\t_\t_\t4\tcase\t_\t_
4\tmar\tmar\tNOUN\t_\t_\t1\tobl\t_\tSpaceAfter=No|NER=B-LOC
4.1\tx\tx\tX\t_\t_\t_\t_\t_\tNER=B-PER
5\t,\t,\tPUNCT\t_\t_\t1\tpunct\t_\tNER=O
6\tAna\tAna\tPROPN\t_\t_\t1\tvoc\t_\tNER=B-PER|SpaceAfter=No
7\t.\t.\tPUNCT\t_\t_\t1\tpunct\t_\tNER=O

"""


@pytest.mark.parametrize("name", ["a.conllu", "a.conll"])
def test_conllu(read, name):
    found = read(name, CONLLU)
    assert found.errors == []
    [document] = found.documents
    assert (document.id, document.text) == ("s1", "Vámonos al mar, Ana.")
    assert [(document.text[span.start : span.end], span.label) for span in document.spans] == [
        ("mar", "LOC"),
        ("Ana", "PER"),
    ]


def test_conllu_without_its_text_has_that_of_its_words(read):
    lines = [line for line in CONLLU.splitlines(keepends=True) if not line.startswith("# text")]
    assert read("a.conllu", "".join(lines)).texts == ["Vámonos al mar, Ana."]


def test_conllu_that_contradicts_itself_is_told(read):
    found = read("a.conllu", CONLLU.replace("# text = Vámonos al", "# text = Vámonos el") + "\n1\tx\n")
    assert [error.partition(";")[0] for error in found.errors] == [
        "a.conllu:3: the word 'al' does not stand where it should in the text of the comment # text",
        "a.conllu:14: '1\\tx' is no line of CoNLL-U, which has a number and 10 columns between tabs",
    ]
