"""A standby beside a router that is neither at work nor gone."""

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from router.core import Limits
from router.journal import SqliteJournal, sqlite
from router.service.app import _take_over
from router.service.service import Service
from tests.service.running import pseudonym, small


async def test_a_standby_waits_for_a_router_that_was_stopped_in_a_commit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The file stays locked for as long as that router stands still; the standby must be there when it is not."""
    monkeypatch.setattr(sqlite, "LOCK_TIMEOUT_S", 0.05)
    path = tmp_path / "j.db"
    with closing(SqliteJournal(path)) as at_work:
        at_work.claim("main")
    with closing(SqliteJournal(path)) as journal, closing(sqlite3.connect(path, isolation_level=None)) as stopped:
        standby = Service(
            journal=journal,
            shard="main",
            broker_url="mqtt://127.0.0.1:1",
            load_organisation=small,
            pseudonym=pseudonym,
            limits=Limits(),
            version="0",
        )
        stopped.execute("BEGIN IMMEDIATE")
        taking_over = asyncio.create_task(_take_over(standby, 0.1, lambda _: None))
        async with asyncio.timeout(10):
            while "cannot take over yet" not in caplog.text:
                await asyncio.sleep(0.02)
        assert not taking_over.done()
        stopped.execute("ROLLBACK")
        async with asyncio.timeout(10):
            await taking_over

        assert journal.claim_of("main").epoch == 2
