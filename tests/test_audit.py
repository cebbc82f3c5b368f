"""What `make audit` makes of the answers of pip-audit, for which a module of that name stands in."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[1] / ".ci" / "audit.py"
MENDED = {"id": "PYSEC-1", "fix_versions": ["1.2", "1.3"], "aliases": [], "description": ""}
UNMENDED = {"id": "PYSEC-2", "fix_versions": [], "aliases": [], "description": ""}


def audited(folder: Path, *packages: Mapping[str, object], error: str = "", ignored: str = "{}") -> tuple[int, str]:
    """Status and output of the audit."""
    answer = json.dumps({"dependencies": packages, "fixes": []}) if not error else ""
    (folder / "pip_audit.py").write_text(f"import sys\nprint({answer!r})\nsys.exit({error!r})\n")
    script = folder / "audit.py"
    script.write_text(
        SCRIPT.read_text().replace("IGNORED: dict[str, str] = {}", f"IGNORED: dict[str, str] = {ignored}")
    )
    ran = subprocess.run(
        [sys.executable, script],
        env={**os.environ, "PYTHONPATH": str(folder)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.stderr == ""
    return ran.returncode, ran.stdout


def package(*flaws: Mapping[str, object]) -> Mapping[str, object]:
    return {"name": "amqtt", "version": "1.1", "vulns": flaws}


def test_nothing_known_is_good_news(tmp_path: Path) -> None:
    unknown = {"name": "own", "skip_reason": "not found on PyPI"}

    assert audited(tmp_path, package(), unknown) == (0, "audit: 1 packages checked, 1 unknown to the database\n")


@pytest.mark.parametrize("flaw", [MENDED, UNMENDED])
def test_a_known_vulnerability_fails(tmp_path: Path, flaw: Mapping[str, object]) -> None:
    status, said = audited(tmp_path, package(flaw))

    assert status == 1
    assert f"amqtt 1.1: {flaw['id']}, " in said
    assert ("mended in 1.2, 1.3: raise the version" in said) == (flaw is MENDED)


def test_one_that_has_been_judged_does_not_fail_until_it_is_gone(tmp_path: Path) -> None:
    ignored = '{"PYSEC-2": "only its server is concerned"}'

    status, said = audited(tmp_path, package(UNMENDED), ignored=ignored)
    later, said_later = audited(tmp_path, package(), ignored=ignored)

    assert (status, later) == (0, 1)
    assert "(only its server is concerned)" in said
    assert "PYSEC-2 concerns nothing that is installed any more: take it off IGNORED" in said_later


@pytest.mark.parametrize("error", ["", "requests.exceptions.ConnectionError: Max retries exceeded"])
def test_without_the_database_it_says_so_and_does_not_fail(tmp_path: Path, error: str) -> None:
    status, said = audited(tmp_path, {"name": "amqtt", "skip_reason": "not found on PyPI"}, error=error)

    assert status == 0
    assert said.startswith("audit: cannot reach the advisory database, nothing was checked: ")


def test_a_failure_of_another_kind_is_none_of_the_network(tmp_path: Path) -> None:
    assert audited(tmp_path, error="TypeError: oops") == (2, "audit: pip-audit failed: TypeError: oops\n")
