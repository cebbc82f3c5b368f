"""The files in config/ for Prometheus, Grafana and systemd, held against what the router really exposes and does."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest

from router.core import Engine
from router.core.model import AgentStatus, PortfolioId, ShareUnit, TeamId
from router.core.shares import Forecast, Outlook
from router.core.summary import ContractSummary, EngineSummary, PlaceSummary, PortfolioSummary, TeamSummary
from router.service.metrics import Metrics
from router.settings import load_settings
from tests.brokers import free_port
from tests.core.test_moves import centre
from tests.requirements import require

CONFIG = Path(__file__).parents[1] / "config"
RULES = CONFIG / "prometheus" / "rules.yml"
PROMETHEUS = CONFIG / "prometheus" / "prometheus.yml"
DASHBOARD = CONFIG / "grafana" / "operations.json"
UNIT = CONFIG / "systemd" / "router.service"
RULE_TESTS = Path(__file__).with_name("prometheus_rules.yml")

# What is neither a metric nor a function in our expressions; and what Prometheus itself adds to all it scrapes.
KEYWORDS = {"and", "or", "by", "offset"}
SCRAPED = {"up"}
SCRAPED_LABELS = {"instance", "job"}

GRAFANA_COLUMNS = 24


def promtool(*arguments: str | Path) -> None:
    ran = subprocess.run([require("promtool"), *arguments], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr


def panels() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(DASHBOARD.read_text())["panels"]
    return found


def panel_expressions() -> list[str]:
    return [target["expr"] for panel in panels() for target in panel.get("targets", [])]


def rule_expressions() -> list[str]:
    """Each follows its ``expr:`` on the same line, or folded below and deeper."""
    return re.findall(r"^ +expr: (?:>-\n)?((?:.+\n)(?: {10}.+\n)*)", RULES.read_text(), re.MULTILINE)


def metric_names(expression: str) -> set[str]:
    bare = re.sub(r'"[^"]*"|\{[^}]*\}|\[[^]]*\]|\bby \([^)]*\)|\boffset \w+', " ", expression)
    return set(re.findall(r"(?<![\w:])[a-zA-Z_][\w:]*\b(?!\s*\()", bare)) - KEYWORDS


def label_names(expression: str) -> set[str]:
    matched = re.findall(r'(\w+) *(?:=~|!~|!=|=) *"', expression)
    grouped = re.findall(r"\bby \(([^)]*)\)", expression)
    return {*matched, *(label.strip() for labels in grouped for label in labels.split(","))}


@pytest.fixture(scope="module")
def exposed() -> str:
    summary = EngineSummary(
        now_ms=0,
        portfolios=(
            PortfolioSummary(
                portfolio_id=PortfolioId("p"),
                waiting=0,
                callbacks_waiting=0,
                oldest_wait_ms=0,
                arrived=0,
                outcomes={},
            ),
        ),
        teams=(TeamSummary(team_id=TeamId("t"), agents={AgentStatus.IDLE: 1}),),
        offers={},
        calls_live=0,
        contracts=(
            ContractSummary(
                contract_id="c",
                outlook=Outlook(ShareUnit.CALLS, 8, 10, 0, 8_000, False, Forecast(8_000, "green")),
                goal_bp=8_000,
                margin_bp=0,
                overrides=0,
                refused=0,
            ),
        ),
        places=(PlaceSummary(company="c", asked=0, met=0, met_ms=0, unmet=0, unannounced=0),),
        move_plans=Engine(centre()).summary(now_ms=0).move_plans,
    )
    return Metrics(lambda: summary, version="1.2.3").render()[0].decode()


@pytest.fixture(scope="module")
def known_metrics(exposed: str) -> set[str]:
    def names() -> Iterator[str]:
        for name, kind in re.findall(r"^# TYPE (\S+) (\S+)$", exposed, re.MULTILINE):
            yield from (name + suffix for suffix in ("_bucket", "_sum", "_count")) if kind == "histogram" else (name,)
        yield from re.findall(r"- record: (\S+)", RULES.read_text())

    return {*names(), *SCRAPED}


@pytest.mark.parametrize("expressions", [rule_expressions(), panel_expressions()], ids=["rules", "dashboard"])
def test_every_metric_asked_for_exists(expressions: list[str], known_metrics: set[str]) -> None:
    assert len(expressions) > 10
    for expression in expressions:
        assert metric_names(expression), expression
        assert metric_names(expression) <= known_metrics, expression


@pytest.mark.parametrize("expressions", [rule_expressions(), panel_expressions()], ids=["rules", "dashboard"])
def test_every_label_asked_for_exists(expressions: list[str], exposed: str) -> None:
    # Those of decisions and events come with the first of them.
    known = {*re.findall(r'[{,](\w+)="', exposed), "decision", "rule", "event", *SCRAPED_LABELS}
    for expression in expressions:
        assert label_names(expression) <= known, expression


def test_the_threshold_of_the_service_level_is_an_edge_of_the_histogram(exposed: str) -> None:
    expressions = [*rule_expressions(), *panel_expressions()]

    thresholds = {edge for expression in expressions for edge in re.findall(r'le="([^"]+)"', expression)}

    assert thresholds == {"20.0"}
    assert 'router_wait_until_connected_seconds_bucket{le="20.0",portfolio="p"}' in exposed


def test_prometheus_accepts_its_configuration() -> None:
    promtool("check", "config", PROMETHEUS)
    promtool("check", "rules", RULES)


def test_prometheus_accepts_its_configuration_with_the_token(tmp_path: Path) -> None:
    """The lines that wait there as comments. promtool looks whether the file with the token is there."""
    token = tmp_path / "token"
    text = PROMETHEUS.read_text().replace("rules.yml", str(RULES))
    shown = re.sub(r"^( +)# (authorization:|  type: Bearer|  credentials_file:)", r"\1\2", text, flags=re.MULTILINE)
    shown = shown.replace("/etc/prometheus/router-token", str(token))
    file = tmp_path / "prometheus.yml"
    file.write_text(shown)
    assert f"credentials_file: {token}" in shown

    with pytest.raises(AssertionError, match="credentials"):
        promtool("check", "config", file)
    token.write_text("0123456789abcdef")
    promtool("check", "config", file)


def test_the_rules_do_what_they_say() -> None:
    promtool("test", "rules", RULE_TESTS)


def test_every_alert_is_tested_and_says_what_to_do() -> None:
    alerts = re.findall(r"- alert: (\w+)\n((?: {8}.*\n)+)", RULES.read_text())

    assert {name for name, _ in alerts} == set(re.findall(r"alertname: (\w+)", RULE_TESTS.read_text()))
    for name, body in alerts:
        assert re.search(r"severity: (critical|warning)\n", body), name
        assert " summary: " in body, name
        assert " action: " in body, name


def test_prometheus_understands_every_panel(tmp_path: Path) -> None:
    """As rules, with values for Grafana's variables."""
    rules = [
        {"record": f"panel:{number}", "expr": expression.replace("$__rate_interval", "1m")}
        for number, expression in enumerate(panel_expressions())
    ]
    file = tmp_path / "panels.json"  # JSON is YAML too
    file.write_text(json.dumps({"groups": [{"name": "panels", "rules": rules}]}))

    promtool("check", "rules", file)


def test_panels_have_ids_of_their_own_and_do_not_overlap() -> None:
    ids = [panel["id"] for panel in panels()]
    assert len(ids) == len(set(ids))

    for panel in panels():
        place = panel["gridPos"]
        assert place["x"] >= 0
        assert place["x"] + place["w"] <= GRAFANA_COLUMNS, panel["title"]
    for one, other in combinations(panels(), 2):
        assert not _overlap(one["gridPos"], other["gridPos"]), (one["title"], other["title"])


def _overlap(one: dict[str, int], other: dict[str, int]) -> bool:
    return (
        one["x"] < other["x"] + other["w"]
        and other["x"] < one["x"] + one["w"]
        and one["y"] < other["y"] + other["h"]
        and other["y"] < one["y"] + one["h"]
    )


def test_the_dashboard_can_be_imported_anywhere() -> None:
    """Its data source is chosen, its uid is fixed, and it has no id of the Grafana it was drawn in."""
    dashboard = json.loads(DASHBOARD.read_text())

    assert dashboard["schemaVersion"] >= 39
    assert dashboard["uid"] == "portfolio-router"
    assert "id" not in dashboard
    assert dashboard["templating"]["list"][0]["type"] == "datasource"
    for panel in dashboard["panels"]:
        if panel["type"] != "row":
            assert panel["description"], panel["title"]
            assert panel["fieldConfig"]["defaults"]["unit"], panel["title"]
            assert {target["datasource"]["uid"] for target in panel["targets"]} == {"${datasource}"}
            assert panel["datasource"]["uid"] == "${datasource}"


def test_a_service_level_names_its_threshold_and_variant() -> None:
    for panel in panels():
        if "Service level" in panel["title"]:
            assert "20 s" in panel["title"]
            assert "variant B" in panel["title"]


# --- systemd ---

# 0 is a service that can do nothing, 10 one that can do everything. Beyond the network, which it needs, and a list of
# addresses, which only its site knows, this one leaves next to nothing.
EXPOSURE_MAX = 1.5


def test_systemd_understands_its_unit(tmp_path: Path) -> None:
    """With a program that is there in place of the installed one; any word of complaint is too much."""
    unit = tmp_path / "router.service"
    unit.write_text(UNIT.read_text().replace("/opt/router/bin/router", sys.executable))

    ran = subprocess.run([require("systemd-analyze"), "verify", unit], capture_output=True, text=True, check=False)

    assert (ran.returncode, ran.stdout + ran.stderr) == (0, "")


def test_systemd_understands_the_standby(tmp_path: Path) -> None:
    """The same unit with a drop-in; it starts in the other way, and everything else stays."""
    unit, drop_in = tmp_path / "router-standby.service", tmp_path / "router-standby.service.d" / "standby.conf"
    drop_in.parent.mkdir()
    for file, source in ((unit, UNIT), (drop_in, UNIT.with_name("standby.conf"))):
        file.write_text(source.read_text().replace("/opt/router/bin/router", sys.executable))

    ran = subprocess.run([require("systemd-analyze"), "verify", unit], capture_output=True, text=True, check=False)

    assert (ran.returncode, ran.stdout + ran.stderr) == (0, "")
    assert re.findall(r"^ExecStart=(.*)", drop_in.read_text(), re.MULTILINE)[0] == ""


def test_the_unit_is_hardened() -> None:
    threshold = f"--threshold={round(10 * EXPOSURE_MAX)}"

    command: list[str | Path] = [
        require("systemd-analyze"),
        "security",
        "--offline=true",
        "--no-pager",
        threshold,
        UNIT,
    ]

    ran = subprocess.run(command, capture_output=True, text=True, check=False)

    assert ran.returncode == 0, ran.stdout + ran.stderr


def test_the_unit_names_settings_and_files_that_exist(tmp_path: Path) -> None:
    text = re.sub("^#(LoadCredential|Environment)", r"\1", UNIT.read_text(), flags=re.MULTILINE)
    environ = dict(re.findall(r"^Environment=(ROUTER_\w+)=(.*)$", text, re.MULTILINE))
    credentials = re.findall(r"^LoadCredential=(.+):", text, re.MULTILINE)
    (tmp_path / "router.toml").write_text(
        '[mqtt]\nurl = "mqtts://broker.example"\nusername = "router"\ncertificate_file = "router.pem"'
    )

    settings = load_settings(tmp_path, environ)

    assert {f"%d/{name}" for name in credentials} == {path for path in environ.values() if path.startswith("%d/")}
    assert len(credentials) == 4
    assert str(settings.journal.file).endswith("%S/router/journal.db")
    assert "StateDirectory=router\n" in text


def test_nothing_that_the_router_loads_needs_memory_both_written_and_run(tmp_path: Path) -> None:
    """As MemoryDenyWriteExecute=yes of the unit forbids; the kernel (6.3 or newer) can forbid it here as well."""
    deny = "import ctypes, os, sys; failed = ctypes.CDLL(None).prctl(65, 1, 0, 0, 0); "
    run = "os._exit(77) if failed else os.execv(sys.executable, [sys.executable, '-m', 'router', *sys.argv[1:]])"
    environ = {
        **os.environ,
        "ROUTER_HTTP__PORT": str(free_port()),
        "ROUTER_MQTT__EMBEDDED_PORT": str(free_port()),
        "ROUTER_JOURNAL__FILE": str(tmp_path / "var" / "journal.db"),
        "ROUTER_PSEUDONYM__KEY_FILE": str(tmp_path / "secrets" / "key"),
    }
    router = subprocess.Popen(
        [sys.executable, "-c", deny + run, "run", CONFIG / "small"], env=environ, stdout=subprocess.PIPE, text=True
    )
    assert router.stdout is not None
    try:
        shown = iter(router.stdout.readline, "")
        started = any("metrics" in line for line in shown)
    finally:
        router.terminate()
        status = router.wait(15)
        router.stdout.close()
    if status == 77:
        pytest.skip("this kernel cannot forbid it")

    assert started
    assert status == 0
