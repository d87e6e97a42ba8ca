"""Crews: processes that answer lines; one that dies or is silent costs one question only."""

import queue
import sys

from gmembench.benchmarks.crew import Answer, hired

ECHO = """
import os, signal, sys, time
for line in sys.stdin:
    word = line.strip()
    if word == "die":
        os.kill(os.getpid(), signal.SIGSEGV)
    if word == "sleep":
        time.sleep(600)
    if word == "torn":
        print("one\\ntw", end="", flush=True)
        os.kill(os.getpid(), signal.SIGSEGV)
    print(word.upper(), flush=True)
"""

COMMAND = [sys.executable, "-c", ECHO]


def asked(words: list[str], workers: int = 1, patience_seconds: float = 60) -> dict[object, Answer]:
    """What a crew answers to these words."""
    answers: queue.Queue[Answer] = queue.Queue()
    with hired(COMMAND, workers, answers) as crew:
        for word in words:
            crew.ask(word, word, patience_seconds)
        found = [answers.get(timeout=60) for _ in words]
    return {answer.key: answer for answer in found}


def test_every_question_is_answered() -> None:
    """By some process, with its key."""
    words = [f"w{n}" for n in range(20)]
    found = asked(words, workers=3)
    assert {key: answer.line.strip() for key, answer in found.items()} == {word: word.upper() for word in words}


def test_a_process_that_dies_costs_one_question() -> None:
    """The cause is told, and another process goes on."""
    found = asked(["a", "die", "b"])
    assert found["die"].line == ""
    assert "SIGSEGV" in found["die"].cause
    assert [found[word].line.strip() for word in ("a", "b")] == ["A", "B"]


def test_lines_come_one_by_one() -> None:
    """Of a process that ends in the middle of a line, those before it are answers, and then comes the cause."""
    answers: queue.Queue[Answer] = queue.Queue()
    with hired(COMMAND, 1, answers) as crew:
        crew.ask("key", "torn", 60, lines=3)
        found = [answers.get(timeout=60) for _ in range(2)]
    assert [answer.line for answer in found] == ["one\n", ""]
    assert "SIGSEGV" in found[1].cause


def test_a_process_that_is_silent_is_ended() -> None:
    """After the patience of its question."""
    found = asked(["sleep"], patience_seconds=0.5)
    assert "SIGKILL" in found["sleep"].cause


def test_leaving_ends_what_is_under_way() -> None:
    """Nobody waits for answers that nobody wants."""
    answers: queue.Queue[Answer] = queue.Queue()
    with hired(COMMAND, 2, answers) as crew:
        for word in ("sleep", "sleep", "later"):
            crew.ask(word, word, 600)
    assert all(answers.get(timeout=60).line == "" for _ in range(answers.qsize()))
