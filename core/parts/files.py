"""References to guest_memfd files."""

from gmembench.core.jit import part
from gmembench.core.views import Record
from gmembench.core.world import FILE_DYING, FILE_LIVE, file


@part
def put_file_reference(w: Record, number: int) -> None:
    """Drop a reference; with the last one the file is dying: nobody gets it any more, and its release is due."""
    f = file(w, number)
    f["refs"] -= 1
    if f["refs"] == 0:
        f["life"] = FILE_DYING


@part
def descriptor_open(w: Record, number: int) -> bool:
    """Whether the VMM can still name the file by its descriptor."""
    f = file(w, number)
    return f["life"] == FILE_LIVE and f["closed"] == 0
