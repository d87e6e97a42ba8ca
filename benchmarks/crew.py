"""Processes that answer questions about mutants: each is asked a line at a time by a thread of its own."""

import contextlib
import queue
import threading
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from gmembench.benchmarks import child

if TYPE_CHECKING:
    import subprocess


@dataclass(frozen=True)
class Answer:
    """A line that a process answered, or the cause why it ended instead."""

    key: Hashable
    line: str
    cause: str = ""


@dataclass(frozen=True)
class Task:
    """A line to ask, and how many lines of answer come."""

    key: Hashable
    line: str
    patience_seconds: float
    lines: int = 1


@dataclass
class Crew:
    """Processes of one command. One that ends, or takes too long, is started anew: only its question is lost."""

    command: Sequence[str]
    answers: "queue.Queue[Answer]"
    _asked: "queue.Queue[Task | None]" = field(default_factory=queue.Queue)
    _running: list["subprocess.Popen[str]"] = field(default_factory=list)
    _ended: bool = False

    def ask(self, key: Hashable, line: str, patience_seconds: float, lines: int = 1) -> None:
        """Ask; each line of the answer comes with the key. A process that takes longer than the patience is ended."""
        self._asked.put(Task(key, line, patience_seconds, lines))

    def work(self) -> None:
        """What each thread does."""
        while not self._ended and self._work_with_one():
            pass

    def _work_with_one(self) -> bool:
        """Ask one process until it ends. False: there is nothing left to ask."""
        task = self._asked.get()
        if task is None or self._ended:
            return False
        with child.running(self.command, asked=True) as process:
            self._running.append(process.process)
            while task is not None:
                if not self._answered(process, task):
                    self.answers.put(Answer(task.key, "", process.cause_of_end()))
                    return True
                task = self._asked.get()
        return False

    def _answered(self, process: child.Child, task: Task) -> bool:
        """Ask, and pass on each line as it comes. False: the process ended before the last one."""
        watch = threading.Timer(task.patience_seconds, process.process.kill)
        watch.start()
        try:
            process.ask(task.line)
            for _ in range(task.lines):
                line = process.output.readline()
                if not line.endswith("\n"):
                    return False
                self.answers.put(Answer(task.key, line))
            return True
        except BrokenPipeError:
            return False
        finally:
            watch.cancel()

    def dismiss(self) -> None:
        """Let one thread end."""
        self._asked.put(None)

    def end(self) -> None:
        """End all processes now."""
        self._ended = True
        for process in self._running:
            with contextlib.suppress(ProcessLookupError):
                process.kill()


@contextlib.contextmanager
def hired(command: Sequence[str], workers: int, answers: "queue.Queue[Answer]") -> Iterator[Crew]:
    """A crew at work; its processes start with the first question to each, and are ended behind the block."""
    crew = Crew(command, answers)
    threads = [threading.Thread(target=crew.work, daemon=True) for _ in range(workers)]
    for thread in threads:
        thread.start()
    try:
        yield crew
    finally:
        crew.end()
        for _ in threads:
            crew.dismiss()
        for thread in threads:
            thread.join()
