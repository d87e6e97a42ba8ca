"""The thread of an actor is preempted at a row: the others begin their operations while it stands there."""

from gmembench.inject.event import Event

EVENT = Event(
    "preempt",
    (__doc__ or "").strip(),
    "CONFIG_PREEMPT, or the host of a nested KVM: a thread may stand still between any two steps",
    holds="*",
)
