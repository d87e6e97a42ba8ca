"""Software-protected VMs: no memory encryption.

KVM tells a private access by the attribute, one root holds both kinds of entries, and no hook has
rows. A fresh page is zero, and a zap keeps what the page holds.
"""

from gmembench.core.programs import Hardware

HARDWARE = Hardware("none", (__doc__ or "").strip(), separate_roots=False, classify="fault.classify")
