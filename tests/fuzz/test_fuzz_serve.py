"""Whatever is asked of a real server: an answer below 500, JSON where it refuses, and the next request is answered."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from urllib.parse import quote

import pytest
from amounts import damaged, tried, tries
from hypothesis import given
from hypothesis import strategies as st
from served import Served, client, jpeg, make_collection
from small_models import vlad_model, write_pictures

for package in ("fastapi", "uvicorn", "python_multipart", "cachetools", "httpx"):
    pytest.importorskip(package, reason=f"the page needs {package}: pip install '.[serve,test]'")


PATHS = [
    "/", "/docs", "/openapi.json", "/page/page.js", "/page/{}", "/api/health", "/api/info", "/api/photos",
    "/api/search",
    "/api/photos/{}", "/api/photos/{}/similar", "/api/photos/{}/picture", "/api/photos/{}/thumbnail", "/api/places",
    "/api/places/{}", "/api/places/{}/cloud", "/api/groups", "/api/groups/{}/{}", "/{}", "/api/{}",
]  # fmt: skip
WORDS = st.sampled_from(
    ("10", "11", "0", "-1", "1e3", "nan", "99999999999999999999", "9" * 5000, "", "..", "../../etc/passwd", "%", "%00",
     "a\0b", "é", "\ud7ff", "small", "large", "exact", "true", "x" * 2000, "0f0f", "FF", "ab" * 600, "null", "'", "<b>")
) | st.text(st.characters(exclude_categories=("Cs",)), max_size=8) | st.integers().map(str)  # fmt: skip
NAMES = st.sampled_from(
    ("offset", "limit", "radius", "counts", "code", "space", "same", "size", "model", "kind", "photo", "é", "a[b]", "")
)
METHODS = st.sampled_from(("GET", "GET", "POST", "HEAD", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE", "FOO"))
TOKENS = st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=12)
HEADERS = st.dictionaries(
    st.sampled_from(("Range", "If-None-Match", "Accept", "Origin", "Sec-Fetch-Site", "Content-Type", "Cookie", "Expect",
                     "Accept-Encoding", "X-Forwarded-For", "If-Modified-Since", "Content-Encoding", "Transfer-Encoding",
                     "Content-Length", "Host", "Upgrade", "Connection")),
    st.sampled_from(("bytes=0-", "bytes=9-1", "*", "null", "http://[", "cross-site", "multipart/form-data", "gzip",
                     "-1", "multipart/form-data; boundary=x", "application/json", "100-continue", "chunked", "0", "1e9",
                     "[::1", "websocket", "close")) | TOKENS,
    max_size=3,
)  # fmt: skip
SOUND = [jpeg(), jpeg(kind="PNG"), jpeg(kind="WEBP"), jpeg(kind="TIFF"), jpeg(kind="GIF"), jpeg((17, 400))]
FILES = damaged(st.sampled_from(SOUND)) | st.sampled_from(SOUND) | st.binary(max_size=60)
PART = b'--x\r\nContent-Disposition: form-data; name="photo"; filename="a.jpg"\r\nContent-Type: image/jpeg\r\n\r\n'
FORMS = damaged(FILES.map(lambda content: PART + content + b"\r\n--x--\r\n"), head=140)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    from hashpipe.hashing.serve.options import ServeOptions
    from hashpipe.hashing.serve.run import listening

    folder = tmp_path_factory.mktemp("served")
    model = vlad_model(folder / "model", write_pictures(folder / "learnt", 8, seed=5), (16,))
    make_collection(folder, model)
    with listening(folder / "ws", ServeOptions(port=0, workers=1)) as told, client(told.url) as asking:
        yield Served(folder / "photos", folder / "ws", told, asking)


def judge(response) -> None:
    assert response.status_code < 500, (response.request.method, response.request.url, response.text[:300])
    if response.status_code >= 400 and response.request.method != "HEAD":
        assert response.json()["detail"]


@tries(60, share=2.0)
@given(
    method=METHODS, path=st.sampled_from(PATHS), words=st.tuples(WORDS, WORDS),
    query=st.lists(st.tuples(NAMES, WORDS), max_size=4), plain=st.booleans(),
)  # fmt: skip
def test_any_path_and_query(served, method, path, words, query, plain):
    tried["test_any_path_and_query"] += 1
    parts = [word if plain and word.isalnum() and word.isascii() else quote(word, safe="") for word in words]
    address = path.format(*parts)[:6000] + "?" + "&".join(f"{quote(k)}={quote(v)}" for k, v in query)
    judge(served.client.request(method, address))


@tries(30)
@given(content=FILES, name=st.sampled_from(("photo", "x")), file=st.sampled_from(("a.jpg", "a.dng", "", "é\0", "/x")))
def test_any_upload(served, content, name, file):
    tried["test_any_upload"] += 1
    judge(served.client.post("/api/search", files={name: (file, content)}))


@tries(30)
@given(content=FORMS, boundary=st.sampled_from(("x", "y", "", "x" * 300)))
def test_any_form(served, content, boundary):
    tried["test_any_form"] += 1
    kind = {"Content-Type": f"multipart/form-data; boundary={boundary}"}
    judge(served.client.post("/api/search", content=content, headers=kind))


@tries(60)
@given(method=METHODS, path=st.sampled_from(PATHS), headers=HEADERS, body=st.binary(max_size=80), data=st.data())
def test_any_bytes_on_the_line(served, method, path, headers, body, data):
    """Not through a client, which would not send such requests. No answer is an answer, a 5xx is none."""
    tried["test_any_bytes_on_the_line"] += 1
    lines = [f"{method} {path.format(10, 0)} HTTP/1.1", *({"Host": "localhost", **headers}.items())]
    head = "\r\n".join(line if isinstance(line, str) else f"{line[0]}: {line[1]}" for line in lines)
    whole = head.encode() + b"\r\n\r\n" + body
    request = data.draw(st.just(whole) | damaged(st.just(whole), head=60))
    with socket.create_connection((served.told.host, served.told.port), timeout=10) as line:
        line.sendall(request)
        line.shutdown(socket.SHUT_WR)
        first = b""
        try:
            while b"\r\n" not in first and (more := line.recv(4096)):
                first += more
        except ConnectionResetError:
            pass
    assert not first.startswith(b"HTTP/1.1 5"), (request, first)


def test_it_answers_after_all_of_that(served):
    assert served.client.get("/api/health").json()["status"] == "ok"
    assert served.search(jpeg()).status_code == 200
