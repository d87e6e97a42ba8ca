"""The command line: help, errors in one line, exit codes, clean standard output."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import click
import pytest

from gmembench import __version__
from gmembench.benchmarks import cli

COMMAND = [sys.executable, "-P", "-m", "gmembench"]


def gmembench(*words: str, cwd: Path | None = None, **variables: str) -> "subprocess.CompletedProcess[str]":
    """Run the command line in a process of its own."""
    return subprocess.run(
        [*COMMAND, *words],
        capture_output=True,
        text=True,
        cwd=cwd,
        env={**os.environ, **variables},
        check=False,
        stdin=subprocess.DEVNULL,
    )


def all_commands(group: click.Group = cli.command_line, *words: str) -> list[list[str]]:
    """The words of every command and group."""
    found = [list(words)]
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            found += all_commands(command, *words, name)
        else:
            found.append([*words, name])
    return found


def command_at(words: list[str]) -> click.Command:
    """The command that the words name."""
    found: click.Command = cli.command_line
    for word in words:
        assert isinstance(found, click.Group)
        found = found.commands[word]
    return found


@pytest.mark.parametrize("words", all_commands(), ids=" ".join)
def test_help_has_an_example(words: list[str]) -> None:
    """The help of every command ends its text with an example that starts with the command."""
    text = command_at(words).get_help(click.Context(command_at(words), info_name="x"))
    example = text.split("Example:\n")[1].split("\n")[0]
    assert " ".join(["gmembench", *words]) in example


@pytest.mark.parametrize("words", all_commands(), ids=" ".join)
def test_every_command_takes_json(words: list[str]) -> None:
    """Whatever prints an answer can print it as JSON."""
    command = command_at(words)
    if not isinstance(command, click.Group):
        assert any("--json" in parameter.opts for parameter in command.params)


def test_help_is_light() -> None:
    """The help loads neither Numba nor NumPy nor pandas nor Matplotlib."""
    code = """
import sys
from gmembench.__main__ import main
sys.argv = ["gmembench", "run", "--help"]
try:
    main()
except SystemExit as end:
    assert not end.code
print({"numba", "numpy", "pandas", "matplotlib", "pyperf", "llvmlite"} & set(sys.modules), file=sys.stderr)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "Example:" in done.stdout
    assert done.stderr.strip() == "set()"


def test_version() -> None:
    """`--version` says the package's version."""
    assert gmembench("--version").stdout == f"gmembench {__version__}\n"


BAD = [
    ([], "Missing command"),
    (["rum"], "No such command 'rum'"),
    (["run", "--faster"], "No such option '--faster'"),
    (["run", "surplus"], "unexpected extra argument"),
    (["run", "--cells", "nothing*"], "--cells nothing*: no cell matches"),
    (["run", "--cells", "*", "--cells", "nothing*"], "--cells nothing*: no cell matches"),
    (["run", "--path", "nowhere"], "'nowhere' does not exist"),
    (["run", "--trace", "nowhere.xz"], "'nowhere.xz' does not exist"),
    (["run", "--trace", "binary"], "binary"),
    (["run", "--trace", "taken"], "taken"),
    (["run", "--cells", "boot*", "--trace", "taken"], "taken: no selected cell runs a trace"),
    (["run", "-o", "taken"], "-o taken: this path exists already"),
    (["run", "-o", "nowhere/a.json"], "-o nowhere/a.json: the folder does not exist"),
    (["run", "--report", "taken"], "--report taken: this path exists already"),
    (["run", "-o", "x", "--report", "x"], "--report x: this is the name of the result file too"),
    (["report", "-o", "out"], "Missing argument"),
    (["report", "taken"], "Missing option '-o'"),
    (["report", "nowhere.json", "-o", "out"], "'nowhere.json' does not exist"),
    (["report", "taken", "-o", "out"], "taken"),
    (["report", "taken", "-o", "taken"], "-o taken: this path exists already"),
    (["list", "things"], "'things' is not one of"),
    (["trace", "show", "nowhere.xz"], "'nowhere.xz' does not exist"),
    (["trace", "show", "binary"], "binary"),
    (["cache", "melt"], "No such command 'melt'"),
]


@pytest.mark.parametrize(("words", "what"), BAD, ids=lambda value: " ".join(value) if isinstance(value, list) else "")
def test_bad_usage_is_one_line_and_2(words: list[str], what: str, tmp_path: Path) -> None:
    """A mistake is told in one line with what, where and the mend; nothing is written or changed."""
    (tmp_path / "taken").write_text("theirs")
    (tmp_path / "binary").write_bytes(b"\xff\x00\x1b[31m" * 100)
    done = gmembench(*words, cwd=tmp_path)
    assert done.returncode == 2
    assert done.stdout == ""
    assert what in done.stderr
    assert re.fullmatch(r"[^\n]+: [^\n]+; [^\n]+\n", done.stderr)
    assert "\x1b" not in done.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["binary", "taken"]
    assert (tmp_path / "taken").read_text() == "theirs"


def test_list_cells_as_json() -> None:
    """`list --json` is a list of objects with names, and nothing else is on standard output."""
    done = gmembench("list", "cells", "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert all(row["name"].count("/") == 3 for row in found)
    assert any(row["reason"] is None for row in found)


@pytest.mark.parametrize(
    "kind",
    ["designs", "hardware", "scenarios", "events", "plans", "invariants", "steps", "rows", "touchpoints", "cells"],
)
def test_list_names_each_thing_once(kind: str) -> None:
    """Every kind of thing has a non-empty list of distinct names, the same as text and as JSON."""
    names = [row["name"] for row in json.loads(gmembench("list", kind, "--json").stdout)]
    assert names
    assert len(set(names)) == len(names)
    if kind == "cells":
        return
    lines = gmembench("list", kind).stdout.splitlines()
    assert [line.split()[0] for line in lines] == names


def test_list_cells_is_a_line_for_each_scenario_and_design() -> None:
    """Its hardware and page sizes stand behind it, and every reason is told once, by its number."""
    found = json.loads(gmembench("list", "cells", "--json").stdout)
    told = gmembench("list", "cells").stdout.splitlines()
    lines = [line for line in told if not line.startswith("--")]  # but for the estimates of the tiers
    legend = [line for line in lines if line.startswith("[")]
    assert len(lines) - len(legend) == len({(row["scenario"], row["design"]) for row in found})
    assert sorted(line.partition("not applicable: ")[2] for line in legend) == sorted(
        {row["reason"] for row in found if row["reason"]}
    )
    for row in found:
        (line,) = [line for line in lines if line.startswith(f"{row['scenario']}/{row['design']}/ ")]
        runs, _, not_there = line.partition("; not ")
        assert (
            f"{row['hardware']}/{row['page_size']}" in (not_there if row["reason"] else runs).replace(",", "").split()
        )


def test_a_step_names_the_designs_that_use_it() -> None:
    """Asking guest_memfd for a folio is of guest-memfd alone of the two oldest designs; each step has all facts."""
    found = {row["name"]: row for row in json.loads(gmembench("list", "steps", "--json").stdout)}
    assert "none" in found["gmem.lock_folio"]["designs"]["guest-memfd"]
    assert "legacy-vma" not in found["gmem.lock_folio"]["designs"]
    assert {"legacy-vma", "guest-memfd"} <= set(found["fault.set_spte"]["designs"])
    facts = {"name", "doc", "place", "nature", "function", "guards", "designs", "reads", "writes"}
    assert all(set(row) == facts and row["function"] for row in found.values())


def test_a_design_says_where_it_comes_from_and_where_it_runs() -> None:
    """Hardware that a design runs on and hardware that it does not, with the reason, are all there is; see findings."""
    kinds = {row["name"] for row in json.loads(gmembench("list", "hardware", "--json").stdout)}
    codes = {row["name"] for row in json.loads(gmembench("list", "invariants", "--json").stdout)}
    for row in json.loads(gmembench("list", "designs", "--json").stdout):
        assert row["origin"]
        assert row["kernel"]
        assert row["sizes"]
        assert set(row["hardware"]) | set(row["not_on"]) == kinds
        assert not set(row["hardware"]) & set(row["not_on"])
        assert all(row["not_on"].values())
        assert all(row["not_applicable"].values())
        assert {finding["invariant"] for finding in row["findings"]} <= codes | {""}


def test_an_invariant_says_when_it_is_judged_and_what_is_wrong() -> None:
    """Every moment at which an invariant is judged has its sentence."""
    for row in json.loads(gmembench("list", "invariants", "--json").stdout):
        assert row["when"]
        assert set(row["says"]) == set(row["when"])
        assert all(row["says"].values())


def test_touchpoints_of_the_baseline_are_beyond_nothing() -> None:
    """legacy-vma adds nothing to itself; guest-memfd adds on both paths, and never more than it has."""
    found = {row["name"]: row for row in json.loads(gmembench("list", "touchpoints", "--json").stdout)}
    for path in ("fault", "lifetime"):
        assert found[f"legacy-vma/{path}"]["beyond"] == []
        more = found[f"guest-memfd/{path}"]
        assert 0 < len(more["beyond"]) < len(more["touchpoints"])


def test_no_color_is_honoured() -> None:
    """With NO_COLOR, and without a terminal, no escape sequence is written."""
    for variables in ({"NO_COLOR": "1"}, {}):
        done = gmembench("list", "cells", **variables)
        assert "\x1b" not in done.stdout + done.stderr


@pytest.mark.parametrize("wait_s", [0, 0.4, 1.5, 3.0])
def test_interrupt_ends_cleanly(tmp_path: Path, wait_s: float) -> None:
    """Ctrl-C at any time: exit code 130, one word at the end, no traceback, no process left, and no file alone.

    Python itself is not to be interrupted while it starts: the command has begun when it catches SIGTERM.
    """
    mark = f"GMEMBENCH_TEST_MARK={tmp_path}"
    variables = {**os.environ, "GMEMBENCH_TEST_MARK": str(tmp_path)}
    process = subprocess.Popen(
        [*COMMAND, "run", "--quick"],
        cwd=tmp_path,
        env=variables,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=heed_interrupts,  # noqa: PLW1509 - the tests start no threads
    )
    while not catches(process.pid, signal.SIGTERM):
        assert process.poll() is None
        time.sleep(0.001)
    time.sleep(wait_s)
    os.killpg(process.pid, signal.SIGINT)
    output, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert output == ""
    assert "Traceback" not in errors
    assert errors.endswith("interrupted\n")
    left_files = sorted(path.suffix for path in tmp_path.iterdir())
    assert left_files in ([], [".run"], [".json", ".run"])
    assert ("--resume" in errors) == bool(left_files)
    left = [path for path in Path("/proc").glob("[0-9]*/environ") if mark in environment_of(path)]
    assert left == []


def heed_interrupts() -> None:
    """A CI that runs its jobs in the background has them ignore SIGINT, which children inherit."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def catches(pid: int, number: int) -> bool:
    """Whether a process has a handler of a signal."""
    caught = re.search(r"^SigCgt:\s*(\w+)", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
    return caught is not None and int(caught[1], 16) >> number - 1 & 1 == 1


def environment_of(path: Path) -> str:
    """The environment of a process, or nothing if it has just ended."""
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""
