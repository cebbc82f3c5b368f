"""The router's own settings: a file, overruled by the environment, and refused with every problem at once."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec import structs

from router.core.errors import Problem
from router.settings import Settings, SettingsError, load_settings

ALL_FIELDS = """
[organisation]
file = "org/laquila.toml"
[mqtt]
url = "mqtts://broker.example:8883"
username = "router"
password_file = "secrets/mqtt-password"
ca_file = "certificates/ca.pem"
certificate_file = "certificates/router.pem"
key_file = "/etc/router/router.key"
shard = "north"
embedded_host = "::1"
embedded_port = 1884
[journal]
file = "/var/lib/router/journal.db"
[http]
host = "0.0.0.0"
port = 9500
token_file = "secrets/http-token"
[pseudonym]
key_file = "keys/pseudonym.key"
[limits]
waiting_calls_max = 500
past_calls_max = 0
"""


def load(folder: Path, text: str, **environ: str) -> Settings:
    (folder / "router.toml").write_text(text)
    return load_settings(folder, environ)


def problems(folder: Path, text: str, **environ: str) -> dict[tuple[str, str], str]:
    """What is wrong, by file name (or ``environment``) and field."""
    with pytest.raises(SettingsError) as caught:
        load(folder, text, **environ)
    return {(Path(problem.where).name, problem.field): problem.message for problem in caught.value.problems}


def test_an_empty_file_gives_defaults_beside_it(tmp_path: Path) -> None:
    loaded = load(tmp_path, "")

    assert loaded.organisation.file == tmp_path / "organisation.toml"
    assert loaded.journal.file == tmp_path / "var/journal.db"
    assert loaded.pseudonym.key_file == tmp_path / "secrets/pseudonym.key"
    assert (loaded.mqtt.url, loaded.mqtt.shard) == (None, "main")
    assert (loaded.mqtt.embedded_host, loaded.mqtt.embedded_port) == ("127.0.0.1", 1883)
    assert (loaded.http.host, loaded.http.port) == ("127.0.0.1", 9464)
    assert (loaded.limits.waiting_calls_max, loaded.limits.past_calls_max) == (100_000, 10_000)


def test_every_field_can_be_set(tmp_path: Path) -> None:
    loaded = load(tmp_path, ALL_FIELDS)

    assert loaded.organisation.file == tmp_path / "org/laquila.toml"
    assert loaded.mqtt.url == "mqtts://broker.example:8883"
    assert (loaded.mqtt.username, loaded.mqtt.password_file) == ("router", tmp_path / "secrets/mqtt-password")
    assert loaded.mqtt.ca_file == tmp_path / "certificates/ca.pem"
    assert loaded.mqtt.certificate_file == tmp_path / "certificates/router.pem"
    assert loaded.mqtt.key_file == Path("/etc/router/router.key")
    assert (loaded.mqtt.shard, loaded.mqtt.embedded_host, loaded.mqtt.embedded_port) == ("north", "::1", 1884)
    assert loaded.journal.file == Path("/var/lib/router/journal.db")
    assert (loaded.http.host, loaded.http.port) == ("0.0.0.0", 9500)
    assert loaded.http.token_file == tmp_path / "secrets/http-token"
    assert loaded.pseudonym.key_file == tmp_path / "keys/pseudonym.key"
    assert (loaded.limits.waiting_calls_max, loaded.limits.past_calls_max) == (500, 0)


def test_a_file_of_any_name_is_read(tmp_path: Path) -> None:
    (tmp_path / "north.toml").write_text("[http]\nport = 9999")

    assert load_settings(tmp_path / "north.toml", {}).http.port == 9999


def test_a_relative_path_counts_from_the_file_and_not_from_where_the_router_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "conf").mkdir()
    (tmp_path / "conf/router.toml").touch()
    monkeypatch.chdir(tmp_path)

    loaded = load_settings(Path("conf"), {"ROUTER_PSEUDONYM__KEY_FILE": "secret.key"})

    assert loaded.journal.file == tmp_path / "conf/var/journal.db"
    assert loaded.pseudonym.key_file == tmp_path / "conf/secret.key"


def test_the_environment_overrules_the_file(tmp_path: Path) -> None:
    loaded = load(
        tmp_path,
        ALL_FIELDS,
        ROUTER_MQTT__URL="mqtts://[::1]:1883",
        ROUTER_MQTT__PASSWORD_FILE="/run/credentials/mqtt-password",
        ROUTER_HTTP__PORT="9600",
        ROUTER_ORGANISATION__FILE="/etc/organisation.toml",
        HOME="/root",
    )

    assert loaded.mqtt.url == "mqtts://[::1]:1883"
    assert loaded.mqtt.password_file == Path("/run/credentials/mqtt-password")
    assert loaded.http.port == 9600
    assert loaded.organisation.file == Path("/etc/organisation.toml")
    assert loaded.mqtt.shard == "north"


def test_an_empty_variable_puts_a_field_back_to_its_default(tmp_path: Path) -> None:
    assert load(tmp_path, '[mqtt]\nurl = "mqtt://broker.example"', ROUTER_MQTT__URL="").mqtt.url is None


def test_switches_of_the_test_suite_are_no_settings(tmp_path: Path) -> None:
    assert load(tmp_path, "", ROUTER_TEST_REQUIRE_ALL="1").http.port == 9464


def test_all_problems_of_file_and_environment_come_at_once(tmp_path: Path) -> None:
    text = """
    mqtt = "mqtt://broker.example"
    [organization]
    [http]
    prot = 9464
    port = "9464"
    [limits]
    waiting_calls_max = 0
    [journal]
    file = 5
    """

    found = problems(tmp_path, text, ROUTER_HTTP__PRT="1", ROUTER_MQTT__EMBEDDED_PORT="70000", ROUTER_X="")

    assert found == {
        ("router.toml", "mqtt"): "must be a section: write [mqtt], and its fields below it",
        ("router.toml", "organization"): "there is no such section: did you mean organisation?",
        ("router.toml", "http.prot"): "there is no such field: did you mean port?",
        ("router.toml", "http.port"): "'9464' is not a whole number from 1 to 65535",
        ("router.toml", "limits.waiting_calls_max"): "0 is not a whole number from 1 to 10000000",
        ("router.toml", "journal.file"): "5 is not the path of a file",
        ("environment", "ROUTER_HTTP__PRT"): "there is no such setting: did you mean ROUTER_HTTP__PORT?",
        ("environment", "ROUTER_MQTT__EMBEDDED_PORT"): "'70000' is not a whole number from 1 to 65535",
        ("environment", "ROUTER_X"): "there is no such setting: remove it",
    }


def test_the_error_lists_each_problem_on_a_line(tmp_path: Path) -> None:
    with pytest.raises(SettingsError) as caught:
        load(tmp_path, "[http]\nport = 0\nhost = ''")

    assert str(caught.value).splitlines() == [
        "2 problems in the settings:",
        f"- {tmp_path / 'router.toml'}, http.host: '' is not a host's name or address",
        f"- {tmp_path / 'router.toml'}, http.port: 0 is not a whole number from 1 to 65535",
    ]


@pytest.mark.parametrize(
    "url", ["broker.example", "http://broker.example", "mqtt://", "mqtt://broker.example:65536", "mqtt://a b"]
)
def test_a_url_that_is_no_brokers_is_refused(tmp_path: Path, url: str) -> None:
    found = problems(tmp_path, "", ROUTER_MQTT__URL=url)

    assert "is not a broker's address: mqtt://host:1883" in found["environment", "ROUTER_MQTT__URL"]


def test_a_password_is_never_shown(tmp_path: Path) -> None:
    found = problems(tmp_path, "", ROUTER_MQTT__URL="mqtt://router:hunter2@broker.example:port")

    assert "hunter2" not in str(found)


# --- Fields that do not go together ---


@pytest.mark.parametrize(
    ("text", "field", "message"),
    [
        ('[http]\nhost = "0.0.0.0"', "http.host", "0.0.0.0 is reached from other machines, and everybody could read"),
        ('[http]\nhost = "router.example"', "http.host", "set http.token_file, or listen on 127.0.0.1"),
        ('[mqtt]\nembedded_host = "::"', "mqtt.embedded_host", "set mqtt.username and mqtt.password_file"),
        ('[mqtt]\nusername = "router"', "mqtt.password_file", "is missing: username is set"),
        ('[mqtt]\npassword_file = "p"', "mqtt.username", "is missing: password_file is set"),
        ('[mqtt]\nurl = "mqtts://b"\ncertificate_file = "c"', "mqtt.key_file", "is missing: certificate_file is set"),
        ('[mqtt]\nurl = "mqtts://b"\nkey_file = "k"', "mqtt.certificate_file", "is missing: key_file is set"),
        ('[mqtt]\nurl = "mqtt://b"\nca_file = "c"', "mqtt.ca_file", "is for TLS only: write url as mqtts://host:8883"),
        ('[mqtt]\nca_file = "c"', "mqtt.ca_file", "is for TLS only"),
        ('[mqtt]\nurl = "mqtts://u:hunter2@b"\nusername = "u"\npassword_file = "p"', "mqtt.url", "out of the url"),
    ],
)  # fmt: skip
def test_what_does_not_go_together_is_refused(tmp_path: Path, text: str, field: str, message: str) -> None:
    found = problems(tmp_path, text)

    assert message in found["router.toml", field]
    assert len(found) == 1
    assert "hunter2" not in str(found)


@pytest.mark.parametrize(
    "text",
    [
        '[http]\nhost = "0.0.0.0"\ntoken_file = "t"',
        '[http]\nhost = "127.0.0.1"\ntoken_file = "t"',
        '[http]\nhost = "::1"\n[mqtt]\nembedded_host = "localhost"',
        '[mqtt]\nembedded_host = "0.0.0.0"\nusername = "u"\npassword_file = "p"',
        '[mqtt]\nurl = "mqtt://b"\nembedded_host = "0.0.0.0"\nusername = "u"\npassword_file = "p"',
        '[mqtt]\nurl = "mqtts://u:p@b"\nca_file = "c"',
    ],
)
def test_what_goes_together_is_taken(tmp_path: Path, text: str) -> None:
    load(tmp_path, text)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"there is no such file: looked for .*router\.toml"):
        load_settings(tmp_path, {})


def test_invalid_toml_is_reported_with_its_line(tmp_path: Path) -> None:
    assert "at line 2, column 8" in problems(tmp_path, "[http]\nport = ,")["router.toml", ""]


def test_text_in_another_encoding_is_reported(tmp_path: Path) -> None:
    (tmp_path / "router.toml").write_bytes("# città\n".encode("latin-1"))

    with pytest.raises(SettingsError, match="is not UTF-8 text"):
        load_settings(tmp_path, {})


NAMES = st.sampled_from([f"ROUTER_{name}" for name in ("HTTP__PORT", "MQTT__URL", "MQTT__SHARD", "X", "TEST_X")])


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    content=st.binary(max_size=200) | st.text(alphabet='[]{}=.,"#\n httpor1x', max_size=80).map(str.encode),
    environ=st.dictionaries(NAMES | st.text(max_size=20).map("ROUTER_".__add__), st.text(max_size=20), max_size=3),
)
def test_whatever_is_written_the_answer_is_settings_or_a_clear_error(
    tmp_path: Path, content: bytes, environ: dict[str, str]
) -> None:
    (tmp_path / "router.toml").write_bytes(content)

    check_loads_or_says_why(tmp_path, environ)


def check_loads_or_says_why(folder: Path, environ: dict[str, str]) -> None:
    found: tuple[Problem, ...] = ()
    try:
        load_settings(folder, environ)
    except SettingsError as error:
        found = error.problems

    assert all(problem.where.endswith("router.toml") or problem.where == "environment" for problem in found)
    assert all(problem.message for problem in found)
    assert "hunter2" not in str(found)


SECTIONS = {each.name: [*each.type.__struct_fields__, "x"] for each in structs.fields(Settings)} | {"x": ["x"]}
PLAIN = (
    st.booleans() | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False, allow_infinity=False)
    | st.sampled_from(["", ".", "9464", "mqtts://a:hunter2@b:1", "mqtt://a:hunter2@b:x", "\0", "x" * 5_000, "::1"])
    | st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=10)
)  # fmt: skip
ANY = st.recursive(PLAIN, lambda inner: st.lists(inner, max_size=3), max_leaves=5)
CONTENTS = st.fixed_dictionaries(
    {},
    optional={
        name: ANY | st.dictionaries(st.sampled_from(names), ANY | st.dictionaries(st.just("x"), ANY), max_size=4)
        for name, names in SECTIONS.items()
    },
)
VARIABLES = st.sampled_from(
    [f"ROUTER_{name}__{field}".upper() for name, names in SECTIONS.items() for field in names]
    + ["ROUTER_", "ROUTER___"]
)


@settings(
    max_examples=150, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(content=CONTENTS, environ=st.dictionaries(VARIABLES, PLAIN.map(str), max_size=4))
def test_whatever_the_fields_hold_the_answer_is_settings_or_a_clear_error(
    tmp_path: Path, content: dict[str, Any], environ: dict[str, str]
) -> None:
    (tmp_path / "router.toml").write_text("\n".join(f"{name} = {toml(value)}" for name, value in content.items()))

    check_loads_or_says_why(tmp_path, environ)


def toml(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{name} = {toml(each)}" for name, each in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(toml, value)) + "]"
    return json.dumps(value)
