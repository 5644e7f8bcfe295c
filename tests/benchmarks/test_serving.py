"""Documents of the load on a server."""

import json

from benchmarks.serving import documents, record


def test_documents_have_lengths_of_every_order_and_are_the_same_each_time():
    texts = documents(200, 50, 20_000)
    lengths = sorted(map(len, texts))
    assert 50 <= lengths[0] < 100
    assert 10_000 < lengths[-1] <= 20_000
    # As many between 50 and 1,000 as above.
    assert 800 < lengths[100] < 1300
    assert texts == documents(200, 50, 20_000)
    assert json.loads(record(3, texts[0])) == {"id": "d3", "text": texts[0]}
