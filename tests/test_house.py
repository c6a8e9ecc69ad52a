"""The walls of the house: who may import whom, what serving must never load, and the names each room offers."""

import ast
import importlib
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from contextlib import suppress
from graphlib import CycleError, TopologicalSorter
from importlib.metadata import PackageNotFoundError, packages_distributions, requires
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
ROOMS = (
    "console",
    "classifier",
    "stores",
    "training",
    "service",
    "monitoring",
    "load",
    "benchmarks",
    "demo",
    "notebooks",
    "drills",
    "examples",
)
MAY_IMPORT = {
    "console": set(),
    "classifier": set(),
    "stores": {"classifier"},
    "training": {"classifier", "stores"},
    "service": {"classifier", "stores"},
    "monitoring": {"classifier", "stores"},
    "load": set(),
    "benchmarks": {"classifier", "stores", "training", "service", "monitoring", "load"},
    "demo": {"stores"},
    "notebooks": {"classifier", "stores", "training"},
    "drills": {"classifier", "stores", "training", "service"},
    "examples": {"classifier", "stores", "training", "monitoring"},
}
"""The table of ARCHITECTURE.md."""

NEVER = {
    "classifier": {
        "torch", "transformers", "mlflow", "bentoml", "sqlalchemy", "alembic", "starlette", "httpx", "requests",
    },
    "service": {"torch", "transformers", "datasets", "evidently", "mlflow"},
    "stores": {"torch", "transformers", "bentoml"},
    "monitoring": {"torch", "transformers"},
}  # fmt: skip
"""What a room leaves to others: no torch where nothing is trained, MLflow only through `stores.registry`."""


def sources(room: str) -> list[Path]:
    """Every Python file of a room."""
    return sorted((ROOT / room).rglob("*.py"))


def imports(path: Path) -> Iterator[tuple[int, str]]:
    """Line and full name of everything that a file imports, wherever in it, whether or not the line is ever run."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: imports are written in full"
            assert node.module is not None
            yield node.lineno, node.module


def through(room: str, forbidden: set[str]) -> list[str]:
    """Imports of a room that name a forbidden package."""
    return [
        f"{path.relative_to(ROOT)}:{line} imports {name}"
        for path in sources(room)
        for line, name in imports(path)
        if name.split(".")[0] in forbidden
    ]


def test_the_table_names_every_room() -> None:
    assert set(MAY_IMPORT) == set(ROOMS)
    for room in ROOMS:
        assert sources(room), f"{room} is empty"
        assert f"`{room}/`" in (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("room", ROOMS)
def test_no_import_goes_through_a_wall(room: str) -> None:
    forbidden = (set(ROOMS) | {"tests"}) - MAY_IMPORT[room] - {room}
    assert through(room, forbidden) == []


@pytest.mark.parametrize("room", sorted(NEVER))
def test_what_a_room_leaves_to_others(room: str) -> None:
    assert through(room, NEVER[room]) == []


def test_the_check_sees_what_it_should() -> None:
    """The reader of imports finds them at the top, inside functions and under TYPE_CHECKING alike."""
    assert "classifier" in {name.split(".")[0] for _, name in imports(ROOT / "stores" / "registry.py")}
    assert through("stores", {"pandas"}), "imported inside functions of stores/registry.py"
    assert through("classifier", {"pandas"}), "imported for its types in classifier/reference.py"


def folder_imports(room: str) -> dict[str, set[str]]:
    """Folder of a room → other folders of it that its files import, also inside functions and for types only.

    A file directly in the package counts as a folder: some are below all folders (errors, settings), others above
    (the application). `__main__.py` is left out: it starts a command, and nothing imports it.
    """

    def place(path: Path) -> str:
        return (path if path.parent == ROOT / room else path.parent).relative_to(ROOT).as_posix()

    paths = [path for path in sources(room) if path.name != "__main__.py"]
    place_of = {
        ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): place(path)
        for path in paths
    }
    graph: dict[str, set[str]] = {own: set() for own in place_of.values()}
    for path in paths:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and node.module:
                names = [f"{node.module}.{alias.name}" for alias in node.names]
                modules = {name if name in place_of else node.module for name in names}
                graph[place(path)] |= {place_of[name] for name in modules & place_of.keys()} - {place(path)}
    return graph


@pytest.mark.parametrize("room", ["classifier", "stores", "training", "service", "monitoring"])
def test_no_circle_of_folders(room: str) -> None:
    try:
        TopologicalSorter(folder_imports(room)).prepare()
    except CycleError as error:
        pytest.fail(" → ".join(reversed(error.args[1])))


def test_the_graph_of_folders_sees_what_it_should() -> None:
    graph = folder_imports("training")
    assert graph["training/kinds"] >= {"training/data", "training/cascade"}, "for types; inside a function"
    assert graph["training/data"] >= {"training/config", "training/errors.py"}


HEAVY = ("torch", "transformers", "pandas", "evidently", "datasets", "matplotlib", "sklearn")


def loaded_by(code: str) -> set[str]:
    """Which of the heavy packages a new process has loaded after `code`."""
    result = subprocess.run(
        [sys.executable, "-c", f"{code}\nimport sys\nprint(*set({HEAVY!r}) & set(sys.modules))"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr[-2000:]
    return set(result.stdout.split())


def test_serving_loads_nothing_heavy() -> None:
    """Every module of the service but those of batch scoring, which reads tables and says what it needs itself."""
    names = [
        ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        for path in sources("service")
        if "batch_scoring" not in path.parts and path.name not in {"batch.py", "__main__.py"}
    ]
    assert "service.app" in names
    assert loaded_by("\n".join(f"import {name}" for name in names)) == set()


@pytest.mark.parametrize("room", ["classifier", "stores", "load"])
def test_a_light_room_is_light_to_enter(room: str) -> None:
    assert loaded_by(f"import {room}") == set()


@pytest.mark.parametrize("module", ["classifier", "stores.predictions", "training.data"])
def test_public_names_are_listed_once_in_order_and_documented(module: str) -> None:
    found = importlib.import_module(module)
    assert found.__all__ == sorted(set(found.__all__))
    for name in found.__all__:
        assert getattr(found, name).__doc__, f"{module}.{name}"


def test_what_the_rooms_offer() -> None:
    """A change here concerns users of the package: README and changelog change with it."""
    classifier = importlib.import_module("classifier")
    assert set(classifier.__all__) == {
        "BundleDamaged", "BundleError", "BundleIncomplete", "BundleUntrusted", "BundleVersionUnknown", "Classifier",
        "ClassifierError", "Description", "DeviceMissing", "Encoded", "GoldenMismatch", "PredictionFailed",
            "Predictions", "SigningKeyInvalid", "SigningKeys", "seal_bundle",
    }  # fmt: skip
    predictions = importlib.import_module("stores.predictions")
    assert set(predictions.__all__) >= {
        "FeedbackResult", "LabelledPrediction", "Prediction", "PredictionStore", "new_prediction_id",
    }  # fmt: skip


@pytest.mark.parametrize(
    "module", ["classifier.errors", "stores.errors", "stores.tabular.errors", "training.errors"]
)
def test_each_tree_of_errors_is_drawn_in_full(module: str) -> None:
    found = importlib.import_module(module)
    errors = [
        name
        for name, value in vars(found).items()
        if isinstance(value, type) and issubclass(value, Exception)
    ]
    assert errors
    assert found.__doc__
    for name in errors:
        assert name in found.__doc__


def test_the_client_needs_httpx_and_pydantic_only() -> None:
    """`champion[client]` installs these two: what importing the client loads must come with them."""
    code = (
        "import sys; before = set(sys.modules); import service.client; "
        "print(*{name.split('.')[0] for name in set(sys.modules) - before})"
    )
    loaded = set(
        subprocess.run(
            [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
        ).stdout.split()
    )
    packages_of = packages_distributions()  # reads the metadata of every installed package
    packages = {
        name
        for module in loaded - set(sys.stdlib_module_names) - {"service"}
        for name in packages_of.get(module, ())
    }
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    wanted = project["dependencies"] + project["optional-dependencies"]["client"]
    assert {Requirement(line).name for line in wanted} == {"httpx", "pydantic"}
    allowed, queue = set(), [Requirement(line).name for line in wanted]
    while queue:
        name = queue.pop()
        if name in allowed:
            continue
        allowed.add(name)
        # Extras count: httpx loads rich and brotli where they happen to be installed. Others may be missing.
        with suppress(PackageNotFoundError):
            queue.extend(Requirement(line).name for line in requires(name) or ())
    assert {canonicalize_name(name) for name in packages} <= {canonicalize_name(name) for name in allowed}


MESSAGES = ROOT / "tests" / "golden_messages.py"


def patterns_in(path: Path) -> Iterator[tuple[int, str]]:
    """Line and text of each literal in an argument `match` of a test file."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.keyword) and node.arg == "match":
            for part in ast.walk(node.value):
                if isinstance(part, ast.Constant) and isinstance(part.value, str):
                    yield part.lineno, part.value


def test_wording_is_asserted_in_golden_messages() -> None:
    """Elsewhere a pattern is a value, such as the name of a file or a key; one with spaces is a sentence.

    The tests of monitoring are still to be converted.
    """
    assert [
        f"{path.relative_to(ROOT)}:{line}"
        for path in sources("tests")
        if "monitoring" not in path.parts
        for line, text in patterns_in(path)
        if " " in text
    ] == []


def test_every_golden_message_is_used() -> None:
    named = {
        target.id
        for node in ast.parse(MESSAGES.read_text(encoding="utf-8")).body
        if isinstance(node, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    used = {
        node.attr
        for path in sources("tests")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Attribute)
    }
    assert named
    assert named <= used


def test_names_of_tests_are_short() -> None:
    """At most 59 characters, so that a line of pytest's summary fits."""
    assert [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for path in sources("tests")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        if node.name.startswith("test_") and len(node.name) > 59
    ] == []
