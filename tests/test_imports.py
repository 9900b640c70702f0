"""Who may import whom: the layout is the architecture, and this holds it."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FRAMEWORKS = {"torch", "triton", "tensorflow", "keras", "jax"}
LIBRARIES = {"numpy", "scipy", "cv2", "PIL", "defusedxml", "pooch", "requests", "urllib3", "h5py", "safetensors"}
LIBRARIES |= {"google", "matplotlib", "rich", "tabulate", "markdown_it"}
TOOLS = {
    *("numpy", "hypothesis", "pytest", "rich", "tabulate", "jsonschema", "ml_dtypes", "cv2"),
    *("markdown_it", "defusedxml"),
}
COMMON = ("frcnn.cache", "frcnn.machine", "frcnn.whole_file")

# folder -> (frcnn packages it may import, third-party packages it may import)
RULES = {
    "spec": ((), set()),
    "reference": (("frcnn.reference",), {"numpy"}),
    "conformance": (
        ("frcnn.conformance", "frcnn.reference", "frcnn.spec", "frcnn.backends", *COMMON),
        TOOLS,
    ),
    "backends/native": (("frcnn.backends", "frcnn.cache"), {"filelock"}),
    "backends/torch": (("frcnn.backends", "frcnn.cache"), {"numpy", "ml_dtypes", "torch", "triton"}),
    "backends/tf": (("frcnn.backends", "frcnn.cache"), {"numpy", "ml_dtypes", "tensorflow"}),
    "backends": (("frcnn.backends", "frcnn.reference"), {"numpy"}),
    "repro": (
        ("frcnn.repro", "frcnn.reference", "frcnn.backends", "frcnn.spec", *COMMON),
        LIBRARIES | FRAMEWORKS,
    ),
    # Whatever is timed is held to the reference first.
    "benchmarks": (
        ("frcnn.benchmarks", "frcnn.machine", "frcnn.reference"),
        {"numpy", "rich", "tabulate", "matplotlib"},
    ),
}
FORBIDDEN = {
    "conformance": ("frcnn.backends.torch", "frcnn.backends.tf", "frcnn.backends.native"),
    "backends/native": ("frcnn.backends.torch", "frcnn.backends.tf"),
    "backends/torch": ("frcnn.backends.tf", "frcnn.backends.reference"),
    "backends/tf": ("frcnn.backends.torch", "frcnn.backends.reference"),
    "backends": ("frcnn.backends.torch", "frcnn.backends.tf"),
}


def imported(file):
    """Every module that a file imports anywhere, with `from a import b` as a and, within frcnn, also a.b."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}: relative import"
            yield from (
                (f"{node.module}.{alias.name}" for alias in node.names)
                if node.module.startswith("frcnn")
                else (node.module,)
            )


def files_of(folder):
    path = ROOT / folder
    return sorted(path.glob("*.py") if folder in ("backends", "benchmarks") else path.rglob("*.py"))


def within(name, packages):
    return any(name == package or name.startswith(f"{package}.") for package in packages)


@pytest.mark.parametrize("folder", RULES)
def test_a_folder_imports_only_what_the_design_lets_it(folder):
    ours, theirs = RULES[folder]
    files = files_of(folder)
    assert files
    for file in files:
        for name in imported(file):
            top = name.partition(".")[0]
            if top == "frcnn":
                assert name == "frcnn" or within(name, ours), f"{file.relative_to(ROOT)} imports {name}"
                assert not within(name, FORBIDDEN.get(folder, ())), f"{file.relative_to(ROOT)} imports {name}"
            else:
                assert top in sys.stdlib_module_names or top in theirs, f"{file.relative_to(ROOT)} imports {name}"


def test_a_framework_is_imported_in_the_files_of_repro_that_are_named_for_it_and_nowhere_else():
    allowed = {"torch": {"torch"}, "tf": {"tensorflow"}}
    for file in files_of("repro"):
        prefix = file.stem.partition("_")[0]
        found = {name.partition(".")[0] for name in imported(file)} & FRAMEWORKS
        assert found <= allowed.get(prefix, set()), f"{file.relative_to(ROOT)} imports {found}"


def at_top_level(file):
    """The modules that importing the file imports, as `imported` names them."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    inside = {
        id(node)
        for scope in ast.walk(tree)
        if isinstance(scope, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        for node in ast.walk(scope)
    }
    for node in ast.walk(tree):
        if id(node) in inside:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def test_no_file_of_repro_but_a_framework_s_own_imports_such_a_file_at_top_level():
    for file in files_of("repro"):
        prefix = file.stem.partition("_")[0]
        for name in at_top_level(file):
            for other in ("torch", "tf"):
                if name.startswith((f"frcnn.repro.{other}_", f"frcnn.backends.{other}")):
                    assert prefix == other, f"{file.relative_to(ROOT)} imports {name}"


def test_nothing_but_the_command_and_the_timing_of_a_training_step_imports_repro():
    for folder in ("spec", "reference", "backends", "conformance", "benchmarks"):
        for file in sorted((ROOT / folder).rglob("*.py")):
            if file.parent == ROOT / "benchmarks" / "workers":
                continue
            assert not any(within(name, ["frcnn.repro"]) for name in imported(file)), file.relative_to(ROOT)


@pytest.mark.parametrize(
    "module",
    [
        "frcnn",
        "frcnn.cli",
        "frcnn.spec",
        "frcnn.reference",
        "frcnn.backends",
        "frcnn.conformance.run",
        "frcnn.conformance.plugin",
        "frcnn.repro.run",
        "frcnn.benchmarks.measure",
    ],
)
def test_no_framework_is_imported_until_it_is_asked_for(module):
    code = f"import sys, {module}; print(sorted({FRAMEWORKS!r} & set(sys.modules)))"
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "[]"


def test_the_command_says_its_version_without_importing_numpy():
    code = "import sys, frcnn.cli; print('numpy' in sys.modules)"
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "False"
