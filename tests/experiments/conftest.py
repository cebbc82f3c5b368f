"""Commands in this process: what needs no terminal is the same there, and much faster."""

import sys
from collections.abc import Callable
from typing import NamedTuple

import pytest


class Done(NamedTuple):
    returncode: int
    stdout: str
    stderr: str


@pytest.fixture
def main(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Done]:
    from router import cli, command_line

    # As in a pipe, wherever pytest writes to.
    monkeypatch.setattr(command_line.console, "width", 200)

    def run(*arguments: object) -> Done:
        monkeypatch.setattr(sys, "argv", ["router", *map(str, arguments)])
        with pytest.raises(SystemExit) as exit_:
            cli.main()
        out, error = capsys.readouterr()
        assert isinstance(exit_.value.code, int)
        return Done(exit_.value.code, out, error)

    return run
