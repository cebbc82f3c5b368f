import os
from pathlib import Path

import pytest

from router.simulation.calllog import CallLog, LogMapping, load_mapping, read_calls

PROJECT = Path(__file__).parents[2]
LOGS = PROJECT / "config" / "logs"
# The licence of the bank's log is unclear: it lies beside the project and is never copied into it.
BANK_LOG = PROJECT.parent / "shared" / "data" / "bank-1999-02.csv.gz"


@pytest.fixture(scope="session")
def bank_mapping() -> LogMapping:
    return load_mapping(LOGS / "bank-1999.toml")


@pytest.fixture(scope="session")
def bank_log(bank_mapping: LogMapping) -> CallLog:
    if not BANK_LOG.exists():
        reason = f"the bank's call log is not at {BANK_LOG}, and may not be copied into the project"
        if os.environ.get("ROUTER_TEST_REQUIRE_ALL") == "1":
            pytest.fail(reason)
        pytest.skip(reason)
    return read_calls(BANK_LOG, bank_mapping)


@pytest.fixture
def example_mapping() -> LogMapping:
    return load_mapping(LOGS / "example.toml")


@pytest.fixture
def example_log(example_mapping: LogMapping) -> CallLog:
    return read_calls(LOGS / "example.csv", example_mapping)
