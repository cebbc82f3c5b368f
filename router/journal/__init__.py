"""The journal: what the router has been told, durable before it acts.

`port` says what a journal can do; `sqlite` is the embedded one.
"""

from router.journal.port import (
    Appended,
    Entry,
    Journal,
    JournalDamaged,
    JournalError,
    JournalFenced,
    Record,
)
from router.journal.sqlite import SqliteJournal

__all__ = [
    "Appended", "Entry", "Journal", "JournalDamaged", "JournalError", "JournalFenced", "Record",
    "SqliteJournal",
]  # fmt: skip
