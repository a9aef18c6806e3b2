"""fetch against a real HTTP server on the loopback interface that cuts, lies and refuses."""

from __future__ import annotations

import hashlib
import io
import re
import tarfile
import threading
import zipfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from hashpipe.common.errors import UserError
from hashpipe.hashing.benchmarks import fetch as fetching
from hashpipe.hashing.benchmarks.archives import unpack
from hashpipe.hashing.benchmarks.fetch import fetch
from hashpipe.hashing.benchmarks.manifests import File, Manifest

CONTENT = bytes(range(256)) * 4000


class Server:
    """Serves `files`; `cuts` says after how many bytes each following answer breaks off."""

    def __init__(self) -> None:
        self.files = {"/data.bin": CONTENT}
        self.cuts: list[int] = []
        self.ranges: list[str | None] = []
        self.etag = '"one"'
        self.honours_ranges = True
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                if self.path not in server.files:
                    self.send_error(404)
                    return
                data, start = server.files[self.path], 0
                asked = self.headers.get("Range")
                server.ranges.append(asked)
                if asked and server.honours_ranges and self.headers.get("If-Range") == server.etag:
                    start = int(re.fullmatch(r"bytes=(\d+)-", asked).group(1))
                    if start >= len(data):
                        self.send_error(416)
                        return
                    self.send_response(206)
                else:
                    self.send_response(200)
                self.send_header("Content-Length", str(len(data) - start))
                self.send_header("ETag", server.etag)
                self.end_headers()
                cut = server.cuts.pop(0) if server.cuts else None
                self.wfile.write(data[start:] if cut is None else data[start : start + cut])

            def log_message(self, *arguments):
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.http.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.http.server_port}"


@pytest.fixture
def server(monkeypatch):
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    server = Server()
    yield server
    server.http.shutdown()
    server.http.server_close()


def manifest(server, *files, download="automatic") -> Manifest:
    return Manifest(
        "toy", "Toy", "", "http://home", "", "Do it by hand.", "", "cifar10", download, "", (), files, ("Step one.",)
    )


def the_file(server, **changes) -> File:
    values = {
        "name": "data.bin", "url": f"{server.url}/data.bin", "bytes": len(CONTENT),
        "checksum": f"sha256:{hashlib.sha256(CONTENT).hexdigest()}", **changes,
    }  # fmt: skip
    return File(**values)


def never(question: str) -> bool:
    raise AssertionError(f"asked: {question}")


def test_whole_file(server, tmp_path):
    found = fetch(manifest(server, the_file(server)), tmp_path / "deep" / "er", never)
    assert (tmp_path / "deep" / "er" / "data.bin").read_bytes() == CONTENT
    assert found.states == [("data.bin", "downloaded, checksum matches")]
    assert [path.name for path in (tmp_path / "deep" / "er").iterdir()] == ["data.bin"]


def test_goes_on_after_a_cut_within_one_run(server, tmp_path):
    server.cuts = [1000, 70_000]
    fetch(manifest(server, the_file(server)), tmp_path, never)
    assert (tmp_path / "data.bin").read_bytes() == CONTENT
    assert server.ranges == [None, "bytes=1000-", "bytes=71000-"]


def test_goes_on_in_the_next_run(server, tmp_path, monkeypatch):
    monkeypatch.setattr(fetching, "ATTEMPTS", 1)
    server.cuts = [5000]
    with pytest.raises(UserError, match=r"broke off at 5000 of 1024000 bytes; run the same command again"):
        fetch(manifest(server, the_file(server)), tmp_path, never)
    assert not (tmp_path / "data.bin").exists()
    fetch(manifest(server, the_file(server)), tmp_path, never)
    assert server.ranges == [None, "bytes=5000-"]
    assert (tmp_path / "data.bin").read_bytes() == CONTENT


def test_a_file_that_changed_between_runs_starts_again(server, tmp_path, monkeypatch):
    monkeypatch.setattr(fetching, "ATTEMPTS", 1)
    server.cuts = [5000]
    other = CONTENT[::-1]
    file = the_file(server, checksum=f"sha256:{hashlib.sha256(other).hexdigest()}")
    with pytest.raises(UserError, match="broke off"):
        fetch(manifest(server, file), tmp_path, never)
    server.files["/data.bin"], server.etag = other, '"two"'
    fetch(manifest(server, file), tmp_path, never)
    assert (tmp_path / "data.bin").read_bytes() == other


def test_a_server_without_ranges_starts_again(server, tmp_path):
    server.cuts, server.honours_ranges = [5000], False
    fetch(manifest(server, the_file(server)), tmp_path, never)
    assert (tmp_path / "data.bin").read_bytes() == CONTENT


def test_wrong_checksum_keeps_nothing(server, tmp_path):
    server.files["/data.bin"] = CONTENT[:-1] + b"?"
    with pytest.raises(UserError, match="nothing was kept"):
        fetch(manifest(server, the_file(server)), tmp_path, never)
    assert list(tmp_path.iterdir()) == []


def test_truncated_again_and_again(server, tmp_path):
    server.cuts = [10, 10, 10, 10]
    with pytest.raises(UserError, match="broke off at 40 of 1024000 bytes"):
        fetch(manifest(server, the_file(server)), tmp_path, never)


def test_not_found_and_no_server(server, tmp_path):
    with pytest.raises(UserError, match=r"answers 404 .*home page"):
        fetch(manifest(server, the_file(server, url=f"{server.url}/none")), tmp_path, never)
    with pytest.raises(UserError, match="cannot be reached"):
        fetch(manifest(server, the_file(server, url="http://127.0.0.1:9/data.bin")), tmp_path, never)


def test_never_overwrites(server, tmp_path):
    (tmp_path / "data.bin").write_bytes(b"mine")
    with pytest.raises(UserError, match="move it away"):
        fetch(manifest(server, the_file(server)), tmp_path, never)
    assert (tmp_path / "data.bin").read_bytes() == b"mine"
    (tmp_path / "data.bin").write_bytes(CONTENT)
    assert fetch(manifest(server, the_file(server)), tmp_path, never).states[0][1].startswith("already there")
    assert server.ranges == []


def test_asks_before_large_or_unknown_sizes(server, tmp_path):
    asked = []
    file = the_file(server, bytes=0, checksum="", about="about 2 GB")
    with pytest.raises(UserError, match="Nothing was downloaded"):
        fetch(manifest(server, file), tmp_path, lambda question: bool(asked.append(question)))
    assert "about 2 GB" in asked[0]
    assert file.url in asked[0]
    found = fetch(manifest(server, file), tmp_path, lambda question: True)
    assert hashlib.sha256(CONTENT).hexdigest() in found.notes[0]


def test_by_hand_tells_the_steps(server, tmp_path):
    with pytest.raises(UserError, match=r"Do it by hand. \(1\) Step one"):
        fetch(manifest(server, the_file(server), download="by hand"), tmp_path, never)


def test_proxy_of_the_environment_is_used(server, tmp_path, monkeypatch):
    monkeypatch.setenv("http_proxy", server.url)
    monkeypatch.delenv("no_proxy", raising=False)
    server.files["http://somewhere.invalid/data.bin"] = CONTENT
    fetch(manifest(server, the_file(server, url="http://somewhere.invalid/data.bin")), tmp_path, never)
    assert (tmp_path / "data.bin").read_bytes() == CONTENT


def test_unpacks_once(server, tmp_path):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("photos/a.jpg", b"a")
    data = buffer.getvalue()
    server.files["/a.zip"] = data
    file = File("a.zip", f"{server.url}/a.zip", len(data), unpack="unpacked")
    fetch(manifest(server, file), tmp_path, never)
    assert (tmp_path / "unpacked" / "photos" / "a.jpg").read_bytes() == b"a"
    assert [state for _, state in fetch(manifest(server, file), tmp_path, never).states] == ["already there"]


# --- hostile archives


def tar_of(path, *members):
    with tarfile.open(path, "w:gz") as archive:
        for info, data in members:
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))


def tar_member(name, kind=tarfile.REGTYPE, link=""):
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, link
    return info


@pytest.mark.parametrize(
    ("member", "reason"),
    [
        (tar_member("../evil"), "outside"),
        (tar_member("/etc/evil"), "outside"),
        (tar_member("a/../../evil"), "outside"),
        (tar_member("..\\evil"), "outside"),
        (tar_member("C:/evil"), "outside"),
        (tar_member("link", tarfile.SYMTYPE, "/etc/passwd"), "link"),
        (tar_member("hard", tarfile.LNKTYPE, "../../etc/passwd"), "link"),
        (tar_member("pipe", tarfile.FIFOTYPE), "device"),
        (tar_member("../evil", tarfile.DIRTYPE), "outside"),
    ],
)
def test_hostile_tar_members_are_refused(tmp_path, member, reason):
    path = tmp_path / "in" / "a.tgz"
    path.parent.mkdir()
    tar_of(path, (tar_member("fine.jpg"), b"fine"), (member, b""))
    with pytest.raises(UserError, match=reason):
        unpack(path, tmp_path / "in" / "out")
    assert sorted(p.name for p in tmp_path.rglob("*")) == ["a.tgz", "in"]


def test_hostile_zip_members_are_refused(tmp_path):
    link = zipfile.ZipInfo("link")
    link.external_attr = 0o120777 << 16
    for i, (info, reason) in enumerate([("../evil", "outside"), ("/evil", "outside"), (link, "link")]):
        path = tmp_path / f"{i}.zip"
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr(info, b"/etc/passwd")
        with pytest.raises(UserError, match=reason):
            unpack(path, tmp_path / "out")
        assert not (tmp_path / "out").exists()


def test_bombs_doubles_and_damage_are_refused(tmp_path):
    bomb = tmp_path / "bomb.zip"
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("big", bytes(30_000_000))
    with pytest.raises(UserError, match="times its size"):
        unpack(bomb, tmp_path / "out")
    double = tmp_path / "double.tgz"
    tar_of(double, (tar_member("a"), b"1"), (tar_member("a"), b"2"))
    with pytest.raises(UserError, match="twice"):
        unpack(double, tmp_path / "out")
    whole = tmp_path / "whole.tgz"
    tar_of(whole, (tar_member("a"), bytes(200_000)), (tar_member("b"), hashlib.sha512(b"x").digest() * 9000))
    (tmp_path / "cut.tgz").write_bytes(whole.read_bytes()[:-300])
    with pytest.raises(UserError, match="damaged"):
        unpack(tmp_path / "cut.tgz", tmp_path / "out")
    assert not (tmp_path / "out").exists()
    unpack(whole, tmp_path / "out")
    with pytest.raises(UserError, match="not overwritten"):
        unpack(whole, tmp_path / "out")
