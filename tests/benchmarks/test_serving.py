"""Documents of the load on a server, and whose answers count."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from benchmarks.serving import documents, load, record


def test_documents_have_lengths_of_every_order_and_are_the_same_each_time():
    texts = documents(200, 50, 20_000)
    lengths = sorted(map(len, texts))
    assert 50 <= lengths[0] < 100
    assert 10_000 < lengths[-1] <= 20_000
    # As many between 50 and 1,000 as above.
    assert 800 < lengths[100] < 1300
    assert texts == documents(200, 50, 20_000)
    assert json.loads(record(3, texts[0])) == {"id": "d3", "text": texts[0]}


def test_beside_a_long_document_those_count_that_came_before_its_answer():
    begun, shorts, answered = threading.Event(), iter(range(100)), threading.Event()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self):
            text = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["text"]
            if len(text) > 100:
                begun.set()
                answered.wait(30)
            elif next(shorts) >= 3:
                answered.set()
                threading.Event().wait(0.5)
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *arguments):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    serving = threading.Thread(target=server.serve_forever)
    serving.start()
    try:
        port = server.server_address[1]
        seconds, answers = load(port, ["a"] * 4, 1, "b" * 200)
        assert begun.is_set()
        # Of four the last came when the long one was answered.
        assert [answer.number for answer in answers] == [0, 1, 2, 4]
        assert 0 < seconds < 30
        assert {answer.status for answer in load(port, ["a"] * 2, 2)[1]} == {200}
    finally:
        server.shutdown()
        server.server_close()
        serving.join()
