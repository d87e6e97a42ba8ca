"""The OOM reaper: it empties the VMA of a process that is to die, without sleeping (mm/oom_kill.c)."""

from gmembench.core.blocks.invalidation import beside_zap, notify_begin, notify_end
from gmembench.core.blocks.program import program
from gmembench.core.programs import Program, row


def oom_reap() -> Program:
    """Notify without sleeping. A subscriber that cannot answer then makes it give up: whoever was told is told the end.

    KVM subscribed first, so it has counted the notification in when another subscriber refuses.
    """
    return program(
        "oom_reap",
        (
            row("oom.called", step="mm.called", site="oom_reap_task"),
            row("oom.trylock_mmap", {"busy": "oom.gave_up"}, step="mm.trylock_reap"),
        ),
        notify_begin("oom.mn"),
        (
            row("oom.start_other", {"busy": "oom.unwind.srcu_lock_end"}, step="mn.start_other"),
            row("oom.clear_pte", step="mm.clear_pte"),
        ),
        notify_end("oom.mn"),
        (
            row("oom.end_other", step="mn.end_other"),
            row("oom.flush_host_tlb", step="mm.flush_host_tlb"),
            row("oom.free_page", step="mm.free_page"),
            row("oom.unlock_mmap", step="mm.unlock_mmap"),
            row("oom.returned", {"next": "END"}, step="mm.returned", site="oom_reap_task"),
        ),
        notify_end("oom.unwind"),
        (
            row("oom.unlock_back", step="mm.unlock_mmap"),
            row("oom.gave_up", {"next": "END"}, step="mm.gave_up"),
        ),
        aside=beside_zap("oom.mn.start"),
    ).with_operand("oom.mn.start.zap", may_yield=0)
