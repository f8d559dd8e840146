"""The drawing of the house against the code: imports run one way, files stay short, and starting stays cheap."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
SOURCE = ROOT / "src" / "inlay"
FILES = sorted(SOURCE.rglob("*.py"))
ALL_FILES = [*FILES, *sorted((ROOT / "tests").rglob("*.py")), *sorted((ROOT / "benchmarks").rglob("*.py"))]

# A module may import from its own line and from the lines above it.
LAYERS = [
    {"errors", "config", "batch", "files", "tensorfile", "live", "stages"},
    {"text", "tokenize"},
    {"vectors", "model"},
    {"objective", "task", "convert", "generate"},
    {"train", "embed"},
    {"evaluate", "search", "explain", "bias"},
    {"adapt", "fit", "pipeline", "serve", "explore", "commands", "cli", "__init__", "__main__"},
]
LAYER = {name: number for number, layer in enumerate(LAYERS) for name in layer}
CODE_ONLY = pytest.mark.parametrize("file", FILES, ids=lambda file: file.relative_to(SOURCE).as_posix())
ANY_CODE = pytest.mark.parametrize("file", ALL_FILES, ids=lambda file: file.relative_to(ROOT).as_posix())


def tree(file: Path) -> ast.Module:
    return ast.parse(file.read_text(encoding="utf-8"))


def room(file: Path) -> str:
    """The part of the house that a file belongs to: its folder, or its name at the top."""
    return file.relative_to(SOURCE).parts[0].removesuffix(".py")


def imports(file: Path) -> list[str]:
    found = []
    for node in ast.walk(tree(file)):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            found += [f"{node.module}.{alias.name}" for alias in node.names]
    return found


def names(node: ast.AST) -> set[str]:
    return {part.id for part in ast.walk(node) if isinstance(part, ast.Name)} | {
        part.attr for part in ast.walk(node) if isinstance(part, ast.Attribute)
    }


@CODE_ONLY
def test_every_file_has_its_place_in_the_drawing(file: Path) -> None:
    assert room(file) in LAYER, f"{room(file)} is in no layer of LAYERS"


@CODE_ONLY
def test_imports_run_one_way(file: Path) -> None:
    if file == SOURCE / "__init__.py":
        return  # it names all the public things, and loads them on use
    for name in imports(file):
        first, _, rest = name.partition(".")
        if first == "inlay":
            target = rest.split(".")[0]
            target = target if target in LAYER else "__init__"
            if target == "__init__" and rest == "__version__":
                continue
            assert LAYER[target] <= LAYER[room(file)], f"{file.name} imports {name}, which lies below it"


@ANY_CODE
def test_a_file_is_one_short_idea(file: Path) -> None:
    text = file.read_text(encoding="utf-8")
    assert text.strip(), "an empty module"
    assert len(text.splitlines()) <= 400
    assert file.stem not in {"utils", "util", "common", "helpers", "helper", "misc"}


@CODE_ONLY
def test_a_module_says_what_it_is_and_does_something(file: Path) -> None:
    module = tree(file)
    assert ast.get_docstring(module)
    assert len(module.body) > 1 or file.name == "__init__.py"


@CODE_ONLY
def test_a_dataclass_has_few_fields_and_is_frozen(file: Path) -> None:
    for node in ast.walk(tree(file)):
        if not isinstance(node, ast.ClassDef):
            continue
        marks = [mark for mark in node.decorator_list if "dataclass" in names(mark)]
        if not marks:
            continue
        assert sum(isinstance(line, ast.AnnAssign) for line in node.body) <= 20, node.name
        options = {key.arg: ast.unparse(key.value) for key in getattr(marks[0], "keywords", [])}
        assert options.get("frozen") == "True", f"{node.name} can be changed"


@ANY_CODE
def test_imports_are_absolute(file: Path) -> None:
    assert not [node for node in ast.walk(tree(file)) if isinstance(node, ast.ImportFrom) and node.level]


@CODE_ONLY
def test_nothing_unpickles_evaluates_or_prints(file: Path) -> None:
    forbidden = {"eval", "exec"} if room(file) == "cli" else {"eval", "exec", "print"}
    for name in imports(file):
        assert name.split(".")[0] not in {"pickle", "cPickle", "dill", "joblib", "shelve", "marshal", "cloudpickle"}, (
            name
        )
    for node in ast.walk(tree(file)):
        if isinstance(node, ast.Call):
            assert not (isinstance(node.func, ast.Name) and node.func.id in forbidden), f"line {node.lineno}"
            for key in node.keywords:
                allowed = isinstance(key.value, ast.Constant) and key.value.value is False
                assert key.arg != "allow_pickle" or allowed, f"line {node.lineno}: allow_pickle"


@CODE_ONLY
def test_numba_is_imported_in_kernels_only(file: Path) -> None:
    if {name.split(".")[0] for name in imports(file)} & {"numba", "llvmlite"}:
        assert file.parent.name == "vectors", f"{file.name} compiles; kernels live in vectors/"


@CODE_ONLY
def test_optional_and_heavy_packages_are_imported_on_use(file: Path) -> None:
    heavy = {
        "pyarrow",
        "scipy",
        "usearch",
        "bm25s",
        "Stemmer",
        "rjieba",
        "jieba",
        "tokenizers",
        "yaml",
        "rich",
        "matplotlib",
        "sklearn",
        "huggingface_hub",
        "transformers",
    }
    if room(file) not in {"model", "convert", "generate", "objective", "train"}:
        heavy.add("torch")
    for node in tree(file).body:
        if isinstance(node, ast.Import | ast.ImportFrom):
            module = node.module if isinstance(node, ast.ImportFrom) else node.names[0].name
            assert (module or "").split(".")[0] not in heavy, f"line {node.lineno}: import it where it is used"


def test_every_test_file_stands_in_a_room_that_exists() -> None:
    for file in (ROOT / "tests").rglob("test_*.py"):
        first = file.relative_to(ROOT / "tests").parts[0]
        assert first.endswith(".py") or (SOURCE / first).is_dir(), f"{first} is no room of the house"


def test_no_two_test_files_share_a_name() -> None:
    names = [file.name for file in (ROOT / "tests").rglob("*.py")]
    assert sorted(set(names) - {"conftest.py"}) == sorted(name for name in names if name != "conftest.py")


def test_no_file_names_a_host_of_a_package_registry() -> None:
    hosts = re.compile(r"pypi\.org|pythonhosted\.org|anaconda\.(org|com)|index-url", re.IGNORECASE)
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False)
    if listed.returncode:
        pytest.skip("not a git checkout")
    for name in listed.stdout.splitlines():
        path = ROOT / name
        if path.is_file() and path != Path(__file__).resolve() and path.stat().st_size < 5_000_000:
            assert not hosts.search(path.read_text(encoding="utf-8", errors="replace")), name


def cpu_seconds(*arguments: str) -> float:
    """User and system time of the interpreter with these arguments, the least of three runs."""
    body = (
        "import resource, subprocess, sys\n"
        "done = subprocess.run([sys.executable, *sys.argv[1:]], capture_output=True)\n"
        "used = resource.getrusage(resource.RUSAGE_CHILDREN)\n"
        "print(used.ru_utime + used.ru_stime) if done.returncode == 0 else sys.exit(done.stderr.decode())"
    )
    runs = []
    for _ in range(3):
        done = subprocess.run([sys.executable, "-c", body, *arguments], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        runs.append(float(done.stdout))
    return min(runs)


def test_importing_inlay_is_cheap_and_loads_nothing_heavy() -> None:
    body = "import sys, inlay; print(sorted({'torch', 'numba', 'numpy', 'tokenizers', 'scipy'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", body], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
    assert cpu_seconds("-c", "import inlay") - cpu_seconds("-c", "pass") < 0.1


def test_help_is_there_at_once() -> None:
    assert cpu_seconds("-m", "inlay", "--help") < 0.3


def test_every_public_name_is_found() -> None:
    import inlay

    for name in inlay.__all__:
        assert getattr(inlay, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'Korpus'"):
        inlay.Korpus  # noqa: B018
