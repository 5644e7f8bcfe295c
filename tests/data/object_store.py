"""Object store that speaks as much of S3's protocol as reading needs: a folder, whose folders are its buckets."""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape

LISTING = '<?xml version="1.0"?><ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'


@contextmanager
def object_store(folder: Path) -> Iterator[dict[str, str]]:
    """Serves a folder on loopback; gives the environment by which clients find it."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_HEAD(self) -> None:
            self._answer(with_body=False)

        def do_GET(self) -> None:
            self._answer(with_body=True)

        def log_message(self, *arguments: object) -> None:
            pass

        def _answer(self, *, with_body: bool) -> None:
            asked = urlsplit(self.path)
            bucket, _, key = unquote(asked.path).strip("/").partition("/")
            file = folder / bucket / key
            if "list-type" in parse_qs(asked.query):
                self._send(200, _listing(folder / bucket, parse_qs(asked.query)), {}, with_body=with_body)
            elif key and file.is_file():
                data, status = file.read_bytes(), 200
                headers = {
                    "Last-Modified": formatdate(file.stat().st_mtime, usegmt=True),
                    "ETag": '"x"',
                    "Accept-Ranges": "bytes",
                }
                part = self.headers.get("Range")
                if part is not None:
                    begin, _, end = part.removeprefix("bytes=").partition("-")
                    whole = len(data)
                    data, status = data[int(begin) : int(end or whole) + 1], 206
                    headers["Content-Range"] = f"bytes {begin}-{int(begin) + len(data) - 1}/{whole}"
                self._send(status, data, headers, with_body=with_body)
            else:
                self._send(200 if not key and (folder / bucket).is_dir() else 404, b"", {}, with_body=with_body)

        def _send(self, status: int, data: bytes, headers: dict[str, str], *, with_body: bool) -> None:
            self.send_response(status)
            for name, value in {"Content-Length": str(len(data)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            if with_body:
                self.wfile.write(data)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield {
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{server.server_port}",
            **dict.fromkeys(("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"), "none"),
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_EC2_METADATA_DISABLED": "true",
        }
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _listing(bucket: Path, asked: dict[str, list[str]]) -> bytes:
    prefix, delimiter = asked.get("prefix", [""])[0], asked.get("delimiter", [""])[0]
    keys = sorted(
        Path(place, name).relative_to(bucket).as_posix() for place, _, names in os.walk(bucket) for name in names
    )
    found, folders = list[str](), dict[str, None]()
    for key in keys:
        if key.startswith(prefix):
            rest = key.removeprefix(prefix)
            if delimiter and delimiter in rest:
                folders[prefix + rest.partition(delimiter)[0] + delimiter] = None
            else:
                found.append(key)
    parts = [
        f"<Contents><Key>{escape(key)}</Key><Size>{(bucket / key).stat().st_size}</Size>"
        "<LastModified>2026-01-01T00:00:00.000Z</LastModified><ETag>x</ETag></Contents>"
        for key in found
    ]
    parts += [f"<CommonPrefixes><Prefix>{escape(each)}</Prefix></CommonPrefixes>" for each in folders]
    count = f"<KeyCount>{len(parts)}</KeyCount><IsTruncated>false</IsTruncated>"
    return f"{LISTING}{count}{''.join(parts)}</ListBucketResult>".encode()
