"""What may import what. Read from the source, so that nothing needs to be imported for it."""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import networkx as nx
import pytest

ROUTER = Path(__file__).parents[1] / "router"

CORE_STANDARD_LIBRARY = {"bisect", "collections", "datetime", "enum", "heapq", "itertools", "typing", "zoneinfo"}
"""All that the core needs of the standard library: no clock, no chance, no input or output."""

LAYERS = (
    {"core"},
    {
        "wire",
        "reading",
        "tables",
        "calendars",
        "settings",
        "organisation_files",
        "roster_files",
        "load_files",
        "journal",
        "pseudonym",
        "secret_files",
    },
    {"simulation", "service", "gateway", "play"},
    {"journal_tools"},
    {"command_line"},
    {"experiments", "planning", "reports", "share_commands"},
    {"terminal", "cli", "__main__"},
)
"""Parts of the router, each of which may import those of its own layer and of the layers before."""

HOMES = {
    "aiomqtt": "service/mqtt.py",
    "amqtt": "service/broker.py",
    "holidays": "calendars.py",
    "msgpack": "wire.py",
    "jinja2": "reports/pages.py",
    "networkx": "core/organisation.py",
    "paho": "service/mqtt.py",
    "prometheus_client": "service/metrics.py",
    "sqlite3": "journal/sqlite.py",
    "starlette": "service/http.py",
    "uvicorn": "service/http.py",
}
"""Libraries of which one module alone knows, so that they can be replaced there."""

DRAWERS = {"networkx": {"reports", "planning"}}
"""Parts that may know such a library too: reports draw the organisation, planning solves flows through it."""


class Import(NamedTuple):
    """*module* imports *name*; both dotted, such as ``router.core.engine``."""

    path: str
    module: str
    name: str

    @property
    def library(self) -> str:
        return self.name.partition(".")[0]


def part_of(module: str) -> str:
    """``router.service.mqtt`` is of the part ``service``; the router itself, which only has its name, of none."""
    return module.split(".")[1] if "." in module else ""


def modules() -> Iterator[tuple[str, str, ast.Module]]:
    """(path in the package, dotted name, syntax tree) of every module."""
    for path in sorted(ROUTER.rglob("*.py")):
        inside = path.relative_to(ROUTER)
        name = ".".join(("router", *inside.with_suffix("").parts)).removesuffix(".__init__")
        yield inside.as_posix(), name, ast.parse(path.read_text(encoding="utf-8"))


MODULES = list(modules())
NAMES = {name for _, name, _ in MODULES}


def imports_of(path: str, module: str, tree: ast.Module) -> Iterator[Import]:
    """Every import, at the top of the module or inside a function."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield Import(path, module, alias.name)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} imports relatively; write out where from"
            assert node.module is not None, "an absolute import names its module"
            for alias in node.names:
                full = f"{node.module}.{alias.name}"
                yield Import(path, module, full if full in NAMES else node.module)


IMPORTS = [found for module in MODULES for found in imports_of(*module)]


def is_core(path: str) -> bool:
    return path.startswith("core/")


def test_the_source_was_found() -> None:
    assert {"router.core.engine", "router.wire", "router.service.mqtt"} <= NAMES
    assert any(found.module == "router.core.engine" and found.name == "router.core.waiting" for found in IMPORTS)


def test_core_imports_itself_msgspec_and_a_little_of_the_standard_library() -> None:
    allowed = {"msgspec", "networkx"} | CORE_STANDARD_LIBRARY

    strangers = {
        (found.path, found.name)
        for found in IMPORTS
        if is_core(found.path) and found.library not in allowed and not found.name.startswith("router.core")
    }

    assert strangers == set()
    assert sys.stdlib_module_names >= CORE_STANDARD_LIBRARY


def test_core_reads_no_clock_and_does_no_input_or_output() -> None:
    forbidden_names = {"open", "print", "input", "exec", "eval", "__import__"}
    forbidden_methods = {"now", "utcnow", "today"}

    calls = [
        (path, node.lineno, ast.unparse(node.func))
        for path, _, tree in MODULES
        if is_core(path)
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and (
            (isinstance(node.func, ast.Name) and node.func.id in forbidden_names)
            or (isinstance(node.func, ast.Attribute) and node.func.attr in forbidden_methods)
        )
    ]

    assert calls == []


def test_core_awaits_nothing() -> None:
    waits = (ast.AsyncFunctionDef, ast.Await, ast.AsyncFor, ast.AsyncWith)

    found = [path for path, _, tree in MODULES if is_core(path) and any(isinstance(n, waits) for n in ast.walk(tree))]

    assert found == []


def test_imports_point_one_way() -> None:
    layer_of = {part: number for number, parts in enumerate(LAYERS) for part in parts}
    unknown = {part_of(module) for module in NAMES} - layer_of.keys() - {""}
    against = [
        (found.module, found.name)
        for found in IMPORTS
        if found.library == "router"
        and part_of(found.module) in layer_of
        and layer_of[part_of(found.module)] < layer_of.get(part_of(found.name), 0)
    ]

    assert unknown == set(), "give the new part a place in LAYERS"
    assert against == []


@pytest.mark.parametrize(("library", "home"), HOMES.items())
def test_library_is_known_to_one_module(library: str, home: str) -> None:
    knowing = {
        found.path
        for found in IMPORTS
        if found.library == library and part_of(found.module) not in DRAWERS.get(library, ())
    }

    assert knowing == {home}


def test_no_two_modules_import_each_other() -> None:
    """A package stands for the names it gathers, so a module that imports its own package closes a circle."""
    graph: nx.DiGraph[str] = nx.DiGraph()
    graph.add_edges_from((found.module, found.name) for found in IMPORTS if found.library == "router")

    circles = [sorted(circle) for circle in nx.strongly_connected_components(graph) if len(circle) > 1]

    assert circles == []
