"""The journal: what the router has been told, durable before it acts.

`port` says what a journal can do; `sqlite` is the embedded one.
"""

from router.journal.port import (
    SNAPSHOTS_KEPT,
    Appended,
    Claim,
    Entry,
    Journal,
    JournalDamaged,
    JournalError,
    JournalFenced,
    PurgedMonth,
    Record,
)
from router.journal.sqlite import SqliteJournal, chained_digest

__all__ = [
    "SNAPSHOTS_KEPT", "Appended", "Claim", "Entry", "Journal", "JournalDamaged", "JournalError", "JournalFenced",
    "PurgedMonth", "Record", "SqliteJournal", "chained_digest",
]  # fmt: skip
