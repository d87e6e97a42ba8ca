"""SNP: the CPU's owner table (RMP) says which pages are the guest's; the guest validates its pages.

One root holds private and shared entries. A page is assigned when a fault takes it from the file, under the folio
lock, and taken back when it leaves the page cache. A zap changes nothing of that: the page keeps its content. An access
that the owner table denies is a fault of its own kind. Order of Linux 7.3 (arch/x86/kvm/svm/sev.c).
"""

from gmembench.core.programs import Hardware, Row, row
from gmembench.core.steps.rmp import ONE_PAGE, WHOLE_FOLIO
from gmembench.core.world import HARDWARE_SNP

Rows = tuple[Row, ...]

ZAP_RANGE = "kvm_zap_gfn_range"

ASSIGN = (
    row("rmp_lookup", {"none": "rmp_assign", "hit": "@next", "next": "@next"}, step="rmp.lookup"),
    row("rmp_assign", {"overlap": "rmp_assign", "refused": "@fail"}, step="rmp.assign"),
)
"""sev_gmem_prepare: the folio is locked."""


def take_back(how_much: int) -> Rows:
    """Take a folio, or a page of it, back from the guest."""
    return (
        row("rmp_lookup", {"none": "@next", "hit": "rmp_share"}, step="rmp.lookup", value=how_much),
        row("rmp_psmash", {"busy": "rmp_psmash", "refused": "rmp_share"}, step="rmp.psmash"),
        row("rmp_share", {"overlap": "rmp_share", "refused": "rmp_warn"}, step="rmp.share", value=how_much),
        row("rmp_clflush", {"next": "@next"}, step="rmp.clflush", value=how_much),
        row("rmp_warn", {"next": "@next"}, step="snp.warn"),
    )


RECLAIM = take_back(WHOLE_FOLIO)
"""sev_gmem_invalidate: the folio is out of the page cache, references may be left."""

MAKE_SHARED = take_back(ONE_PAGE)
"""The same for pages that become shared: the rest of a folio that is not split yet stays the guest's."""

ACCEPT = (row("pvalidate", {"next": "@back", "absent": "@exit"}, step="rmp.pvalidate"),)


def find_page(p: str, none: str) -> Rows:
    """The gfn's page in the file, with a reference (kvm_gmem_get_pfn). `none`: where to go if there is none."""
    return (
        row(f"{p}_find_page", {"none": none}, step="snp.find_page"),
        row(f"{p}_lock_page", step="snp.lock_page"),
        row(f"{p}_recheck_page", {"truncated": f"{p}_find_page"}, step="snp.recheck_page"),
        row(f"{p}_unlock_page", step="snp.unlock_page"),
    )


DENIED = (
    row("rmp_check_private", {"mismatch": "@back"}, step="snp.check_private"),
    row("rmp_lookup_slot", step="fault.lookup_slot"),
    *find_page("rmp", "@back"),
    row("rmp_lookup", {"none": "L_put_page", "hit": "L_put_page"}, step="rmp.lookup"),
    row("rmp_psmash", {"busy": "rmp_psmash", "refused": "rmp_relookup"}, step="rmp.psmash"),
    row("rmp_begin_zap", {"none": "L_put_page"}, step="snp.begin_zap", at="L_smashed"),
    row("rmp_lock_mmu", step="mmu.lock", place="kvm-invalidate", site=ZAP_RANGE),
    row("rmp_count_inc", step="inval.count_inc"),
    row("rmp_range_reset", step="inval.range_reset"),
    row("rmp_range_add", step="inval.range_add", at="L_range"),
    row("rmp_zap", {"slot": "L_range", "external": "rmp_zap"}, step="zap.gfn"),
    row("rmp_flush_request", {"clean": "L_zapped"}, step="flush.request"),
    row("rmp_flush_kick", step="flush.kick"),
    row("rmp_flush_wait", step="flush.wait"),
    row("rmp_seq_bump", step="inval.seq_bump", at="L_zapped"),
    row("rmp_count_dec", step="inval.count_dec"),
    row("rmp_unlock_mmu", step="mmu.unlock", place="kvm-invalidate", site=ZAP_RANGE),
    row("rmp_put_page", {"next": "@back"}, step="snp.put_page", at="L_put_page"),
    row("rmp_relookup", {"none": "L_put_page", "hit": "L_put_page", "next": "L_smashed"}, step="rmp.lookup"),
)
"""sev_handle_rmp_fault (sev.c:5032-5123): an entry of 2M that the guest uses by 4K is split, and mapped anew by 4K."""

NAME_VMSA = (row("name", {"nomem": "@next"}, step="vmsa.name"),)

RELOAD = (
    row("begin_reload", {"none": "@back"}, step="vmsa.begin_reload"),
    row("lookup_slot", step="fault.lookup_slot"),
    row("check_slot", {"none": "failed"}, step="vmsa.check_slot"),
    row("snapshot_seq", step="fault.snapshot_seq"),
    *find_page("vmsa", "failed"),
    row("lock_mmu", step="fault.lock_mmu_read"),
    row("recheck_stale", {"stale": "request_again"}, step="fault.recheck_stale"),
    row("install", step="vmsa.install"),
    row("unlock_mmu", step="fault.unlock_mmu"),
    row("put_page", step="snp.put_page"),
    row("end_reload", {"next": "@back"}, step="vmsa.end_reload"),
    row("request_again", {"next": "unlock_mmu"}, step="vmsa.request_again"),
    row("failed", {"next": "@failed"}, step="vmsa.failed"),
)
"""__sev_snp_reload_vmsa: the page that the vCPU is to run on, found anew when an invalidation took it away."""

KICK_VMSA = (row("kick_vmsa", step="vmsa.kick"),)

HARDWARE = Hardware(
    "snp",
    (__doc__ or "").strip(),
    separate_roots=False,
    classify="gpa.classify",
    hooks={
        "assign": ASSIGN,
        "reclaim": RECLAIM,
        "make_shared": MAKE_SHARED,
        "accept": ACCEPT,
        "denied": DENIED,
        "name_vmsa": NAME_VMSA,
        "reload": RELOAD,
        "kick_vmsa": KICK_VMSA,
    },
    steps={
        "enter.decode": "snp.decode",
        "enter.service_requests": "snp.service_requests",
        "vmsa.refuse": "vmsa.begin",
        "fault.try_fast": "snp.try_fast",
        "guest.translate": "snp.translate",
        "prefault.load_root": "gpa.prefault_root",
    },
    number=HARDWARE_SNP,
)
