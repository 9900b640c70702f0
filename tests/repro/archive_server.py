"""A local server of one archive that can cut, lie and refuse; for the tests of downloads."""

import hashlib
import io
import re
import tarfile
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from frcnn.repro.download import RECORDS, Archive

PHOTOGRAPH = "VOCdevkit/VOC2007/JPEGImages/000001.jpg"
FILES = {PHOTOGRAPH: bytes(range(256)) * 400, "VOCdevkit/VOC2007/ImageSets/Main/train.txt": b"000001\n"}


def tar(files=None, *members):
    """A tar archive of files (name to bytes), and of members made by hand."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        for name, content in (FILES if files is None else files).items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
        for member in members:
            archive.addfile(member)
    return packed.getvalue()


def link(name, target, kind=tarfile.SYMTYPE):
    member = tarfile.TarInfo(name)
    member.type, member.linkname = kind, target
    return member


class Server:
    """Serves one file. cuts: after how many bytes the next answers break off. ranges: whether it knows them."""

    def __init__(self):
        self.content, self.cuts, self.ranges, self.status, self.asked = tar(), [], True, None, []
        self.astray = 0  # by how much a range begins elsewhere than was asked
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                outer.answer(self)

            def log_message(self, *_):
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.thread = threading.Thread(target=self.http.serve_forever, kwargs={"poll_interval": 0.02})
        self.thread.start()

    def answer(self, request):
        asked = request.headers.get("Range")
        self.asked.append(asked)
        start = int(re.fullmatch(r"bytes=(\d+)-", asked)[1]) if asked and self.ranges else 0
        start += self.astray if start else 0
        length = len(self.content)
        if self.status:
            return request.send_error(self.status)
        if start >= length:
            request.send_response(416)
            request.send_header("Content-Range", f"bytes */{length}")
            return request.end_headers()
        request.send_response(206 if start else 200)
        if start:
            request.send_header("Content-Range", f"bytes {start}-{length - 1}/{length}")
        request.send_header("Content-Length", str(length - start))
        request.end_headers()
        request.wfile.write(self.content[start : start + self.cuts.pop(0)] if self.cuts else self.content[start:])

    def archive(self, known=True, content=None):
        url = f"http://127.0.0.1:{self.http.server_port}/some/VOCtrainval.tar"
        return Archive(url, hashlib.sha256(content or self.content).hexdigest() if known else None)

    def stop(self):
        if self.thread.is_alive():
            self.http.shutdown()
            self.thread.join()
            self.http.server_close()


def unpacked(root):
    devkit = root / "VOCdevkit"
    paths = (path for path in devkit.rglob("*") if path.is_file() and RECORDS not in path.parts)
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in paths}
