"""Parquet files from outside: whole, or refused in one line."""

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from hashpipe.common.parquet import DamagedTable, read_parquet


def test_whole_tables_are_read(tmp_path):
    pq.write_table(pa.table({"path": ["a", None]}), tmp_path / "a.parquet")
    assert read_parquet(tmp_path / "a.parquet")["path"].to_pylist() == ["a", None]
    with pytest.raises(FileNotFoundError):
        read_parquet(tmp_path / "b.parquet")


@pytest.mark.parametrize("at", range(4, 60, 4))
def test_damage_is_said_in_one_line(tmp_path, at):
    pq.write_table(pa.table({"path": ["a", "b"]}), tmp_path / "a.parquet", compression="none", use_dictionary=False)
    content = bytearray((tmp_path / "a.parquet").read_bytes())
    content[at : at + 4] = b"\xff" * 4
    (tmp_path / "a.parquet").write_bytes(content)
    try:
        read_parquet(tmp_path / "a.parquet")["path"].to_pylist()
    except DamagedTable as error:
        lines = str(error).splitlines()
        assert len(lines) == 1


def test_text_that_is_no_utf8_is_damage(tmp_path):
    wrong = pa.array([b"\xff\xfe"]).cast(pa.binary()).view(pa.string())
    pq.write_table(pa.table({"path": wrong}), tmp_path / "a.parquet")
    with pytest.raises(DamagedTable, match="UTF8"):
        read_parquet(tmp_path / "a.parquet")
