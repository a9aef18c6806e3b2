"""Parts of the server by themselves: counting, pictures and their cache, the guard, the line for uploads."""

from __future__ import annotations

import asyncio
import io
import json
import os

import numpy as np
import pytest
from photo_samples import bare_dng, raw, video
from PIL import Image
from served import jpeg
from starlette.exceptions import HTTPException

from hashpipe.common.files import open_workspace, sha256_file
from hashpipe.common.hamming import hamming
from hashpipe.hashing.codes.codes_file import CodeSet, CodeSpace, write_codes
from hashpipe.hashing.search.index_commands import build_index
from hashpipe.hashing.search.index_options import IndexOptions
from hashpipe.hashing.serve import search_pages
from hashpipe.hashing.serve.collection import load
from hashpipe.hashing.serve.executors import bounded_executor
from hashpipe.hashing.serve.middleware import Policy, behind_middleware, is_loopback
from hashpipe.hashing.serve.pictures import GonePhoto, OutsidePhoto, pictures
from hashpipe.hashing.serve.uploads import RefusedUpload, check_upload
from hashpipe.pairgen.photos.files import content_hash
from hashpipe.pairgen.photos.same import ChangedPhoto


@pytest.mark.parametrize("bits", [4, 16, 64, 100, 128])
@pytest.mark.parametrize("old_numpy", [False, True])
def test_counting_against_the_slow_way(bits, old_numpy, monkeypatch):
    if old_numpy:
        monkeypatch.delattr(np, "bitwise_count", raising=False)
    monkeypatch.setattr(search_pages, "_BLOCK", 7)
    rng = np.random.default_rng(bits)
    codes = np.packbits(rng.random((50, bits)) < 0.5, axis=1, bitorder="little")
    distances = hamming(codes[3], codes)
    slow = [int((distances <= radius).sum()) for radius in range(bits + 1)]
    assert search_pages.count_within(codes[3], codes, bits).tolist() == slow
    assert search_pages.count_within(codes[3], codes[:0], bits).tolist() == [0] * (bits + 1)


@pytest.mark.parametrize("kind", ["flat", "hnsw"])
def test_radii_are_exact_in_every_kind_of_index(tmp_path, kind):
    rng = np.random.default_rng(0)
    space = CodeSpace("0123456789abcdef", 32, np.zeros(32, np.float32))
    codes = rng.integers(0, 256, (400, 4), dtype=np.uint8)
    names, shas = zip(*[(f"{row}.jpg", f"{row:064x}") for row in range(400)], strict=True)
    workspace = open_workspace(tmp_path / "ws", create=True)
    codeset = CodeSet(space, np.arange(400, dtype=np.int32), names, shas, codes, np.ones(400, np.float32), "photos")
    write_codes(workspace / "codes.parquet", codeset)
    build_index([], workspace, IndexOptions(kind=kind))
    collection = load(workspace / "index", workspace)
    distances = hamming(codes[5], codes)
    wanted = [row for row in np.argsort(distances, kind="stable") if distances[row] <= 12 and row != 5]
    found = search_pages.search(collection, codes[5], offset=0, limit=400, radius=12, without=5)
    assert found.rows.tolist() == wanted
    assert not found.more
    assert collection.name(7) == "7.jpg"
    assert len(collection.places.numbers) == 0


def test_the_cache_of_pictures_stays_small(tmp_path):
    root, cache = (tmp_path / "photos").resolve(), tmp_path / "cache"
    root.mkdir()
    for number in range(12):
        (root / f"{number}.jpg").write_bytes(jpeg(seed=number))
    roots = frozenset([root])
    size = len(pictures(cache, 0)(root / "0.jpg", "small", roots, sha256_file(root / "0.jpg"))[0])
    assert not cache.exists()
    draw = pictures(cache, 5 * size)
    for number in range(12):
        draw(root / f"{number}.jpg", "small", roots, sha256_file(root / f"{number}.jpg"))
        kept = list(cache.rglob("*.jpg"))
        assert sum(path.stat().st_size for path in kept) <= 6 * size
        for age, path in enumerate(sorted(kept, key=lambda one: one.stat().st_mtime_ns)):
            os.utime(path, (age, age))
    assert 0 < len(kept) < 12
    content = sha256_file(root / "11.jpg")
    before = draw(root / "11.jpg", "small", roots, content)
    (root / "11.jpg").write_bytes(jpeg(seed=99))
    after = draw(root / "11.jpg", "small", roots, sha256_file(root / "11.jpg"))
    assert before[1] != after[1]
    assert before[0] != after[0]
    for maker in (draw, pictures(cache, 0)):  # another photo has its place: it is not shown for the one that was
        with pytest.raises(ChangedPhoto):
            maker(root / "11.jpg", "small", roots, content)


def test_a_cache_that_cannot_be_written_is_done_without(tmp_path):
    root = tmp_path.resolve()
    (root / "1.jpg").write_bytes(jpeg(exif=_with_position()))
    (root / "cache").write_text("a file where the folder should be")
    content, _ = pictures(root / "cache", 10**6)(
        root / "1.jpg", "small", frozenset([root]), sha256_file(root / "1.jpg")
    )
    (root / "thumbnail.jpg").write_bytes(content)
    with Image.open(root / "thumbnail.jpg") as picture:
        assert not picture.getexif()
    with pytest.raises(GonePhoto):
        pictures(root / "cache", 10**6)(root / "2.jpg", "small", frozenset([root]), "")


def _with_position() -> bytes:
    exif = Image.Exif()
    exif.get_ifd(0x8825)[1] = "N"
    exif[0x010E] = "taken at home"
    return exif.tobytes()


@pytest.mark.parametrize(
    ("host", "wanted"),
    [("127.0.0.1", True), ("::1", True), ("localhost", True), ("0.0.0.0", False), ("192.0.2.1", False), ("x", False)],
)
def test_which_addresses_are_this_machine_alone(host, wanted):
    assert is_loopback(host) is wanted


def _ask(policy: Policy, receive, app) -> tuple[int, str]:
    """Send one upload through the guard; status and sentence."""
    sent: list[dict] = []

    async def send(message):
        sent.append(message)

    scope = {
        "type": "http",
        "method": "POST",
        "path": "/api/search",
        "headers": [(b"host", b"localhost"), (b"transfer-encoding", b"chunked")],
    }
    asyncio.run(behind_middleware(app, policy)(scope, receive, send))
    return sent[0]["status"], json.loads(b"".join(part.get("body", b"") for part in sent[1:]))["detail"]


def test_a_silent_sender_does_not_keep_its_place():
    async def silence():
        await asyncio.sleep(60)

    async def app(scope, receive, send):
        from starlette.responses import JSONResponse

        try:
            await receive()
        except HTTPException as error:
            await JSONResponse({"detail": error.detail}, error.status_code)(scope, receive, send)

    policy = Policy(frozenset({"localhost"}), False, 1000, 1, patience=0.05)
    assert _ask(policy, silence, app) == (408, "The upload took too long; send the photo again.")


def test_a_full_line_is_refused_and_a_place_in_it_freed():
    async def both() -> tuple[int, int]:
        run = bounded_executor("test", 1, 1)
        hold = asyncio.Event()
        loop = asyncio.get_running_loop()

        def work() -> int:
            asyncio.run_coroutine_threadsafe(hold.wait(), loop).result(10)
            return 7

        waiting = [asyncio.ensure_future(run(work)) for _ in range(2)]
        await asyncio.sleep(0)
        with pytest.raises(HTTPException) as refused:
            await run(work)
        assert refused.value.headers["Retry-After"]
        hold.set()
        first = await asyncio.gather(*waiting)
        return first[0], await run(work)

    assert asyncio.run(both()) == (7, 7)


def test_a_frame_of_a_video_has_a_picture(tmp_path):
    root = tmp_path.resolve()
    video(root / "clip.mp4")
    draw = pictures(root / "cache", 10**6)
    frames = [root / f"clip.mp4#{number:06d}" for number in (10, 30)]
    first, second = (draw(frame, "small", frozenset([root]), content_hash(frame)) for frame in frames)
    assert first[1] != second[1]
    assert first[0] != second[0]
    with Image.open(io.BytesIO(first[0])) as picture:
        assert picture.size == (320, 240)
    with pytest.raises(OutsidePhoto):
        draw(frames[0], "small", frozenset([root / "elsewhere"]), content_hash(frames[0]))
    with pytest.raises(ChangedPhoto):
        draw(frames[0], "large", frozenset([root]), content_hash(frames[1]))


@pytest.mark.parametrize(
    "content", [raw(".nef"), raw(".cr2"), raw(".raf"), bare_dng()], ids=["nef", "cr2", "raf", "dng"]
)
def test_strangers_raw_files_are_not_developed(content):
    with pytest.raises(RefusedUpload) as caught:
        check_upload(content, 100)
    assert caught.value.status == 415
