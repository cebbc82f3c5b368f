"""The clients' file after a change: only the rows that changed, whole at any moment, and back again byte for byte."""

import gzip
import os
from datetime import date
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec import structs

from router.core.model import AgentId, Client, ClientId, Ownership
from router.organisation_files import clients_file_of, load_organisation
from router.planning.clients_file import ClientsFile, undo
from router.planning.handover import Change, PlanningError
from tests.core.builders import client, owned_by

DAY = date(2040, 3, 1)
HEADER = "client_id,portfolio_id,owner,backups,valid_from,valid_until,numbers,exclusions\n"
TEXT = HEADER + "C1,gold,A1,A2 A3,,,+390862000001,\nC2,gold,A2,,,,,\n"
C1, C2 = ClientId("C1"), ClientId("C2")
OLD = owned_by("A1", "A2", "A3")[0]
CUT: Change = ((*owned_by("A1", "A2", "A3", valid_until=DAY), *owned_by("A3", "A2", valid_from=DAY)),)
CLIENTS = {C1: client("C1", "gold", ownerships=(OLD,))}


def written(folder: Path, text: str | bytes, name: str = "clients.csv") -> Path:
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def changed(path: Path) -> bytes:
    return ClientsFile(path).with_changes(CLIENTS, {C1: CUT})


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (
            TEXT,
            HEADER + "C1,gold,A1,A2 A3,,2040-03-01,+390862000001,\nC1,,A3,A2,2040-03-01,,,\nC2,gold,A2,,,,,\n",
        ),
        (  # Semicolons, DOS line ends, another order, a byte order mark, spaces; no line end at the end.
            "\ufeffowner;client_id; backups ;valid_until;valid_from;portfolio_id\r\nA2;C2;;;;gold\r\n\r\n"
            " A1 ;C1;A2,A3;;;gold",
            "\ufeffowner;client_id; backups ;valid_until;valid_from;portfolio_id\r\nA2;C2;;;;gold\r\n\r\n"
            " A1 ;C1;A2,A3;2040-03-01;;gold\r\nA3;C1;A2;;2040-03-01;",
        ),
        (  # Tabs, and quotes all over.
            '"client_id"\t"owner"\t"backups"\t"valid_from"\t"valid_until"\n'
            '"C1"\t"A1"\t"A2 A3"\t""\t""\n"C2"\t"A""2"\t""\t""\t""\n',
            '"client_id"\t"owner"\t"backups"\t"valid_from"\t"valid_until"\n'
            '"C1"\t"A1"\t"A2 A3"\t""\t"2040-03-01"\n"C1"\t"A3"\t"A2"\t"2040-03-01"\t""\n"C2"\t"A""2"\t""\t""\t""\n',
        ),
        (  # A cell over two lines in a row that does not change, backups with commas in one that does.
            'client_id,owner,backups,valid_from,valid_until,exclusions\nC1,A1,"A2,A3",,,\nC2,A2,,,,"A7\r\nA8"\n',
            'client_id,owner,backups,valid_from,valid_until,exclusions\nC1,A1,"A2,A3",,2040-03-01,\n'
            'C1,A3,A2,2040-03-01,,\nC2,A2,,,,"A7\r\nA8"\n',
        ),
    ],
)
def test_rows_that_do_not_change_keep_every_byte(tmp_path: Path, before: str, after: str) -> None:
    assert changed(written(tmp_path, before)).decode() == after


def test_a_row_of_a_changed_client_that_does_not_change_keeps_every_byte_too(tmp_path: Path) -> None:
    text = 'client_id,owner,backups,valid_from,valid_until\n"C1", A2,,,2039-01-01\nC1,A1,,2039-01-01,\n'
    first, second = *owned_by("A2", valid_until=date(2039, 1, 1)), *owned_by("A1", valid_from=date(2039, 1, 1))
    changes: dict[ClientId, Change] = {C1: ((first,), owned_by("A3", valid_from=date(2039, 1, 1)))}

    content = ClientsFile(written(tmp_path, text)).with_changes(
        {C1: client("C1", None, ownerships=(first, second))}, changes
    )

    assert content.decode() == text.replace("C1,A1", "C1,A3")


def test_a_packed_file_stays_packed(tmp_path: Path) -> None:
    path = written(tmp_path, gzip.compress(TEXT.encode()), "clients.csv.gz")

    content = changed(path)

    assert gzip.decompress(content) == changed(written(tmp_path, TEXT))
    assert content == changed(path), "the same change makes the same bytes"


def test_a_missing_column_is_asked_for(tmp_path: Path) -> None:
    path = written(tmp_path, "client_id,owner,backups,valid_from\nC1,A1,A2 A3,\n")

    with pytest.raises(PlanningError, match=r"clients.csv has no column valid_until, .* add it to the header"):
        changed(path)


@pytest.mark.parametrize("text", [HEADER, HEADER + "C1,gold,A1,A2,,,,\n", HEADER + "C1,,A1,A2 A3,,,,\n" * 2, ""])
def test_a_client_that_does_not_stand_there_as_read_is_not_written(tmp_path: Path, text: str) -> None:
    with pytest.raises(PlanningError, match=r"client C1 does not stand in clients\.csv alone"):
        changed(written(tmp_path, text))


def test_what_is_no_text_is_refused(tmp_path: Path) -> None:
    for name, content in (("clients.csv", b"\xff\xfe\0"), ("clients.csv.gz", b"no gzip")):
        with pytest.raises(PlanningError, match="cannot be read"):
            ClientsFile(written(tmp_path, content, name))


# --- Writing, and taking back ---


def test_undo_puts_every_byte_back_once(tmp_path: Path) -> None:
    path = written(tmp_path, TEXT)
    path.chmod(0o640)
    file = ClientsFile(path)
    file.replace(changed(path), what="A1 leaves")
    assert path.read_bytes() == file.with_changes(CLIENTS, {C1: CUT})
    assert {each.stat().st_mode & 0o777 for each in tmp_path.iterdir()} == {0o640}

    assert undo(path) == "A1 leaves"

    assert path.read_text() == TEXT
    assert list(tmp_path.iterdir()) == [path]
    with pytest.raises(PlanningError, match="there is nothing to take back"):
        undo(path)


def test_undo_is_refused_when_the_file_was_changed_since(tmp_path: Path) -> None:
    path = written(tmp_path, TEXT)
    ClientsFile(path).replace(changed(path), what="A1 leaves")
    path.write_bytes(path.read_bytes() + b"C3,gold,A2,,,,,\n")
    now = path.read_bytes()

    with pytest.raises(PlanningError, match=r"has been changed since \(A1 leaves\).*clients\.csv\.before"):
        undo(path)

    assert path.read_bytes() == now


@pytest.mark.parametrize(
    ("name", "words"), [("clients.csv.before", "is not what was kept there"), ("clients.csv.change", "is damaged")]
)
def test_undo_puts_back_nothing_but_what_was_kept(tmp_path: Path, name: str, words: str) -> None:
    path = written(tmp_path, TEXT)
    ClientsFile(path).replace(changed(path), what="A1 leaves")
    (tmp_path / name).write_text("something else")
    now = path.read_bytes()

    with pytest.raises(PlanningError, match=words):
        undo(path)

    assert path.read_bytes() == now


def test_a_file_that_changed_meanwhile_is_not_overwritten(tmp_path: Path) -> None:
    path = written(tmp_path, TEXT)
    file = ClientsFile(path)
    content = changed(path)
    written(tmp_path, TEXT + "C3,gold,A2,,,,,\n")

    with pytest.raises(PlanningError, match="has changed meanwhile, so nothing was written"):
        file.replace(content, what="A1 leaves")

    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("replacements", [0, 1, 2])
def test_interrupted_anywhere_the_file_is_as_it_was_or_as_it_is_to_be(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, replacements: int
) -> None:
    """After so many of the three renames the disk is full."""
    path = written(tmp_path, TEXT)
    file, content = ClientsFile(path), changed(path)
    left = replacements
    fsync = os.fsync

    def tiring(descriptor: int) -> None:
        nonlocal left
        is_folder = Path(f"/proc/self/fd/{descriptor}").is_dir()
        if left == 0 and not is_folder:
            raise OSError("the disk is full")
        left -= is_folder
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", tiring)
    with pytest.raises(OSError, match="the disk is full"):
        file.replace(content, what="A1 leaves")
    monkeypatch.undo()

    assert path.read_text() == TEXT
    assert not [each for each in tmp_path.iterdir() if each.name.startswith(".")], "nothing is left lying"
    if replacements == 2:
        undo(path)
    else:
        with pytest.raises(PlanningError, match="there is nothing to take back"):
            undo(path)
    assert path.read_text() == TEXT


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    path = written(tmp_path / "real", TEXT)
    link = tmp_path / "clients.csv"
    link.symlink_to(path)

    ClientsFile(link).replace(changed(link), what="A1 leaves")
    assert link.is_symlink()
    assert b"2040" in path.read_bytes()

    undo(link)
    assert path.read_text() == TEXT


# --- Any file ---

AGENTS = ["A1", "A2", "A3"]
SPANS: list[list[tuple[date | None, date | None]]] = [
    [(None, None)],
    [(None, date(2039, 1, 1)), (date(2039, 1, 1), None)],
    [(date(2040, 5, 1), None)],
]
ORGANISATION = """
clients_file = "{file}"
default_portfolio = "gold"
sites = [{{ site_id = "s", country = "IT" }}]
suppliers = [{{ supplier_id = "own" }}]
teams = [{{ team_id = "a", site_id = "s", supplier_id = "own" }}]
portfolios = [{{ portfolio_id = "gold", teams = ["a"] }}]
[[agents]]
agent_id = "A1"
team_id = "a"
[[agents]]
agent_id = "A2"
team_id = "a"
[[agents]]
agent_id = "A3"
team_id = "a"
"""


@st.composite
def ownerships(draw: st.DrawFn) -> tuple[Ownership, ...]:
    found: list[Ownership] = []
    for first, last in draw(st.sampled_from(SPANS)):
        people = draw(st.permutations(AGENTS))[: draw(st.integers(1, 3))]
        found += owned_by(people[0], *people[1:], valid_from=first, valid_until=last)
    return tuple(found)


@st.composite
def files(draw: st.DrawFn) -> str:
    delimiter = draw(st.sampled_from([",", ";", "\t"]))
    end = draw(st.sampled_from(["\n", "\r\n"]))
    columns = draw(
        st.permutations(["client_id", "portfolio_id", "owner", "backups", "valid_from", "valid_until", "exclusions"])
    )
    lines = [delimiter.join(columns)]
    for number in range(draw(st.integers(1, 6))):
        for row, each in enumerate(draw(ownerships())):
            joiner = draw(st.sampled_from([" ", "  "]))
            cells = {
                "client_id": f"C{number}",
                "portfolio_id": "" if row else "gold",
                "owner": each.owner or "",
                "backups": joiner.join(each.backups),
                "valid_from": str(each.valid_from or ""),
                "valid_until": str(each.valid_until or ""),
                "exclusions": "",
            }
            quote = draw(st.sampled_from(["", "", '"']))
            lines.append(delimiter.join(f"{quote}{cells[column]}{quote}" for column in columns))
        if draw(st.booleans()):
            lines.append("")
    return draw(st.sampled_from(["", "\ufeff"])) + end.join(lines) + draw(st.sampled_from(["", end]))


def loaded(path: Path) -> dict[ClientId, Client]:
    return {each.client_id: each for each in load_organisation(path, pseudonym=str).clients}


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data(), text=files(), name=st.sampled_from(["clients.csv", "clients.csv.gz"]))
def test_what_was_written_is_read_and_undo_is_the_identity(
    tmp_path: Path, data: st.DataObject, text: str, name: str
) -> None:
    organisation = tmp_path / "organisation.toml"
    organisation.write_text(ORGANISATION.format(file=name))
    path = written(tmp_path, gzip.compress(text.encode()) if name.endswith(".gz") else text, name)
    before_bytes = path.read_bytes()
    before = loaded(organisation)
    changes: dict[ClientId, Change] = {}
    for client_id in data.draw(st.lists(st.sampled_from(sorted(before)), unique=True)):
        pieces = [(each,) for each in before[client_id].ownerships]
        place = data.draw(st.integers(0, len(pieces) - 1))
        old, day = pieces[place][0], date(2038, 1, 1) if place == 0 else date(2042, 1, 1)
        new = structs.replace(old, owner=AgentId(data.draw(st.sampled_from(AGENTS))), backups=())
        cut = (structs.replace(old, valid_until=day), structs.replace(new, valid_from=day))
        in_place = old.valid_from is not None and day <= old.valid_from
        changes[client_id] = (*pieces[:place], (new,) if in_place else cut, *pieces[place + 1 :])

    file = ClientsFile(path)
    file.replace(file.with_changes(before, changes), what="a change")

    after = loaded(organisation)
    for client_id, each in before.items():
        expected = tuple(piece for part in changes.get(client_id, (each.ownerships,)) for piece in part)
        assert after[client_id].ownerships == expected
        assert after[client_id].portfolio_id == each.portfolio_id
    undo(path)
    assert path.read_bytes() == before_bytes


def test_the_clients_file_of_an_organisation(tmp_path: Path) -> None:
    path = tmp_path / "organisation.toml"
    assert clients_file_of(path) is None
    for text, expected in (("", None), ("clients_file = 3", None), ('clients_file = "c.csv"', tmp_path / "c.csv")):
        path.write_text(text)
        assert clients_file_of(path) == expected
