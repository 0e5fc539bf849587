"""The layers of DESIGN.md: imports point down. Every import in the package is parsed.

Also what else the house rules ask of the source: no circles of files, no `assert`, long files that
say why, short functions, folders of few files.
"""

from __future__ import annotations

import ast
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePath
from typing import NamedTuple

import pytest

import kerasft

PACKAGE = Path(kerasft.__file__).parent
MAX_FILE_LINES = 400
SAYS_WHY = re.compile(r"^Length: \S", re.MULTILINE)  # what the docstring of a longer file has
MAX_FUNCTION_LINES = 60
MAX_FOLDER_FILES = 16
LISTS_OF_ONE_KIND = ("cli", "pipelines")  # flat, and as long as there are commands and pipelines
MAX_PACKAGE_LINES = 37_300

# A room is a module or package directly in kerasft; "" is kerasft itself.
LAYERS = {
    0: (
        "errors",
        "folders",
        "metric",
        "recipe",
        "run_dir",
        "console",
        "tables",
        "processor",
        "text_files",
    ),
    1: ("data", "text", "models", "metrics"),
    2: ("tasks",),
    3: ("training", "export"),
    4: ("evaluation", "serving", "client"),
    5: ("runs",),
    6: ("studies",),
    7: ("benchmarks",),
    8: ("cli", "__main__", ""),
    9: ("pipelines",),
}
LAYER_OF = {room: layer for layer, rooms in LAYERS.items() for room in rooms}
NEIGHBOURS_IN_LAYER_1 = {("data", "text")}  # the others know nothing of each other
KNOW_RECIPES = 3  # and what lies above
LIGHT = {*LAYERS[0], "cli", "pipelines", "__main__", ""}
HEAVY = {"tensorflow", "tensorflow_text", "tensorflow_datasets", "keras", "keras_hub", "numpy"}


class Import(NamedTuple):
    """One import: the module's full name, and whether it happens when the file is imported."""

    module: str
    line: int
    at_module_level: bool


def find_imports(source: str, package: str) -> Iterator[Import]:
    """Yields the imports of a source file, relative ones resolved.

    Args:
        source: The file's text.
        package: The package it lies in, such as `kerasft.data`.
    """
    for node, inside in _walk(ast.parse(source), inside=False):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            parts = package.split(".")
            above = ".".join(parts[: len(parts) - node.level + 1]) if node.level else ""
            base = ".".join(filter(None, [above, node.module]))
            names = [f"{base}.{alias.name}" for alias in node.names]
        else:
            continue
        yield from (Import(name, node.lineno, not inside) for name in names)


def _walk(node: ast.AST, *, inside: bool) -> Iterator[tuple[ast.AST, bool]]:
    for child in ast.iter_child_nodes(node):
        is_function = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        later = inside or is_function or _is_type_checking(child)
        yield child, later
        yield from _walk(child, inside=later)


def _is_type_checking(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING")


def room_of(module: str) -> str | None:
    """The room of a full module name; `None` outside kerasft, `""` for kerasft itself."""
    top, _, rest = module.partition(".")
    if top != "kerasft":
        return None
    name = rest.partition(".")[0]
    return name if name in LAYER_OF else ""


def find_import_faults(source: str, module: str, *, is_package: bool = False) -> list[str]:
    """Lists what a file imports and should not.

    Args:
        source: The file's text.
        module: Its full name, such as `kerasft.data.plan.splits`.
        is_package: Whether it is an `__init__.py`.
    """
    room = room_of(module)
    package = module if is_package else module.rpartition(".")[0]
    faults = []
    for found in find_imports(source, package):
        lazily_anything = room == "" and not found.at_module_level
        top, target = found.module.partition(".")[0], room_of(found.module)
        if room in LIGHT and found.at_module_level and top in HEAVY:
            faults.append(f"{module}:{found.line} imports {found.module} at module level")
        elif target is not None and target != room and not lazily_anything:
            faults += [f"{module}:{found.line} {f}" for f in _fault(room, target, found.module)]
    return faults


def _fault(room: str, target: str, imported: str) -> Iterator[str]:
    layer, below = LAYER_OF[room], LAYER_OF[target]
    if below > layer:
        yield f"imports upward: {imported} (L{layer} from L{below})"
    elif layer == below == 1 and (room, target) not in NEIGHBOURS_IN_LAYER_1:
        yield f"imports its neighbour: {imported}"
    elif target == "recipe" and 0 < layer < KNOW_RECIPES:
        yield f"knows recipes: {imported}"


def find_source_faults(source: str, module: str) -> list[str]:
    """Lists `assert`s, a long file that does not say why it is long, and long functions."""
    faults = []
    tree = ast.parse(source)
    num_lines = len(source.splitlines())
    if num_lines > MAX_FILE_LINES and not SAYS_WHY.search(ast.get_docstring(tree) or ""):
        faults.append(f'{module} has {num_lines} lines and no "Length: why" in its docstring')
    for node in ast.walk(tree):
        if isinstance(node, ast.Assert):
            faults.append(f"{module}:{node.lineno} asserts")
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            length = node.end_lineno - node.lineno + 1
            if length > MAX_FUNCTION_LINES:
                faults.append(f"{module}:{node.lineno} {node.name} has {length} lines")
    return faults


def find_file_imports(files: list[tuple[str, str, bool]]) -> dict[str, set[str]]:
    """Returns which files of a list each file imports, at any place of it."""
    modules = {module for module, _, _ in files}
    graph = {}
    for module, source, is_package in files:
        package = module if is_package else module.rpartition(".")[0]
        names = {found.module for found in find_imports(source, package)}
        # `from kerasft.data import x` imports a file of this name, or what the package holds.
        targets = {name if name in modules else name.rpartition(".")[0] for name in names}
        graph[module] = targets & modules - {module}
    return graph


def find_circles(graph: dict[str, set[str]]) -> list[set[str]]:
    """Returns the groups whose members import each other, directly or by way of others."""
    reached = {}
    for start in graph:
        waiting, found = [start], set()
        while waiting:
            new = graph[waiting.pop()] - found
            found |= new
            waiting += new
        reached[start] = found
    groups = {
        frozenset(other for other in reached[name] if name in reached[other])
        for name in graph
        if name in reached[name]
    }
    return sorted(map(set, groups), key=min)


def find_full_folders(paths: Iterable[PurePath]) -> list[str]:
    """Lists the folders with more Python files than a reader takes in at once."""
    counts = Counter(path.parent for path in paths)
    return [
        f"{folder} holds {count} files"
        for folder, count in sorted(counts.items())
        if count > MAX_FOLDER_FILES and folder.as_posix() not in LISTS_OF_ONE_KIND
    ]


def package_files() -> list[tuple[str, str, bool]]:
    """The package's files: full module name, text, and whether it is an `__init__.py`."""
    files = []
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = ["kerasft", *path.relative_to(PACKAGE).with_suffix("").parts]
        is_package = parts[-1] == "__init__"
        module = ".".join(parts[:-1] if is_package else parts)
        files.append((module, path.read_text(), is_package))
    return files


FILES = package_files()


def test_imports_point_down():
    faults = [
        fault
        for module, source, is_package in FILES
        for fault in find_import_faults(source, module, is_package=is_package)
    ]
    assert faults == []


def test_rooms_do_not_import_each_other_in_circles():
    graph: dict[str, set[str]] = {room: set() for room in LAYER_OF if room}
    for module, source, is_package in FILES:
        room, package = room_of(module), module if is_package else module.rpartition(".")[0]
        targets = {room_of(found.module) for found in find_imports(source, package)}
        if room:
            graph[room] |= targets - {room, None, ""}
    assert graph["cli"] >= {"runs", "recipe"}  # the graph is not an empty one
    assert find_circles(graph) == []


def test_files_do_not_import_each_other_in_circles():
    graph = find_file_imports(FILES)
    assert sum(map(len, graph.values())) > len(FILES)  # the graph is not an empty one
    assert find_circles(graph) == []


def test_no_folder_is_too_full():
    paths = [path.relative_to(PACKAGE) for path in PACKAGE.rglob("*.py")]
    assert find_full_folders(paths) == []


def test_the_package_does_not_grow():
    assert sum(len(source.splitlines()) for _, source, _ in FILES) <= MAX_PACKAGE_LINES


def test_every_room_has_a_layer():
    names = {path.stem for path in PACKAGE.iterdir() if not path.name.startswith("_")}
    assert names - LAYER_OF.keys() == set()


def test_the_sources_keep_the_house_rules():
    assert [f for module, source, _ in FILES for f in find_source_faults(source, module)] == []


# Of the backbones of KerasHub: their attributes and their classes.
FAMILY_NAMES = re.compile(
    r"(token|position|segment)_embedding|embeddings_(add|layer_norm|dropout|projection)"
    r"|transformer_layers|pooled_dense|(Bert|DistilBert|Electra)(Backbone|Tokenizer)"
)
NAME_FAMILIES = ("kerasft.models.families.", "kerasft.models.tiny_random")  # a preset of its own


def find_family_names(source: str) -> list[str]:
    """Lists what only the file of a family may name: as an attribute, a name or a string."""
    nodes = ast.walk(ast.parse(source))
    names = (
        getattr(node, "attr", None) or getattr(node, "id", None) or getattr(node, "value", None)
        for node in nodes
    )
    return [name for name in names if isinstance(name, str) and FAMILY_NAMES.fullmatch(name)]


def test_only_the_file_of_a_family_names_its_layers():
    found = {module: find_family_names(source) for module, source, _ in FILES}
    names = {module for module, names in found.items() if names}
    assert {name for name in names if not name.startswith(NAME_FAMILIES)} == set()
    assert names >= {"kerasft.models.families.electra", "kerasft.models.tiny_random"}


@pytest.mark.parametrize(
    "source", ["x.backbone.transformer_layers", "hasattr(x, 'pooled_dense')", "k.BertBackbone()"]
)
def test_a_layer_that_is_named_elsewhere_is_seen(source):
    assert len(find_family_names(source)) == 1


def test_the_pipelines_package_holds_a_docstring_only():
    (source,) = (source for module, source, _ in FILES if module == "kerasft.pipelines")
    assert [type(node) for node in ast.parse(source).body] == [ast.Expr]


# --- controls: each rule catches what it is there for


BAD_IMPORTS = [
    ("kerasft.data.plan.splits", "from kerasft.training.loop.loop import x", "imports upward"),
    ("kerasft.data.plan.splits", "import kerasft.tasks.classification", "imports upward"),
    ("kerasft.data.plan.splits", "from kerasft import pipelines", "imports upward"),
    ("kerasft.data.plan.splits", "from kerasft import run", "imports upward"),
    ("kerasft.data.plan.splits", "import kerasft", "imports upward"),
    ("kerasft.data.plan.splits", "from ...training import loop", "imports upward"),
    ("kerasft.data.plan.splits", "from ... import training", "imports upward"),
    ("kerasft.data.plan.splits", "def f():\n    from kerasft.export import x", "imports upward"),
    ("kerasft.data.plan.splits", "if TYPE_CHECKING:\n    import kerasft.cli", "imports upward"),
    ("kerasft.data.plan.splits", "from kerasft.models import presets", "imports its neighbour"),
    ("kerasft.text.wordpiece", "from kerasft.data import splits", "imports its neighbour"),
    ("kerasft.models.encoder", "from ..text import wordpiece", "imports its neighbour"),
    ("kerasft.models.encoder", "from kerasft.recipe import Recipe", "knows recipes"),
    ("kerasft.tasks.classification", "from kerasft import recipe", "knows recipes"),
    ("kerasft.console", "import numpy as np", "at module level"),
    ("kerasft.recipe.read", "try:\n    import keras.ops\nexcept E:\n    pass", "at module level"),
    ("kerasft.cli.list", "class A:\n    from tensorflow import x", "at module level"),
    ("kerasft", "from kerasft.runs import train", None),
]


@pytest.mark.parametrize(("module", "source", "expected"), BAD_IMPORTS)
def test_an_import_that_is_not_allowed_is_seen(module, source, expected):
    faults = find_import_faults(source, module)
    if expected is None:
        assert faults == []  # kerasft stands at the top
    else:
        assert len(faults) == 1
        assert expected in faults[0]


def test_relative_imports_of_a_package_are_resolved():
    source = "from .loop import x\nfrom ..cli import y\nfrom . import z"
    assert len(find_import_faults(source, "kerasft.training", is_package=True)) == 1
    assert find_import_faults("from .b import x\nfrom . import c", "kerasft.data.a") == []


@pytest.mark.parametrize(
    ("module", "source"),
    [
        (
            "kerasft.data.plan.splits",
            "from kerasft.text import wordpiece\nimport numpy, tensorflow",
        ),
        ("kerasft.training.loop.loop", "from kerasft.recipe import x\nfrom kerasft.data import y"),
        ("kerasft.cli.doctor", "def f():\n    import tensorflow\n    import kerasft.models"),
        ("kerasft.run_dir", "if TYPE_CHECKING:\n    import numpy"),
        ("kerasft", "def run():\n    from kerasft.runs import train"),
        ("kerasft.__main__", "from kerasft import cli, __version__"),
    ],
)
def test_an_import_that_is_allowed_passes(module, source):
    assert find_import_faults(source, module) == []


def test_a_circle_is_seen():
    assert find_circles({"a": {"b"}, "b": {"c"}, "c": set()}) == []
    two = {"a": {"b"}, "b": {"a"}, "c": {"a", "d"}, "d": {"e"}, "e": {"f"}, "f": {"d"}}
    assert find_circles(two) == [{"a", "b"}, {"d", "e", "f"}]


@pytest.mark.parametrize(
    "back",
    [
        "from kerasft.data import a",
        "from .a import A",
        "def f():\n    import kerasft.data.a",
        "if TYPE_CHECKING:\n    from kerasft.data.a import A",
    ],
)
def test_a_circle_of_files_is_seen(back):
    others = [
        ("kerasft.data", "from kerasft.data.a import A", True),
        ("kerasft.data.a", "from kerasft.data.b import f", False),
    ]
    assert find_circles(find_file_imports([*others, ("kerasft.data.b", "", False)])) == []
    circle = find_circles(find_file_imports([*others, ("kerasft.data.b", back, False)]))
    assert circle == [{"kerasft.data.a", "kerasft.data.b"}]


def test_a_circle_through_a_package_is_seen():
    files = [
        ("kerasft.data", "from kerasft.data.a import A", True),
        ("kerasft.data.a", "from kerasft.data import B", False),
    ]
    assert find_circles(find_file_imports(files)) == [{"kerasft.data", "kerasft.data.a"}]


def test_a_full_folder_is_seen():
    files = [PurePath(folder, f"{i}.py") for folder in ("a", "a/b", "cli") for i in range(16)]
    assert find_full_folders(files) == []
    more = [PurePath(folder, "16.py") for folder in ("a/b", "cli")]
    assert find_full_folders([*files, *more]) == ["a/b holds 17 files"]


def test_long_files_long_functions_and_asserts_are_seen():
    body = "    pass\n" * MAX_FUNCTION_LINES
    assert find_source_faults(f"def f():\n{body}", "m") == ["m:1 f has 61 lines"]
    assert find_source_faults("def f():\n    assert True", "m") == ["m:2 asserts"]
    lines = "pass\n" * (MAX_FILE_LINES - 3)
    assert find_source_faults(f'"""A file.\n\n"""\n{lines}', "m") == []
    (fault,) = find_source_faults(f'"""A file.\n\nLong.\n"""\n{lines}', "m")
    assert fault == 'm has 401 lines and no "Length: why" in its docstring'
    assert find_source_faults(f'"""A file.\n\nLength: one table.\n"""\n{lines}', "m") == []
