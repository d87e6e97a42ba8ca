"""Stands for compiling in tests of a cold cache. Helper processes import it by its name."""

import os
import time
from collections.abc import Iterable
from pathlib import Path

FOLDER = "TEST_COLD_FOLDER"


def note_chunks(chunks: Iterable[int]) -> None:
    """Note each chunk and who did it."""
    for chunk in chunks:
        with Path(os.environ[FOLDER], f"chunk-{chunk}").open("a") as note:
            note.write(f"{os.getpid()}\n")
        time.sleep(0.05)
