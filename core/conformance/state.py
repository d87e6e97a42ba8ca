"""What a replay keeps of each task and each VM."""

from gmembench.core.conformance.model import Model


class Task:
    """What a task is doing: its open fault, or its call over [low, high) and the zaps it owes.

    at: event of its cause, -1 before the first. walking: its last event was a zap that it owed. unsure: its
    call covers gfns whose attribute the trace does not tell; doubted: zaps that the model made for it.
    """

    __slots__ = (
        "at",
        "doubted",
        "fault",
        "flags",
        "high",
        "low",
        "owed",
        "requested",
        "unmapped",
        "unsure",
        "walking",
    )

    def __init__(self) -> None:
        self.owed: set[int] = set()
        self.doubted: set[int] = set()
        self.begin(-1)

    def begin(self, at: int) -> None:
        """Enter the cause at event `at`; the caller has settled what was owed and doubted."""
        self.at, self.fault, self.flags = at, -1, 0
        self.low = self.high = 0
        self.requested, self.unmapped, self.walking, self.unsure = -1, False, False, False


class Debt:
    """A set that the model owes for a task's fault; withdrawn if the model zapped it before it came."""

    __slots__ = ("at", "task", "withdrawn")

    def __init__(self, task: int, at: int) -> None:
        self.task, self.at, self.withdrawn = task, at, False


class Vm:
    """One VM in a replay. set_at, zapped_at: event at which the model last set or zapped a gfn."""

    def __init__(self, model: Model, gib_starts: list[int]) -> None:
        self.model, self.gib_starts = model, gib_starts
        self.tasks: dict[int, Task] = {}
        self.forget()

    def forget(self) -> None:
        """Drop what was known of the entries."""
        self.debts: dict[int, Debt] = {}
        self.set_at: dict[int, int] = {}
        self.zapped_at: dict[int, int] = {}
        self.large: dict[int, int] = {}

    def key(self, gfn: int) -> int:
        """The leaf that maps a gfn: its first gfn and its level in one number.

        A model's 4K entries under a leaf that KVM made large count as one leaf.
        """
        if self.large:
            for key in (gfn >> 9 << 12 | 2, self.gib_starts[gfn >> 9] << 3 | 3):
                if key in self.large:
                    return key
        return gfn << 3 | 1
