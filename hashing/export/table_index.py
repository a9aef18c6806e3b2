"""pgvector's index of a table of codes, built where it helps and never at the cost of the codes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from hashpipe.common.errors import UserError
from hashpipe.hashing.codes.codes_file import CodeSet
from hashpipe.hashing.search.postgres import EF, bit_texts, execute, first_line, vector_schema
from hashpipe.hashing.search.sampling import distinct_rows

if TYPE_CHECKING:
    import psycopg

LEAST_RECALL = 0.9  # below it an index that nobody asked for is left out
_NEAREST, _SAMPLE = 10, 32
_EXACT = "SELECT bit_count(code # %(code)s::{kind}) AS d FROM {table} ORDER BY d LIMIT %(k)s"
_BY_INDEX = """SELECT (code OPERATOR({vector}.<~>) %(code)s::{kind})::int FROM {table}
    ORDER BY code OPERATOR({vector}.<~>) %(code)s::{kind} LIMIT %(k)s"""


def index_table(connection: psycopg.Connection[Any], codeset: CodeSet, table: str, hnsw: str) -> dict[str, Any]:
    """Build pgvector's HNSW index where wanted ("auto", "on", "off"). Returns facts: hnsw, and its measured recall.

    With "auto" it is left out, and hnsw_note says so, where it cannot be built, and where it finds too few of the
    nearest, as where many photos have one code: their nodes have no links to others. Without it searches are exact.
    With "on" it stays, and a UserError says why it cannot be built.
    """
    import psycopg

    if hnsw == "off":
        return {"hnsw": False}
    try:
        if hnsw == "on":
            connection.execute("CREATE EXTENSION IF NOT EXISTS vector")
        schema = vector_schema(connection)
        if schema is None and hnsw == "on":
            raise UserError(
                f"The codes are in table {table!r}, but this pgvector is older than 0.7 and indexes no bit strings; "
                "update it or omit --hnsw on."
            )
        if schema is None:
            return {"hnsw": False}
        query = "CREATE INDEX IF NOT EXISTS {hnsw} ON {table} USING hnsw (code {vector}.bit_hamming_ops)"
        execute(connection, query, table, schema=schema)
        found = _recall(connection, codeset, table, schema)
        if found >= LEAST_RECALL or hnsw == "on":
            return {"hnsw": True, "hnsw_recall": found}
        where = connection.execute("SELECT quote_ident(current_schema())").fetchone()
        execute(connection, f"DROP INDEX {where[0] if where else 'public'}.{{hnsw}}", table)
    except psycopg.Error as error:
        if hnsw == "on":
            raise UserError(
                f"The codes are in table {table!r}, but pgvector's index cannot be made ({first_line(error)}); have "
                "the extension vector installed and allowed on the server, or omit --hnsw on."
            ) from None
        return {"hnsw": False, "hnsw_note": f"pgvector's index was left out ({first_line(error)}); searches are exact"}
    share = f"{100 * found:.0f} % of the nearest photos"
    note = (
        f"pgvector's index was left out, because it finds {share} only: many photos have one code; searches are exact"
    )
    return {"hnsw": False, "hnsw_recall": found, "hnsw_note": note}


def _recall(connection: psycopg.Connection[Any], codeset: CodeSet, table: str, schema: str) -> float:
    """The share of the nearest 10 photos that the index finds, on a sample of the distinct codes, ties as right.

    The planner is kept from scanning the table, as it will not once the table has grown.
    """
    k = min(_NEAREST, len(codeset))
    chosen = codeset.codes[distinct_rows(codeset.codes, _SAMPLE)]
    shares = []
    with connection.transaction():
        for name, value in (("enable_seqscan", "off"), ("hnsw.ef_search", str(EF))):
            connection.execute("SELECT set_config(%s, %s, true)", [name, value])
        for code in bit_texts(chosen, codeset.space.bits):
            values = {"code": code, "k": k}
            exact, near = (
                [row[0] for row in execute(connection, query, table, values, codeset.space.bits, schema).fetchall()]
                for query in (_EXACT, _BY_INDEX)
            )
            shares.append(sum(distance <= exact[-1] for distance in near) / k)
    return round(float(np.mean(shares)), 4) if shares else 1.0
