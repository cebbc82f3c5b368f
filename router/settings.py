"""The router's own settings: a TOML file, and the environment over it."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlsplit

from msgspec import Meta, Struct, structs

from router.core.errors import Problem, RouterError
from router.core.model import (
    Id,
)
from router.reading import (
    UNREAD,
    BrokerUrl,
    Host,
    Note,
    Port,
    StructT,
    fields_of,
    is_loopback,
    note_unknown,
    noter,
    prefixed,
    read_fields,
    read_toml,
    read_value,
)

__all__ = [
    "HttpSettings", "JournalSettings", "LimitSettings", "MqttSettings", "OrganisationSettings", "PortfolioSettings",
    "PseudonymSettings", "Settings", "SettingsError", "load_settings",
]  # fmt: skip

SETTINGS_FILE = "router.toml"
ENVIRONMENT_PREFIX = "ROUTER_"
ENVIRONMENT_PREFIX_IGNORED = "ROUTER_TEST_"
"""Switches of the test suite: not settings, and no reason to refuse to start."""


class SettingsError(RouterError):
    """Settings that cannot be used, with every problem found in them."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        plural = "problem" if len(self.problems) == 1 else "problems"
        lines = "".join(f"\n- {problem}" for problem in self.problems)
        super().__init__(f"{len(self.problems)} {plural} in the settings:{lines}")


class OrganisationSettings(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Where the organisation is written down."""

    file: Path = Path("organisation.toml")


class MqttSettings(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The broker that telephony platforms and the router meet at, and how the router enters it."""

    url: BrokerUrl | None = None
    """``mqtt://host:port``, or ``mqtts://host:port`` for TLS; None: the embedded broker.

    May hold a user and a password: never log it, and prefer ``username`` and ``password_file``.
    """
    username: Annotated[str, Meta(min_length=1, max_length=256)] | None = None
    """The router's user at the broker. The embedded broker lets in this user alone; None there: everybody."""
    password_file: Path | None = None
    ca_file: Path | None = None
    """Certificates (PEM) of the authorities that may have signed the broker's; None: those of the system."""
    certificate_file: Path | None = None
    """The router's own certificate (PEM), for mutual TLS."""
    key_file: Path | None = None
    """The key of that certificate (PEM)."""
    shard: Annotated[str, Id] = "main"
    embedded_host: Host = "127.0.0.1"
    embedded_port: Port = 1883


class JournalSettings(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Where inputs are made durable before the engine sees them."""

    file: Path = Path("var/journal.db")
    snapshot_every: Annotated[int, Meta(ge=1_000, le=10_000_000)] = 50_000
    """Records between two snapshots, the most that a start has to read."""
    retention_days: Annotated[int, Meta(ge=0, le=36_500)] = 183
    """Call detail older than this (six months) is purged, monthly counts and digests stay; 0: nothing is purged."""
    # The router renews its claim every second, and a commit on a bad disk can take some.
    takeover_after_s: Annotated[float, Meta(ge=2, le=60)] = 5.0
    """A standby takes over from a router that has been silent for so long."""


class HttpSettings(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Where metrics, health and the wallboard are served, and to whom."""

    host: Host = "127.0.0.1"
    port: Port = 9464
    token_file: Path | None = None
    """Holds what readers send as ``Authorization: Bearer``; None, on this machine alone: everybody may read."""


class PseudonymSettings(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The secret that turns telephone numbers into pseudonyms."""

    # Not beside the journal: whoever gets a copy of that directory must not get the key to its pseudonyms with it.
    key_file: Path = Path("secrets/pseudonym.key")


class LimitSettings(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Bounds on what strangers can make grow."""

    # 250 seats at 410 s a call need 45 hours for so many: whoever meets this bound has a fault, not a queue.
    waiting_calls_max: Annotated[int, Meta(ge=1, le=10_000_000)] = 100_000
    # Ended calls are kept so that a late or repeated message gets a clear answer. 250 seats at 410 s a call
    # need four and a half hours for so many, and no platform resends for so long.
    past_calls_max: Annotated[int, Meta(ge=0, le=10_000_000)] = 10_000


class PortfolioSettings(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What planners of portfolios reckon with; no call is routed by it."""

    net_hours_a_year: Annotated[int, Meta(ge=1, le=8_784)] | None = None
    """Hours that a full-time agent is at work, without leave, illness and breaks; None: sizes are not compared."""
    occupancy_percent: Annotated[int, Meta(ge=1, le=100)] = 75
    """How much of that is spent on calls. Above 85, queues of busy hours hardly ever empty."""
    calls_a_month: Annotated[float, Meta(ge=0, le=10_000)] = 1.0
    """Of a client that says no ``minutes_a_month``."""
    tolerance_percent: Annotated[int, Meta(ge=0, le=100)] = 20
    """So much more or less than an agent can do is still right."""
    # The organisation takes eight; with more than three, nobody but the first few ever gets to know the client.
    backups_max: Annotated[int, Meta(ge=0, le=8)] = 3
    """Clients with more backups are warned of by ``router check``."""


class Settings(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Everything the service is told when it starts. `load_settings` makes every path absolute."""

    organisation: OrganisationSettings = OrganisationSettings()
    mqtt: MqttSettings = MqttSettings()
    journal: JournalSettings = JournalSettings()
    http: HttpSettings = HttpSettings()
    pseudonym: PseudonymSettings = PseudonymSettings()
    limits: LimitSettings = LimitSettings()
    portfolios: PortfolioSettings = PortfolioSettings()


def load_settings(path: Path, environ: Mapping[str, str]) -> Settings:
    """Read the settings from a file, then let the environment overrule single fields.

    Relative paths, wherever they are written, count from the directory of the settings file, so that the
    router finds the same files whatever directory it is started in.

    Args:
        path: A TOML file, or a directory that holds ``router.toml``.
        environ: ``ROUTER_<SECTION>__<FIELD>`` overrules a field (``ROUTER_HTTP__PORT=9500``); an empty value
            puts it back to its default. Other names with ``ROUTER_`` in front are refused, except those with
            ``ROUTER_TEST_``.

    Raises:
        SettingsError: With every problem found in the file and the environment.
    """
    problems: list[Problem] = []
    file = path / SETTINGS_FILE if path.is_dir() else path
    note = noter(problems, str(file))
    raw = read_toml(file, note) or {}
    kinds: dict[str, Any] = {field.name: field.type for field in structs.fields(Settings)}
    note_unknown(raw, kinds, "section", note)
    overrules = _read_environment(kinds, environ, noter(problems, "environment"))
    folder = file.absolute().parent
    sections: dict[str, Any] = {}
    for name, kind in kinds.items():
        table = raw.get(name, {})
        if not isinstance(table, dict):
            note(name, f"must be a section: write [{name}], and its fields below it")
            table = {}
        values = read_fields(kind, table, prefixed(note, f"{name}.")) | overrules.get(name, {})
        sections[name] = _resolved(kind(**values), folder)
    if not problems:
        _note_contradictions(sections["mqtt"], sections["http"], note)
    if problems:
        raise SettingsError(problems)
    return Settings(**sections)


def _note_contradictions(mqtt: MqttSettings, http: HttpSettings, note: Note) -> None:
    """What each field allows, but not together; above all, doors that would stand open."""
    url = urlsplit(mqtt.url or "")
    if url.username is not None and (mqtt.username or mqtt.password_file):
        note("mqtt.url", "holds a user, and so do username and password_file: take it out of the url")
    if (mqtt.username is None) != (mqtt.password_file is None):
        missing, given = ("username", "password_file") if mqtt.username is None else ("password_file", "username")
        note(f"mqtt.{missing}", f"is missing: {given} is set, and only both together let the router in")
    if (mqtt.certificate_file is None) != (mqtt.key_file is None):
        missing, given = (
            ("certificate_file", "key_file") if mqtt.key_file is not None else ("key_file", "certificate_file")
        )
        note(f"mqtt.{missing}", f"is missing: {given} is set, and only both together prove who the router is")
    for name in ("ca_file", "certificate_file", "key_file"):
        if getattr(mqtt, name) is not None and url.scheme != "mqtts":
            note(f"mqtt.{name}", "is for TLS only: write url as mqtts://host:8883, or remove this")
    if mqtt.url is None and mqtt.username is None and not is_loopback(mqtt.embedded_host):
        note(
            "mqtt.embedded_host",
            f"{mqtt.embedded_host} is reached from other machines, and the embedded broker would let everybody in: set "
            "mqtt.username and mqtt.password_file, or listen on 127.0.0.1",
        )
    if http.token_file is None and not is_loopback(http.host):
        note(
            "http.host",
            f"{http.host} is reached from other machines, and everybody could read: set http.token_file, or listen on "
            "127.0.0.1",
        )


def _read_environment(
    kinds: Mapping[str, type[Struct]], environ: Mapping[str, str], note: Note
) -> dict[str, dict[str, object]]:
    """The fields that the environment overrules, by section."""
    known = {
        f"{ENVIRONMENT_PREFIX}{section}__{field.name}".upper(): (section, field)
        for section, kind in kinds.items()
        for field in fields_of(kind).values()
    }
    ours = sorted(name for name in environ if name.startswith(ENVIRONMENT_PREFIX))
    given = [name for name in ours if not name.startswith(ENVIRONMENT_PREFIX_IGNORED)]
    note_unknown(given, known, "setting", note)
    values: dict[str, dict[str, object]] = {}
    for name in given:
        if name not in known:
            continue
        section, field = known[name]
        text = environ[name]
        value = read_value(field.type, text, name, note, from_text=True) if text else field.default
        if value is not UNREAD:
            values.setdefault(section, {})[field.name] = value
    return values


def _resolved(section: StructT, folder: Path) -> StructT:
    """The section with its paths absolute."""
    paths = {name: folder / value for name, value in structs.asdict(section).items() if isinstance(value, Path)}
    return structs.replace(section, **paths)
