"""Phone numbers end here: from this module on, a caller is known by a pseudonym only.

The same number gives the same pseudonym as long as the key stays the same, so a client can be recognised by
number without the number being stored. Without the key, trying all numbers of a country leads nowhere; with
it, that takes minutes. So the key is a secret, and losing it means that no caller is recognised any more.

No message of this module repeats a number: an error ends up in a log.
"""

import os
import re
import tempfile
from hashlib import blake2b
from pathlib import Path

__all__ = ["KEY_BYTES", "PSEUDONYM_LENGTH", "Pseudonymiser", "load_or_create_key"]

KEY_BYTES = 32
PSEUDONYM_LENGTH = 32
"""Hexadecimal characters of a pseudonym: 128 bits, so that two of a billion numbers never meet."""

# E.164 allows 15 digits; 32 characters leave room for every way of grouping them.
_NUMBER_LENGTH_MAX = 32
_SEPARATORS = re.compile(r"[\s().\-‐‑–/]")
_NUMBER = re.compile(r"\+[1-9][0-9]*")
_COUNTRY_CODE = re.compile(r"\+[1-9][0-9]{0,2}")


class Pseudonymiser:
    """Replaces phone numbers by pseudonyms.

    Args:
        key: The secret, at least 16 and at most 64 bytes; see `load_or_create_key`.
        country_code: Put before numbers that carry none, such as ``+39``.

    Raises:
        ValueError: The key is too short or too long, or the country code is none.
    """

    def __init__(self, key: bytes, country_code: str = "+39") -> None:
        if not 16 <= len(key) <= blake2b.MAX_KEY_SIZE:
            raise ValueError(f"the pseudonym key has {len(key)} bytes; it needs 16 to {blake2b.MAX_KEY_SIZE}")
        if not _COUNTRY_CODE.fullmatch(country_code):
            raise ValueError(f"{country_code!r} is no country code; write it as +39")
        self._keyed = blake2b(key=key, digest_size=PSEUDONYM_LENGTH // 2)
        self._country_code = country_code

    def of(self, number: str) -> str:
        """The pseudonym of a phone number, however it is written.

        ``06 1234``, ``0039 06 1234`` and ``+39-06-1234`` are one number. A bare number is taken to be of the
        own country, whose trunk 0 is dropped, except in Italy, where it belongs to the number.

        Args:
            number: At most 32 characters: digits, separators, and ``+`` or ``00`` before a country code.

        Returns:
            32 hexadecimal characters.

        Raises:
            ValueError: This is no phone number. The message does not repeat it.
        """
        digest = self._keyed.copy()
        digest.update(self._normalise(number).encode("ascii"))
        return digest.hexdigest()

    def _normalise(self, number: str) -> str:
        if len(number) > _NUMBER_LENGTH_MAX:
            raise ValueError(f"a phone number has at most {_NUMBER_LENGTH_MAX} characters, not {len(number)}")
        bare = _SEPARATORS.sub("", number)
        if bare.startswith("00"):
            bare = "+" + bare[2:]
        elif bare and not bare.startswith("+"):
            national = bare if self._country_code == "+39" else bare.removeprefix("0")
            bare = self._country_code + national
        if not _NUMBER.fullmatch(bare) or bare == self._country_code:
            raise ValueError("not a phone number: it needs digits, and nothing but + and separators beside them")
        return bare


def load_or_create_key(path: Path) -> bytes:
    """The pseudonym key kept in *path*; made on first use, readable by its owner only, as is a directory made for it.

    Two processes that start together end up with the same key: the file appears complete or not at all.

    Raises:
        ValueError: The file holds something else than 64 hexadecimal characters.
        OSError: The file can be neither read nor written.
    """
    if not path.exists():
        _create_key(path)
    text = path.read_text("ascii", errors="replace").strip()
    if not re.fullmatch(r"[0-9a-fA-F]{64}", text):
        raise ValueError(
            f"{path} does not hold a pseudonym key (64 hexadecimal characters). Restore it from a backup; "
            "if it is removed, a new one is made and every known caller becomes unknown."
        )
    return bytes.fromhex(text)


def _create_key(path: Path) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    # mkstemp creates with mode 0600.
    descriptor, draft = tempfile.mkstemp(dir=path.parent, prefix=path.name)
    try:
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(os.urandom(KEY_BYTES).hex() + "\n")
            file.flush()
            os.fsync(file.fileno())
        os.link(draft, path)
    except FileExistsError:
        pass  # Another process was first, and its key stands.
    finally:
        Path(draft).unlink()
