"""The recipes for a user's CI work: their own lines, run by bash, over a first run, a second one, and a slower one.

This is also where this project's CI runs its own quick tier, adds it to a history and compares it with itself.
"""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[2]
RECIPE = ROOT / "docs" / "ci" / "gmembench.yml"
GITLAB = ROOT / "docs" / "ci" / "gitlab-ci.yml"

WARNING = "::warning title=gmembench::a regression is open"


SHIM = """#!/bin/sh
if [ "$1" = run ]; then
    mkdir report # that of the whole quick tier is built by the test of the README
    [ -z "$RESULT" ] || exec cp "$RESULT" new.json
    set -- run --quick --counted -o new.json
fi
exec "{python}" -P -m gmembench "$@"
"""
"""The command of the recipes: it is the real one, but builds no report, and `run` copies $RESULT where that is set."""

Done = subprocess.CompletedProcess[str]


class Runner:
    """A runner with a repository, whose origin is a folder beside it."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.origin, self.count = folder, folder / "origin.git", 0
        commands = folder / "bin"
        commands.mkdir()
        (commands / "gmembench").write_text(SHIM.replace("{python}", sys.executable))
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
        return folder

    def bash(self, script: str, folder: Path, result: Path | None = None) -> Done:
        """Run a script as the services do."""
        command = ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", script]
        environment = {**self.environment, "RESULT": str(result or "")}
        return subprocess.run(
            command, cwd=folder, env=environment, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL
        )

    def kept_files(self) -> str:
        """Names of files on the branch of the history."""
        return self.git("ls-tree", "-r", "--name-only", "gmembench-history", cwd=self.origin)


class GitHub(Runner):
    """Jobs of GitHub."""

    def step(self, job: str, name: str, folder: Path, result: Path | None = None) -> Done:
        """Run a step of a job."""
        steps = yaml.safe_load(RECIPE.read_text())["jobs"][job]["steps"]
        return self.bash(next(step["run"] for step in steps if step.get("name") == name), folder, result)

    def compared(self, result: Path | None) -> tuple[Path, Done]:
        """The first job, with a result file in place of the run, or with the run itself; its comparison."""
        folder = self.checkout()
        self.environment["GITHUB_STEP_SUMMARY"] = str(folder / "summary.md")
        for name in ("Fetch the history", "Run"):
            done = self.step("compare", name, folder, result)
            assert done.returncode == 0, done.stdout + done.stderr
        compared = self.step("compare", "Compare", folder)
        done = self.step("compare", "Trends", folder)
        assert done.returncode == 0, done.stdout + done.stderr
        assert (folder / "report" / "trends.html").exists()
        return folder, compared

    def kept(self, result: Path) -> str:
        """The second job: its output."""
        folder = self.checkout()
        (folder / "result").mkdir()
        shutil.copy(result, folder / "result" / "new.json")
        done = self.step("keep", "Add the run to the history", folder)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout


class GitLab(Runner):
    """Jobs of GitLab, whose server is the folder of the origin."""

    def job(self, name: str, folder: Path, result: Path | None = None) -> Done:
        """Run the lines of a job."""
        self.environment |= {
            "CI_REPOSITORY_URL": str(self.origin), "CI_SERVER_HOST": "gitlab.test", "CI_PROJECT_PATH": "group/project",
            "CI_COMMIT_SHA": self.environment["GITHUB_SHA"], "HISTORY_TOKEN": "t0ken",
        }  # fmt: skip
        away = "https://gmembench:t0ken@gitlab.test/group/project.git"
        self.git("config", "--global", f"url.{self.origin}.insteadOf", away, cwd=folder)
        return self.bash("\n".join(yaml.safe_load(GITLAB.read_text())[name]["script"]), folder, result)

    def pipeline(self, result: Path) -> tuple[Path, Done, Done]:
        """Both jobs, the second with the artifacts of the first in a fresh checkout."""
        folder = self.checkout()
        compared = self.job("gmembench", folder, result)
        assert (folder / "report" / "trends.html").exists(), compared.stdout + compared.stderr
        after = self.checkout()
        shutil.copy(folder / "new.json", after)
        return folder, compared, self.job("keep", after)


def test_github_from_the_first_run_to_a_regression(tmp_path: Path) -> None:
    """A quick run of this project passes as the first, equals itself as the second, and a step more fails."""
    runner = GitHub(tmp_path)
    first, compared = runner.compared(None)
    result = first / "new.json"
    assert compared.returncode == 0, compared.stdout + compared.stderr
    assert "nothing to compare with" in compared.stdout
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

    tree = runner.kept_files()
    assert len(re.findall(r"^runs/", tree, re.MULTILINE)) == 3
    assert "index.sqlite" not in tree


def test_gitlab_from_the_first_run_to_a_regression(tmp_path: Path) -> None:
    """The first run passes and is kept, a step more fails the job that compares and is kept as well."""
    runner, path = GitLab(tmp_path), tmp_path / "one.json"
    metadata = {
        "name": "s/guest-memfd/none/4K", "cell.scenario": "s", "cell.design": "guest-memfd", "cell.hardware": "none",
        "cell.page_size": "4K", "gmembench.kind": "counted", "gmembench.schema": 1, "gmembench.size": "small",
        "count.steps": 70, "unit": "integer",
    }  # fmt: skip
    for steps, code, said, open_said in ((70, 0, "nothing to compare with", False), (71, 1, "failed", True)):
        metadata["count.steps"] = steps
        benchmark = {"metadata": metadata, "runs": [{"values": [steps]}]}
        path.write_text(json.dumps({"version": "1.0", "benchmarks": [benchmark]}))
        folder, compared, kept = runner.pipeline(path)
        assert compared.returncode == code, compared.stdout + compared.stderr
        assert said in compared.stdout
        assert compared.stdout.endswith((folder / "summary.md").read_text())
        assert kept.returncode == 0, kept.stderr
        assert ("a regression is open" in kept.stdout) == open_said
    assert len(re.findall(r"^runs/", runner.kept_files(), re.MULTILINE)) == 2


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
        assert 'gmembench run --quick --counted ${PARTS:+--path "$PARTS"} -o new.json --report report' in text
        assert re.search(r"gmembench compare history new\.json --counted", text)
        assert "gmembench cache path" in text
