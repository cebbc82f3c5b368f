"""Programs that some tests need and pip cannot install."""

import os
import shutil

import pytest

__all__ = ["require"]


def require(binary: str) -> str:
    """The path of *binary*; without it the test is skipped, or fails where ROUTER_TEST_REQUIRE_ALL is 1."""
    # Debian puts daemons, mosquitto among them, where only root's PATH looks.
    path = shutil.which(binary, path=os.environ.get("PATH", os.defpath) + os.pathsep + "/usr/sbin")
    if path is None:
        reason = f"{binary} is not installed; on Debian: apt-get install {PACKAGES.get(binary, binary)}"
        if os.environ.get("ROUTER_TEST_REQUIRE_ALL") == "1":
            pytest.fail(reason)
        pytest.skip(reason)
    return path


PACKAGES = {
    "mosquitto_passwd": "mosquitto",
    "mosquitto_pub": "mosquitto-clients",
    "mosquitto_sub": "mosquitto-clients",
    "promtool": "prometheus",
    "systemd-analyze": "systemd",
}
"""The Debian package of each program that is not called like its package."""
