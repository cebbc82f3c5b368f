"""Secrets kept in files: passwords, tokens and keys. A settings file or a process list shows their paths alone.

A secret that every user of the machine can read is refused, as ssh and PostgreSQL do: nobody sees a warning that a
service writes when it starts. The group may read it, for that is how systemd hands over its credentials (0440) and how
two services share one secret. No message repeats what a file holds.
"""

import stat
from pathlib import Path
from typing import Final

from router.core.errors import RouterError

__all__ = ["SecretFileError", "check_readable", "check_secret_file", "is_open_to_others", "read_secret"]

# A password or token is a line; whoever names a larger file has named the wrong one.
_SECRET_BYTES_MAX: Final = 4_096


class SecretFileError(RouterError):
    """A file with a secret cannot be used; says which one, why, and what to do."""


def is_open_to_others(path: Path) -> bool:
    """Whether users beside its owner and group can read the file.

    Raises:
        OSError: There is no such file, or it is out of reach.
    """
    return bool(path.stat().st_mode & stat.S_IROTH)


def check_secret_file(path: Path, setting: str) -> None:
    """Make sure that a file with a secret is there, can be read by us, and cannot be read by everybody.

    Args:
        path: The file.
        setting: The setting that names it, for people.

    Raises:
        SecretFileError: It is not so.
    """
    check_readable(path, setting)
    if is_open_to_others(path):
        raise SecretFileError(
            f"{setting} {path} can be read by every user of this machine: "
            f"chmod o-r {path}, and change the secret if others may have seen it"
        )


def check_readable(path: Path, setting: str) -> None:
    """Make sure that a file is there and can be read by us.

    Raises:
        SecretFileError: It is not so.
    """
    try:
        if not path.is_file():  # A pipe or a device would be waited for.
            reason = "is not a plain file" if path.exists() else "does not exist: create it, or mend the path"
            raise SecretFileError(f"{setting} {path} {reason}")
        path.open("rb").close()
    except OSError as error:
        raise SecretFileError(
            f"{setting} {path} cannot be read ({error.strerror}): let the user that the router runs as read it"
        ) from None


def read_secret(path: Path, setting: str) -> str:
    """The secret in a file of one line; the end of the line does not belong to it.

    Args:
        path: The file.
        setting: The setting that names it, for people.

    Raises:
        SecretFileError: It is missing, cannot be read, can be read by everybody, or holds anything else than one line
            of text.
    """
    check_secret_file(path, setting)
    with path.open("rb") as file:
        data = file.read(_SECRET_BYTES_MAX + 1)
    try:
        secret = data.decode().removesuffix("\n").removesuffix("\r")
    except UnicodeDecodeError:
        secret = ""
    if not secret or len(data) > _SECRET_BYTES_MAX or not secret.isprintable():
        raise SecretFileError(f"{setting} {path} must hold the secret and nothing else, on one line")
    return secret
