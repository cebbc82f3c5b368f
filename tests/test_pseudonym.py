"""Phone numbers and what becomes of them."""

import stat
import traceback
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.pseudonym import KEY_BYTES, Pseudonymiser, load_or_create_key

KEY = bytes(range(KEY_BYTES))


@pytest.fixture
def pseudonymiser() -> Pseudonymiser:
    return Pseudonymiser(KEY)


@pytest.mark.parametrize(
    "written",
    [
        "+390612345678",
        "+39 06 1234 5678",
        "0039 06 12345678",
        "06 1234 5678",
        "(06) 1234-5678",
        "06/12345678",
        "06.1234.5678",
        " 06\N{NO-BREAK SPACE}1234\N{NON-BREAKING HYPHEN}5678\n",
    ],
)
def test_one_number_has_one_pseudonym(pseudonymiser: Pseudonymiser, written: str) -> None:
    assert pseudonymiser.of(written) == pseudonymiser.of("+390612345678")


@pytest.mark.parametrize("other", ["+39612345678", "+390612345679", "+440612345678", "390612345678"])
def test_other_numbers_have_other_pseudonyms(pseudonymiser: Pseudonymiser, other: str) -> None:
    """Among them the Roman number without its 0, which belongs to it."""
    assert pseudonymiser.of(other) != pseudonymiser.of("+390612345678")


def test_trunk_zero_is_dropped_outside_italy() -> None:
    british = Pseudonymiser(KEY, country_code="+44")

    assert british.of("020 7946 0000") == british.of("+44 20 7946 0000")


def test_pseudonym_is_32_hexadecimal_characters_and_depends_on_the_key(pseudonymiser: Pseudonymiser) -> None:
    pseudonym = pseudonymiser.of("+39 333 1234567")

    assert len(pseudonym) == 32
    assert int(pseudonym, 16) >= 0
    assert pseudonym != Pseudonymiser(bytes(KEY_BYTES)).of("+39 333 1234567")


def test_pseudonyms_never_change() -> None:
    """A change here would make every known caller unknown."""
    assert Pseudonymiser(KEY).of("+390612345678") == "9111a36e6faadf065bf66d208e1dd71c"


@pytest.mark.parametrize(
    "number",
    ["", "   ", "+", "00", "()-", "anonymous", "sip:123@example.org", "12a34", "+0123", "1+2", "٣٣٣", "1" * 33, "+39"],
)
def test_what_is_no_number_is_refused(pseudonymiser: Pseudonymiser, number: str) -> None:
    with pytest.raises(ValueError, match="phone number"):
        pseudonymiser.of(number)


@given(number=st.text(alphabet="0123456789+ax-(", min_size=4, max_size=40))
def test_a_refusal_never_repeats_the_number(number: str) -> None:
    try:
        pseudonym = Pseudonymiser(KEY).of(number)
    except ValueError as error:
        said = "".join(traceback.format_exception_only(error))
        assert number not in said
    else:
        assert number not in pseudonym


@pytest.mark.parametrize("key", [b"", b"short", bytes(65)])
def test_keys_of_other_lengths_are_refused(key: bytes) -> None:
    with pytest.raises(ValueError, match="16 to 64"):
        Pseudonymiser(key)


@pytest.mark.parametrize("country_code", ["39", "", "+", "+039", "+1234"])
def test_what_is_no_country_code_is_refused(country_code: str) -> None:
    with pytest.raises(ValueError, match="country code"):
        Pseudonymiser(KEY, country_code=country_code)


def test_key_is_made_once_and_for_its_owner_only(tmp_path: Path) -> None:
    path = tmp_path / "secrets" / "pseudonym.key"

    key = load_or_create_key(path)

    assert len(key) == KEY_BYTES
    assert load_or_create_key(path) == key
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert [entry.name for entry in path.parent.iterdir()] == ["pseudonym.key"]


def test_processes_that_start_together_share_one_key(tmp_path: Path) -> None:
    with ThreadPoolExecutor(16) as pool:
        keys = list(pool.map(load_or_create_key, [tmp_path / "key"] * 64))

    assert len(set(keys)) == 1


@pytest.mark.parametrize("content", [b"", b"not hexadecimal", b"ab" * 31, b"ab" * 33, b"\xff" * 64])
def test_a_damaged_key_is_refused_and_kept(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "key"
    path.write_bytes(content)

    with pytest.raises(ValueError, match="backup"):
        load_or_create_key(path)

    assert path.read_bytes() == content
