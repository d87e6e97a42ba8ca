"""The run loop of a vCPU: guest entry, the guest's access, and the exit (x86.c:8070-8480)."""

from gmembench.core.blocks.program import Rows
from gmembench.core.programs import hook, row


def enter() -> Rows:
    """ENTER: the top of the run loop, guest entry, the guest's access, and the exit (x86.c:8070-8480)."""
    return (
        row("run.resume", {"guest": "L_guest"}, step="enter.resume"),
        row("run.srcu_lock", step="srcu.lock"),
        row("enter.service_requests", {"pending": "L_reload"}, at="ENTER"),
        row("enter.load_root"),
        row("enter.set_in_guest"),
        row("enter.srcu_unlock", step="srcu.unlock"),
        row("enter.recheck_requests", {"pending": "L_cancel"}),
        row(
            "guest.translate",
            {"absent": "L_exit", "denied": "L_exit", "kicked": "L_exit", "pending": "L_accept"},
            at="L_guest",
        ),
        row("guest.use", {"again": "L_guest", "done": "END"}),
        row("exit.set_outside", step="enter.set_outside", at="L_exit"),
        row("exit.srcu_lock", step="srcu.lock"),
        row("exit.decode", {"kicked": "ENTER", "fault": "HEAD", "denied": "L_denied"}, step="enter.decode"),
    )


def beside_entry() -> Rows:
    """L_cancel: a request arrived between its service and the entry. And the hardware's part of a run.

    L_reload: SNP loads a vCPU's VMSA before it enters. L_accept: the guest accepts or validates a page. L_denied: a
    fault by the owner table. L_retry: where a fault goes that must be tried again, which TDX does without leaving
    KVM.
    """
    return (
        row("cancel.set_outside", step="enter.set_outside", at="L_cancel"),
        row("cancel.srcu_lock", {"next": "ENTER"}, step="srcu.lock"),
        hook("reload", p="vmsa", at="L_reload", back="ENTER", failed="X_memfault"),
        hook("accept", p="guest", at="L_accept", back="L_guest", exit="L_exit", killed="L_killed"),
        hook("denied", p="fault", at="L_denied", back="HEAD", retry="L_retry"),
        hook("retry", p="fault", at="L_retry", back="ENTER", head="HEAD", enter="ENTER"),
        row("killed.set_outside", {"next": "END"}, step="leave.vm_dead", at="L_killed"),
    )
