"""Children are told the same things, end with a cause, and never outlive the run."""

import argparse
import os
import sys
import time
from pathlib import Path

import pytest

from gmembench.benchmarks import child
from gmembench.core.errors import UserError


@pytest.mark.parametrize("trace", [None, Path("t.xz")])
def test_a_request_survives_the_command_line(trace: Path | None) -> None:
    """What a child parses is what its parent wrote, odd folder names included."""
    request = child.Request("small", (Path("/a b"), Path("--x")), trace, "0" * 16)
    parser = argparse.ArgumentParser()
    child.add_arguments(parser)
    assert child.request_from(parser.parse_args(request.arguments())) == request


def test_the_cause_is_the_line_that_says_so() -> None:
    """Of many lines on standard error, the one that is marked as the cause is told."""
    code = "import sys; sys.exit('noise\\ncause: the disk is full\\nmore noise')"
    with child.running([sys.executable, "-c", code]) as started:
        assert started.cause_of_end() == "the disk is full"


@pytest.mark.parametrize(
    ("code", "cause"),
    [
        ("import os; os.kill(os.getpid(), 9)", "the process was ended by SIGKILL"),
        ("import sys; sys.exit('last words')", "last words"),
        ("import sys; sys.exit(7)", "the process ended with status 7 without a word"),
    ],
)
def test_an_end_without_a_cause_is_described(code: str, cause: str) -> None:
    """A signal, last words and a bare exit status are each told."""
    with child.running([sys.executable, "-c", code]) as started:
        assert started.cause_of_end() == cause


def is_alive(pid: int) -> bool:
    """Whether a process runs (a zombie does not)."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_grandchildren_end_with_the_run() -> None:
    """An interrupt in the parent kills the child and the processes that it started."""
    code = "import subprocess, sys; p = subprocess.Popen(['sleep', '60']); print(p.pid, flush=True); p.wait()"
    grandchild = 0

    def interrupted() -> None:
        nonlocal grandchild
        with child.running([sys.executable, "-c", code]) as started:
            grandchild = int(started.output.readline())
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    for _ in range(500):
        if not is_alive(grandchild):
            break
        time.sleep(0.01)
    assert not is_alive(grandchild)


def test_other_sources_are_refused() -> None:
    """A process whose core/ differs from the run's says so, with both digests."""
    with pytest.raises(child.ChildFailed, match="0123456789abcdef"):
        child.check_sources("0123456789abcdef")


def test_an_exception_is_one_harmless_line() -> None:
    """Line breaks and terminal escapes in an error do not reach the terminal."""
    try:
        raise ValueError("a\nb\x1b[31mc")
    except ValueError as error:
        text = child.describe(error)
    assert text.startswith("ValueError: a b [31mc (")
    assert text.isprintable()


def test_a_users_error_has_no_source_position() -> None:
    """What a user did wrong is told without the place in our sources."""
    assert child.describe(UserError("what", "where", "mend")) == "where: what; mend"


def test_variables_that_change_compiling_reach_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    """All Numba variables are named for pyperf, and others are not."""
    monkeypatch.setenv("NUMBA_DISABLE_JIT", "1")
    monkeypatch.setenv("EDITOR", "ed")
    names = child.inherited_names()
    assert "NUMBA_DISABLE_JIT" in names
    assert "EDITOR" not in names


def test_a_checkout_on_the_path_is_passed_on(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The folder that gmembench was found in goes to the front of PYTHONPATH unless it is site-packages."""
    package = tmp_path / "gmembench"
    package.mkdir()
    monkeypatch.setattr(child.gmembench, "__file__", str(package / "__init__.py"))
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    monkeypatch.setenv("PYTHONPATH", "/other")
    assert child.environment()["PYTHONPATH"] == os.pathsep.join([str(tmp_path), "/other"])
    monkeypatch.setattr(child.site, "getsitepackages", lambda: [str(tmp_path)])
    assert child.environment()["PYTHONPATH"] == "/other"


def test_a_line_that_is_no_answer_is_told() -> None:
    """Something prints where answers go: what it said, and the mend."""
    assert child.answer_of(b'{"a": 1}') == {"a": 1}
    with pytest.raises(child.ChildFailed, match=r"said 'hello' on standard output.*print to standard error"):
        child.answer_of(b"hello")
