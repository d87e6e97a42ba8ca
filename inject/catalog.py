"""What can be injected: events are found by walking their folder, like designs."""

from collections.abc import Sequence
from pathlib import Path

from gmembench.core.catalog import collect, modules
from gmembench.inject.event import Event

FOLDER = Path(__file__).resolve().parent / "events"


def load_events(paths: Sequence[Path] = ()) -> dict[str, Event]:
    """All events by name. Raises UserError for a file outside the package that is no event."""
    return collect(modules("gmembench.inject.events", FOLDER, "events", paths), "EVENT", Event)
