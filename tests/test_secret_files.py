"""Secrets in files: what is taken, what is refused, and that no refusal shows one."""

import os
from pathlib import Path

import pytest

from router.secret_files import SecretFileError, check_secret_file, is_open_to_others, read_secret


def written(folder: Path, content: bytes, mode: int = 0o600) -> Path:
    file = folder / "secret"
    file.write_bytes(content)
    file.chmod(mode)
    return file


@pytest.mark.parametrize("content", [b"pass word:%", b"pass word:%\n", b"pass word:%\r\n"])
@pytest.mark.parametrize("mode", [0o400, 0o600, 0o440])
def test_the_end_of_the_line_does_not_belong_to_the_secret(tmp_path: Path, content: bytes, mode: int) -> None:
    assert read_secret(written(tmp_path, content, mode), "password_file") == "pass word:%"


@pytest.mark.parametrize(
    "content", [b"", b"\n", b"hunter2\nhunter3\n", b"hunter2\x00", b"hunter2\xff", b"hunter2" * 600]
)
def test_what_is_not_one_line_of_text_is_refused(tmp_path: Path, content: bytes) -> None:
    file = written(tmp_path, content)

    with pytest.raises(SecretFileError, match="must hold the secret and nothing else, on one line") as refusal:
        read_secret(file, "password_file")

    assert str(refusal.value).startswith(f"password_file {file} ")
    assert "hunter" not in str(refusal.value)


def test_a_secret_that_everybody_can_read_is_refused(tmp_path: Path) -> None:
    file = written(tmp_path, b"hunter2", 0o644)

    assert is_open_to_others(file)
    with pytest.raises(SecretFileError, match=f"can be read by every user of this machine: chmod o-r {file}"):
        check_secret_file(file, "key_file")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(SecretFileError, match=f"^token_file {tmp_path / 'none'} does not exist: create it, or mend"):
        read_secret(tmp_path / "none", "token_file")


def test_what_is_no_file_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")

    for path in (tmp_path, tmp_path / "pipe"):
        with pytest.raises(SecretFileError, match="is not a plain file"):
            read_secret(path, "token_file")


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything; run the tests as another user")
def test_a_file_that_we_may_not_read_is_refused(tmp_path: Path) -> None:
    with pytest.raises(
        SecretFileError, match=r"cannot be read \(Permission denied\): let the user that the router runs"
    ):
        read_secret(written(tmp_path, b"hunter2", 0o000), "token_file")
