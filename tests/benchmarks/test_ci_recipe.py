"""The recipe for a user's CI works: its own steps, run by bash, over a first run, a second one, and a slower one."""

import json
import os
import re
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
RECIPE = ROOT / "docs" / "ci" / "gmembench.yml"
GITLAB = ROOT / "docs" / "ci" / "gitlab-ci.yml"

WARNING = "::warning title=gmembench::a regression is open"


def step(name: str, text: str) -> str:
    """The script of a step of the GitHub recipe."""
    found = re.search(
        rf"^( *)- name: {name}\n(?:\1  .*\n)*?\1  run: (?:\|\n((?:\1    .*\n|\n)+)|(.*)\n)", text, re.MULTILINE
    )
    assert found, name
    return textwrap.dedent(found[2]) if found[2] else found[3]


class Runner:
    """A runner of GitHub with a repository, whose origin is a folder beside it."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.origin, self.count = folder, folder / "origin.git", 0
        commands = folder / "bin"
        commands.mkdir()
        (commands / "gmembench").write_text(f'#!/bin/sh\nexec "{sys.executable}" -P -m gmembench "$@"\n')
        (commands / "gmembench").chmod(0o755)
        self.environment = {
            **os.environ, "PATH": f"{commands}:{os.environ['PATH']}", "PARTS": "", "GITHUB_SHA": "",
            "HISTORY_BRANCH": "gmembench-history", "GIT_CONFIG_GLOBAL": str(folder / "gitconfig"),
        }  # fmt: skip
        self.git("init", "--quiet", "--bare", str(self.origin), cwd=folder)

    def git(self, *words: str, cwd: Path) -> str:
        """Run git."""
        done = subprocess.run(
            ["git", *words], cwd=cwd, env=self.environment, capture_output=True, text=True, check=True
        )
        return done.stdout

    def checkout(self) -> Path:
        """A fresh checkout with a new commit, as each job has."""
        self.count += 1
        folder = self.folder / f"job{self.count}"
        self.git("clone", "--quiet", str(self.origin), str(folder), cwd=self.folder)
        self.git("-c", "user.name=x", "-c", "user.email=x", "commit", "--quiet", "--allow-empty", "-m", "x", cwd=folder)
        self.environment["GITHUB_SHA"] = self.git("rev-parse", "HEAD", cwd=folder).strip()
        self.environment["GITHUB_STEP_SUMMARY"] = str(folder / "summary.md")
        return folder

    def step(self, name: str, folder: Path) -> "subprocess.CompletedProcess[str]":
        """Run a step as GitHub does."""
        command = ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", step(name, RECIPE.read_text())]
        return subprocess.run(
            command, cwd=folder, env=self.environment, capture_output=True, text=True, check=False,
            stdin=subprocess.DEVNULL,
        )  # fmt: skip

    def compared(self, result: Path | None) -> "tuple[Path, subprocess.CompletedProcess[str]]":
        """The first job, with a result file in place of the run, or with the run itself; its comparison."""
        folder = self.checkout()
        steps = ["Fetch the history"]
        if result:
            shutil.copy(result, folder / "new.json")
            (folder / "report").mkdir()
        else:
            steps.append("Run")
        for name in steps:
            done = self.step(name, folder)
            assert done.returncode == 0, done.stdout + done.stderr
        compared = self.step("Compare", folder)
        done = self.step("Trends", folder)
        assert done.returncode == 0, done.stdout + done.stderr
        assert (folder / "report" / "trends.html").exists()
        return folder, compared

    def kept(self, result: Path) -> str:
        """The second job: its output."""
        folder = self.checkout()
        (folder / "result").mkdir()
        shutil.copy(result, folder / "result" / "new.json")
        done = self.step("Add the run to the history", folder)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout


@pytest.fixture
def runner(tmp_path: Path) -> Runner:
    """A new repository."""
    return Runner(tmp_path)


def test_the_recipe_from_the_first_run_to_a_regression(runner: Runner) -> None:
    """A quick run of this project passes as the first, equals itself as the second, and a step more fails."""
    first, compared = runner.compared(None)
    result = first / "new.json"
    assert compared.returncode == 0, compared.stdout + compared.stderr
    assert "nothing to compare with" in compared.stdout
    assert (first / "report" / "index.html").exists()
    assert WARNING not in runner.kept(result)

    second, compared = runner.compared(result)
    assert compared.returncode == 0, compared.stdout + compared.stderr
    cells = len(json.loads(result.read_text())["benchmarks"])
    assert f"passed: {cells} same" in (second / "summary.md").read_text()
    assert cells > 50
    runner.kept(result)

    document = json.loads(result.read_text())
    document["benchmarks"][7]["metadata"]["count.steps"] += 1
    name = document["benchmarks"][7]["metadata"]["name"]
    slower = runner.folder / "slower.json"
    slower.write_text(json.dumps(document))
    third, compared = runner.compared(slower)
    assert compared.returncode == 1
    assert compared.stdout.startswith(f"::error title=slower%3A {name}::steps ")
    assert f"<code>{name}</code>" in (third / "summary.md").read_text()
    assert WARNING in runner.kept(slower)

    tree = runner.git("ls-tree", "-r", "--name-only", "gmembench-history", cwd=runner.origin)
    assert len(re.findall(r"^runs/", tree, re.MULTILINE)) == 3
    assert "index.sqlite" not in tree


def test_a_pull_request_needs_to_write_nothing() -> None:
    """Only the job for pushes may write, and it is the only one that pushes."""
    head, keep = RECIPE.read_text().split("\n  keep:\n")
    assert head.count("permissions:\n  contents: read") == 1
    assert "contents: write" not in head
    assert "git push" not in head
    assert "github.event_name == 'push'" in keep.split("runs-on")[0]
    assert "contents: write" in keep


def test_both_recipes_gate_on_counted_numbers() -> None:
    """The gate counts, on GitHub and on GitLab, and kernels are kept where `cache path` says."""
    for recipe in (RECIPE, GITLAB):
        text = recipe.read_text()
        assert "gmembench run --quick --counted" in text
        assert re.search(r"gmembench compare history new\.json --counted", text)
        assert "gmembench cache path" in text
