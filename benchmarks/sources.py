"""Digests of what a run reads beside the model: a resumed run must find it unchanged."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

from gmembench.core.jit import files_digest, source_files

FOLDER = Path(__file__).resolve().parent


def digest_of_benchmarks() -> str:
    """Digest (16 hex digits) of the scenarios, the matrix, and what counts and times them."""
    return files_digest([*source_files(FOLDER), FOLDER / "matrix.toml"], FOLDER)


def digest_of_parts(paths: Sequence[Path], trace: Path | None) -> str:
    """Digest (16 hex digits) of the Python files below the folders of --path, and of a trace; "" without both."""
    if not paths and trace is None:
        return ""
    digest = hashlib.blake2b(digest_size=8)
    for path in paths:
        digest.update(files_digest(source_files(path), path).encode())
    if trace is not None:
        with trace.open("rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
    return digest.hexdigest()
