"""`gmembench explain`: the table as JSON, text and page, going on where it was, errors in one line."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from tiny_world import TINY

from gmembench.core.errors import UserError
from gmembench.reports.necessity import page

COMMAND = [sys.executable, "-P", "-m", "gmembench", "explain"]


def explain(*words: str, cache: Path | str = "") -> "subprocess.CompletedProcess[str]":
    """Run the command in a process of its own, interpreted: nothing has to be compiled."""
    more = {"NUMBA_DISABLE_JIT": "1", **({"GMEMBENCH_CACHE_DIR": str(cache)} if cache else {})}
    return subprocess.run(
        [*COMMAND, *words],
        capture_output=True,
        text=True,
        env={**os.environ, **more},
        check=False,
        stdin=subprocess.DEVNULL,
    )


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, "subprocess.CompletedProcess[str]"]:
    """A small study: its folder, and what it said."""
    folder = tmp_path_factory.mktemp("explain")
    (folder / "exploration").mkdir()
    (folder / "exploration" / "tiny.toml").write_text(TINY)
    return folder, explain(*words(folder), "--json", cache=folder / "cache")


def words(folder: Path) -> list[str]:
    """A study of one world, in which rows are left out and not moved."""
    where = ["legacy-vma", "--path", str(folder), "--scenario", "tiny", "--distance", "0", "--states", "400"]
    return [*where, "--workers", "2", "--html", str(folder / f"{len(list(folder.iterdir()))}.html")]


def test_the_table_is_json(ran: tuple[Path, "subprocess.CompletedProcess[str]"]) -> None:
    """Every row and phase has a verdict; those that are necessary show a failure to replay."""
    table = json.loads(ran[1].stdout)
    assert ran[1].returncode == 0
    assert table["complete"]
    assert sum(table["counts"].values()) == len(table["entries"]) > 900
    necessary = [entry for entry in table["entries"] if entry["verdict"] == "necessary"]
    assert necessary
    for entry in necessary:
        assert entry["invariant"]
        assert entry["shown"]["replay"].startswith("gmembench replay v1:")
    rows = {entry["name"]: entry for entry in table["entries"]}
    assert rows["access.fault.topup_caches"]["verdict"] == "guards something outside the model"
    assert all(e["verdict"] == "not reached" for name, e in rows.items() if name.startswith("slot_delete."))


def test_a_second_run_goes_on_where_the_first_was(ran: tuple[Path, "subprocess.CompletedProcess[str]"]) -> None:
    """All answers are there already: the table is the same, but for its time."""
    folder, first = ran
    notes = list((folder / "cache" / "explain").glob("legacy-vma-none-*.jsonl"))
    before = notes[0].stat().st_size
    with notes[0].open("ab") as file:
        file.write(b'{"edit": "torn')
    again = explain(*words(folder), "--json", cache=folder / "cache")
    tables = [{**json.loads(done.stdout), "seconds": 0} for done in (first, again)]
    assert tables[0] == tables[1]
    assert notes[0].stat().st_size == before + len(b'{"edit": "torn')


def test_the_page_shows_the_table(ran: tuple[Path, "subprocess.CompletedProcess[str]"]) -> None:
    """One file, with every row, and nothing that it would have to fetch."""
    folder, done = ran
    text = next(folder.glob("*.html")).read_text()
    assert all(entry["name"] in text for entry in json.loads(done.stdout)["entries"])
    assert "<script" not in text
    assert "http" not in text.replace("http://www.w3.org", "")


def test_text_of_a_table_is_escaped(ran: tuple[Path, "subprocess.CompletedProcess[str]"]) -> None:
    """A name with markup stays text."""
    table = json.loads(ran[1].stdout)
    table["entries"][0]["name"] = "<script>alert(1)</script>"
    assert "<script>" not in page(json.dumps(table).encode(), "x")


@pytest.mark.parametrize("raw", [b"{}", b"\xff", b"[]", b'{"schema": 1}'])
def test_what_is_no_table_is_the_users_error(raw: bytes) -> None:
    """A page is made of a table only."""
    with pytest.raises(UserError):
        page(raw, "x.json")


BAD = [
    ([], "Missing argument 'DESIGN'"),
    (["guest-memf"], "did you mean guest-memfd"),
    (["guest-memfd", "--hardware", "sgx"], "no hardware 'sgx'"),
    (["guest-memfd", "--scenario", "fault-vs-pnch"], "did you mean fault-vs-punch"),
    (["legacy-vma", "--scenario", "fault-vs-convert"], "no convert"),
    (["guest-memfd", "--states", "1"], "--states"),
    (["guest-memfd", "--html", "/nowhere/x.html"], "the folder does not exist"),
]


@pytest.mark.parametrize(("given", "said"), BAD, ids=lambda value: " ".join(value) if isinstance(value, list) else "")
def test_bad_input_is_one_line_and_exit_two(given: list[str], said: str) -> None:
    """What is wrong, and what to do; nothing on standard output."""
    done = explain(*given)
    assert done.returncode == 2
    assert done.stdout == ""
    assert said in done.stderr
    assert len(done.stderr.splitlines()) == 1
