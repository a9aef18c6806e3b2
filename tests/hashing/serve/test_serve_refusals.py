"""Bad input: every refusal is a 4xx or 503 with one sentence, and the server goes on."""

from __future__ import annotations

import io
import json
import os
import resource
import socket
import struct
import time
import zlib
from concurrent.futures import ThreadPoolExecutor

import httpx
import numpy as np
import pytest
from PIL import Image
from served import Served, encoded, jpeg
from small_models import vlad_model, write_pictures

from hashpipe.common.errors import UserError
from hashpipe.hashing.codes.codes_file import write_codes
from hashpipe.hashing.search.index_commands import build_index
from hashpipe.hashing.search.index_options import IndexOptions
from hashpipe.hashing.serve.options import ServeOptions
from hashpipe.hashing.serve.run import listening


def refused(answer: httpx.Response, status: int) -> str:
    """The sentence of a refusal."""
    assert answer.status_code == status, answer.text
    sentence = answer.json()["detail"]
    assert set(answer.json()) == {"detail"}
    assert sentence[:1].isupper() or sentence.split(":")[0].isidentifier(), sentence  # a parameter's name
    assert sentence.endswith((".", "?")), sentence
    assert "Traceback" not in sentence
    return sentence


def goes_on(served: Served) -> None:
    assert served.search(jpeg()).status_code == 200


def bomb(width: int, height: int) -> bytes:
    """A PNG of a few hundred bytes that says it has width x height pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    body = zlib.compress(bytes(1 << 20), 9)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", body) + chunk(b"IEND", b"")


def test_not_a_photo(served):
    assert "not a photo" in refused(served.search(b"just some text\n" * 50, "photo.jpg"), 415)
    assert "not a photo" in refused(served.search(b"<svg xmlns='http://www.w3.org/2000/svg'/>"), 415)
    refused(served.search(b""), 415)
    postscript = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 100 100\n%%EndComments\nshowpage\n"
    assert "not a photo" in refused(served.search(postscript), 415)
    goes_on(served)


def test_damaged_and_tiny_photos(served):
    assert "truncated" in refused(served.search(jpeg((400, 300), quality=95)[:9000]), 422)
    assert "too few" in refused(served.search(jpeg((8, 8))), 422)
    goes_on(served)


@pytest.mark.parametrize("size", [(60_000, 60_000), (9_000, 8_000)])
def test_decompression_bombs_are_not_decoded(served, size):
    assert " pixels" in refused(served.search(bomb(*size)), 413)
    goes_on(served)


def test_moving_and_unusual_pictures_are_searched_with(served):
    first, second = (Image.open(io.BytesIO(jpeg(seed=seed))) for seed in (1, 2))
    moving = io.BytesIO()
    first.save(moving, "WEBP", save_all=True, append_images=[second], duration=100, lossless=True)
    still = io.BytesIO()
    first.save(still, "PNG")
    codes = {served.search(content).json()["query"]["code"] for content in (moving.getvalue(), still.getvalue())}
    assert len(codes) == 1  # the first frame counts
    for content in (
        jpeg(mode="CMYK"),
        jpeg(mode="RGBA", kind="PNG"),
        jpeg(mode="RGB", kind="GIF"),
        jpeg(mode="RGB", kind="TIFF"),
        jpeg(mode="RGB", kind="BMP"),
    ):
        assert served.search(content).status_code == 200


def test_the_name_of_an_upload_means_nothing(served, tmp_path):
    before = {path: path.stat().st_mtime_ns for path in served.workspace.rglob("*") if path.suffix != ".jpg"}
    answers = [
        served.search(jpeg(), name) for name in ("../../evil.jpg", "/etc/passwd", "..\\..\\x", "a\x00b", "é" * 300)
    ]
    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.text for answer in answers}) == 1
    assert {path: path.stat().st_mtime_ns for path in served.workspace.rglob("*") if path.suffix != ".jpg"} == before


@pytest.mark.parametrize(
    "path",
    [
        "/page/../options.py",
        "/page/..%2foptions.py",
        "/page/%2e%2e/options.py",
        "/page//etc/passwd",
        "/..%2f..%2fetc/passwd",
        "/api/photos/..%2f..%2fetc%2fpasswd/thumbnail",
        "/api/photos/10%2f..%2f11",
        "/api/photos/99999999999999999999999",
        "/api/photos/-1",
        "/api/photos/0x10/thumbnail",
        "/api/photos/10/thumbnail?size=../../x",
    ],
)
def test_no_path_leads_anywhere(served, path):
    """Sent as it is: an ordinary client would tidy the path up first."""
    host, port = served.told.host, served.told.port
    with socket.create_connection((host, port), timeout=10) as connection:
        connection.sendall(f"GET {path} HTTP/1.1\r\nHost: {host}:{port}\r\nConnection: close\r\n\r\n".encode())
        answer = b""
        while part := connection.recv(65536):
            answer += part
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.split()[1] in (b"404", b"422"), answer
    assert json.loads(body)["detail"]
    goes_on(served)


def test_links_out_of_the_collection_are_not_followed(start, tmp_path):
    secret = tmp_path / "elsewhere" / "secret.png"
    secret.parent.mkdir()
    secret.write_bytes(jpeg(kind="PNG"))
    with start() as served:
        photo = served.photos / "003.png"
        secret.write_bytes(photo.read_bytes())
        photo.unlink()
        photo.symlink_to(secret)
        assert "leads out" in refused(served.client.get("/api/photos/13/thumbnail"), 403)
        assert "leads out" in served.client.get("/api/photos/13").json()["problem"]
        inside = served.photos / "004.png"
        inside.rename(served.photos / "moved.png")
        inside.symlink_to(served.photos / "moved.png")  # within the collection a link is as good as a file
        assert served.client.get("/api/photos/14/thumbnail").status_code == 200
        pipe = served.photos / "006.png"
        pipe.unlink()
        os.mkfifo(pipe)
        refused(served.client.get("/api/photos/16/thumbnail"), 410)
        goes_on(served)
    with start(also=(secret.parent,)) as served:
        assert served.client.get("/api/photos/13/thumbnail").status_code == 200


def test_a_photo_deleted_since_it_was_encoded(start):
    with start() as served:
        assert served.client.get("/api/photos/15/thumbnail").status_code == 200
        (served.photos / "005.png").unlink()
        assert "deleted or moved" in refused(served.client.get("/api/photos/15/thumbnail"), 410)
        (served.photos / "006.png").write_bytes(b"no longer a photo")
        assert "has changed" in refused(served.client.get("/api/photos/16/thumbnail"), 410)
        os.replace(served.photos / "008.png", served.photos / "007.png")  # another photo has its place
        assert "has changed" in refused(served.client.get("/api/photos/17/thumbnail"), 410)
        assert "has changed" in served.client.get("/api/photos/17").json()["problem"]
        assert served.client.get("/api/photos/14").json()["problem"] is None
        assert served.client.get("/api/photos/15/similar").status_code == 200  # its code is still known
        assert "deleted" in served.client.get("/api/photos/15").json()["problem"]
        refused(served.client.get("/api/photos/999/thumbnail"), 404)


def test_uploads_above_the_limit(start):
    with start(upload_mb=1) as served:
        assert "larger than 1 MB" in refused(served.search(bytes(1_500_000)), 413)

        def endless():  # no length is said beforehand
            yield b'--x\r\nContent-Disposition: form-data; name="photo"; filename="a.jpg"\r\n\r\n'
            for _ in range(64):
                yield bytes(1 << 16)

        kind = {"Content-Type": "multipart/form-data; boundary=x"}
        assert "larger than 1 MB" in refused(served.client.post("/api/search", content=endless(), headers=kind), 413)
        goes_on(served)


@pytest.mark.parametrize("length", [{"Content-Length": str(1 << 30)}, {}], ids=["said", "unsaid"])
def test_a_gigabyte_is_cut_off(served, length):
    block = bytes(1 << 20)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    def gigabyte():
        yield b'--x\r\nContent-Disposition: form-data; name="photo"; filename="a.jpg"\r\n\r\n'
        for _ in range(1 << 10):
            yield block

    kind = {"Content-Type": "multipart/form-data; boundary=x", **length}
    most = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (34 << 20, most[1]))  # a file that grows further fails: none may
    try:
        assert "larger than 32 MB" in refused(served.client.post("/api/search", content=gigabyte(), headers=kind), 413)
    except httpx.WriteError:  # the server hung up first: it need not take a gigabyte to say no
        assert length
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, most)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200_000  # KiB
    goes_on(served)


def test_forms_that_are_none(served):
    post = served.client.post
    assert "form field" in refused(post("/api/search"), 422)
    assert "form field" in refused(post("/api/search", data={"photo": "text"}), 422)
    refused(post("/api/search", content=b"xx", headers={"Content-Type": "multipart/form-data; boundary=y"}), 400)
    refused(post("/api/search", files=[("photo", b"1"), ("photo", b"2")]), 400)
    refused(post("/api/search", params={"limit": 0}, files={"photo": jpeg()}), 422)
    refused(post("/api/info"), 405)
    goes_on(served)


def test_codes_that_do_not_fit(served):
    get = served.client.get
    for code in ("zz", "0", "00", "000000", ""):
        refused(get("/api/search", params={"code": code}), 422)
    assert "another model" in refused(get("/api/search", params={"code": "0000", "space": "0" * 16}), 409)
    assert get("/api/search", params={"code": "0000", "radius": 4000}).status_code == 200


def test_strangers_pages_may_not_ask(served):
    port = served.told.port
    for host in (
        "evil.example",
        f"evil.example:{port}",
        "localhost.evil.example",
        "127.0.0.1.evil.example",
        "10.0.0.1",
        "",
    ):
        assert "name" in refused(served.client.get("/api/info", headers={"Host": host}), 421)
    for host in (f"localhost:{port}", "127.0.0.1", f"[::1]:{port}"):
        assert served.client.get("/api/info", headers={"Host": host}).status_code == 200
    for origin in ("http://evil.example", "null", f"http://127.0.0.1:{port + 1}"):
        answer = served.client.post("/api/search", files={"photo": jpeg()}, headers={"Origin": origin})
        refused(answer, 403)
    refused(served.client.get("/api/photos/10/thumbnail", headers={"Sec-Fetch-Site": "cross-site"}), 403)
    to_page = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}
    assert served.client.get("/", headers=to_page).status_code == 200
    assert "access-control-allow-origin" not in served.client.get("/api/info").headers


def test_a_name_that_was_allowed(start):
    with start(allow_host=("Photos.Example",)) as served:
        assert served.client.get("/api/info", headers={"Host": "photos.example"}).status_code == 200


def test_a_hundred_uploads_at_once(start):
    with start(queue=8, workers=1) as served:

        def send(seed: int) -> httpx.Response:
            with httpx.Client(base_url=served.told.url, timeout=60, trust_env=False, verify=False) as client:
                return client.post("/api/search", files={"photo": jpeg(seed=seed % 5)})

        with ThreadPoolExecutor(100) as threads:
            answers = list(threads.map(send, range(100)))
        busy = [answer for answer in answers if answer.status_code == 503]
        assert {answer.status_code for answer in answers} <= {200, 503}
        assert len(busy) < 100
        for answer in busy:
            assert "try again" in refused(answer, 503)
            assert int(answer.headers["retry-after"]) > 0
        goes_on(served)


def test_an_index_newer_than_the_running_page(start, model, monkeypatch):
    monkeypatch.setattr("hashpipe.hashing.serve.collection._LOOK_EVERY", 0.0)
    with start() as served:
        write_pictures(served.photos.parent / "more", 14, seed=0)
        (served.photos / "013.png").write_bytes((served.photos.parent / "more" / "013.png").read_bytes())
        names = [f"{number:03d}.png" for number in range(12) if number != 2]
        write_codes(served.workspace / "codes.parquet", encoded(served.photos, [*names, "013.png"], model))
        build_index([], served.workspace, IndexOptions())
        answer = served.search((served.photos / "013.png").read_bytes()).json()
        assert answer["revision"] != served.told.revision
        assert answer["results"][0]["name"] == "013.png"
        (served.workspace / "index" / "index.json").write_text("{}")  # and one that cannot be opened
        assert served.search(jpeg()).json()["revision"] == answer["revision"]


def test_an_index_that_cannot_be_opened_is_tried_again(start, model, monkeypatch):
    from hashpipe.hashing.serve import collection

    monkeypatch.setattr(collection, "_LOOK_EVERY", 0.0)
    monkeypatch.setattr(collection, "_PAUSES", (0.3, 0.3))
    tried, load = [], collection.load

    def failing(*arguments):
        tried.append(time.monotonic())
        if len(tried) <= 2:
            raise OSError("the disk is away")
        return load(*arguments)

    with start() as served:
        health = served.client.get("/api/health").json()
        assert (health["status"], health["problem"]) == ("ok", None)
        monkeypatch.setattr(collection, "load", failing)
        write_codes(served.workspace / "codes.parquet", encoded(served.photos, ["000.png", "001.png"], model))
        build_index([], served.workspace, IndexOptions())
        stale = served.client.get("/api/health").json()
        assert (stale["status"], stale["revision"], stale["photos"]) == ("stale", served.told.revision, 12)
        assert "tried again" in stale["problem"]
        assert str(served.workspace) not in stale["problem"]
        assert served.search(jpeg()).json()["revision"] == served.told.revision
        assert len(tried) == 1  # not all the time
        until = time.monotonic() + 20
        while (health := served.client.get("/api/health").json())["status"] == "stale":
            assert time.monotonic() < until
        assert (health["photos"], health["problem"], len(tried)) == (2, None, 3)
        assert np.diff(tried).min() >= 0.3
        assert len(served.search(jpeg()).json()["results"]) == 2
        # one that is broken on disk, and is mended
        good = (served.workspace / "index" / "index.json").read_text()
        (served.workspace / "index" / "index.json").write_text("{}")
        assert served.client.get("/api/health").json()["status"] == "stale"
        (served.workspace / "index" / "index.json").write_text(good)
        assert served.client.get("/api/health").json()["status"] == "ok"


def test_codes_of_another_model(start, tmp_path, model, monkeypatch):
    monkeypatch.setattr("hashpipe.hashing.serve.collection._LOOK_EVERY", 0.0)
    other = vlad_model(tmp_path / "other" / "model", write_pictures(tmp_path / "other" / "learnt", 6, seed=9), (16,))
    with start() as served:
        names = [f"{number:03d}.png" for number in (0, 1, 3)]
        write_codes(served.workspace / "codes.parquet", encoded(served.photos, names, other))
        build_index([], served.workspace, IndexOptions())
        assert "cannot be compared" in refused(served.search(jpeg()), 409)
        assert served.client.get("/api/photos/10/similar").status_code == 200  # index and photo still fit together
    with pytest.raises(UserError, match="cannot be compared"), listening(served.workspace, ServeOptions(port=0)):
        pass


def test_a_port_in_use_and_an_address_of_nobody(start, tmp_path):
    with (
        start() as served,
        pytest.raises(UserError, match=rf"Port {served.told.port} .* --port"),
        listening(served.workspace, ServeOptions(port=served.told.port)),
    ):
        pass
    with pytest.raises(UserError, match="--host"), listening(tmp_path / "ws", ServeOptions(host="192.0.2.1", port=0)):
        pass


def test_a_workspace_without_an_index(tmp_path, model):
    from small_models import workspace_with

    workspace = workspace_with(tmp_path / "ws", model)
    with pytest.raises(UserError, match="index build"), listening(workspace, ServeOptions(port=0)):
        pass


def test_a_place_whose_model_is_damaged(start):
    with start() as served:
        cloud = served.workspace / "pairs" / "models" / "0" / "cloud.ply"
        cloud.write_bytes(cloud.read_bytes()[:-100])
        assert "pairs build" in refused(served.client.get("/api/places/0/cloud"), 410)
        images = served.workspace / "pairs" / "models" / "0" / "images.bin"
        images.write_bytes(images.read_bytes()[:-100])
        refused(served.client.get("/api/places/0/cloud"), 410)


def test_a_low_quality_photo_is_noted(served):
    flat = io.BytesIO()
    values = np.full((120, 160, 3), 128, np.uint8)
    values[::9, ::7] = 131
    Image.fromarray(values).save(flat, "PNG")
    answer = served.search(flat.getvalue())
    if answer.status_code == 200:
        assert "unreliable" in answer.json()["note"]
    else:
        refused(answer, 422)
    goes_on(served)
