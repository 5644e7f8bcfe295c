def test_the_file_is_one_document_with_its_own_line_ends(read):
    [document] = read("a.txt", "一\r\n\r\n二\n").documents
    assert (document.text, document.id) == ("一\r\n\r\n二\n", "a.txt")
    assert document.source.endswith("a.txt:1")
