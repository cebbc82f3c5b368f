"""Look for known vulnerabilities in what is installed beside this Python: `make audit`.

Fails on a known vulnerability that has not been judged. Where the advisory database cannot be reached it says so and
does not fail: a build must not depend on a foreign server. What has no fix yet and does not concern the router goes
into IGNORED with its reason; an entry that is of no use any more is a failure too.
"""

import json
import subprocess
import sys

IGNORED: dict[str, str] = {}
"""Id of the vulnerability: why the router is not concerned, and what is waited for."""

UNREACHABLE = 0
VULNERABLE = 1
FAILED = 2

OF_THE_NETWORK = ("ConnectionError", "ConnectTimeout", "ReadTimeout", "HTTPError", "ServiceError")
"""What pip-audit dies of where there is no network, by the names of the exceptions."""


def main() -> int:
    command = [sys.executable, "-m", "pip_audit", "--format=json", "--progress-spinner=off", "--skip-editable"]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    try:
        packages = json.loads(ran.stdout)["dependencies"]
    except (json.JSONDecodeError, KeyError):
        reason = (ran.stderr.strip().splitlines() or ["no answer"])[-1]
        if any(word in ran.stderr for word in OF_THE_NETWORK):
            print(f"audit: cannot reach the advisory database, nothing was checked: {reason:.300}")
            return UNREACHABLE
        print(f"audit: pip-audit failed: {reason:.300}")
        return FAILED
    checked = [package for package in packages if "vulns" in package]
    if not checked:
        print(f"audit: cannot reach the advisory database, nothing was checked: none of {len(packages)} packages known")
        return UNREACHABLE
    found = {
        flaw["id"]: f"{package['name']} {package['version']}: {flaw['id']}, {fix_of(flaw)}"
        for package in checked
        for flaw in package["vulns"]
    }
    for name, reason in IGNORED.items():
        if name in found:
            print(f"audit: ignored: {found.pop(name)} ({reason})")
        else:
            found[name] = f"{name} concerns nothing that is installed any more: take it off IGNORED in .ci/audit.py"
    for line in found.values():
        print(f"audit: {line}")
    print(f"audit: {len(checked)} packages checked, {len(packages) - len(checked)} unknown to the database")
    return VULNERABLE if found else 0


def fix_of(flaw: dict[str, list[str]]) -> str:
    fixed_in = flaw["fix_versions"]
    if fixed_in:
        return f"mended in {', '.join(fixed_in)}: raise the version in pyproject.toml"
    return "not mended yet: judge it, and put it on IGNORED in .ci/audit.py with the reason if it does not concern us"


if __name__ == "__main__":
    sys.exit(main())
