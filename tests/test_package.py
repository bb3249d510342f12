"""Rules about the package itself: imports, forbidden calls, metadata, entry points, examples."""

import ast
import configparser
import re
import subprocess
import sys
import tomllib
from importlib.metadata import distribution
from pathlib import Path

import pytest
import yaml

import ctapipe_gammalearn

NAME = "ctapipe_gammalearn"
REPOSITORY = Path(__file__).resolve().parents[1]
PACKAGE = Path(ctapipe_gammalearn.__file__).parent
FILES = sorted(PACKAGE.rglob("*.py"))
ANY = None

# sub-package -> (inside the package, outside); numpy, the standard library and
# `exceptions` are open to all
ARROWS = {
    "": (set(), set()),
    "exceptions": (set(), set()),
    "compat": (set(), {"ctapipe"}),
    "scores": (set(), set()),
    "files": (set(), set()),
    "fingerprints": (set(), set()),
    "lattice": (set(), {"scipy"}),
    "simulation": (set(), {"numba", "scipy", "yaml"}),
    "nn": ({"lattice", "files"}, {"torch"}),  # files: the cache of machine code
    "weights": ({"nn", "lattice", "files"}, {"torch", "safetensors"}),
    "inference": ({"weights", "nn", "lattice", "files"}, {"torch"}),
    "training": (
        {"inference", "weights", "nn", "lattice", "simulation", "scores", "fingerprints"},
        {"torch", "lightning", "yaml", "matplotlib", "astropy"},
    ),
    "io": (
        {"compat", "simulation", "training", "irf", "lattice", "fingerprints"},
        {"ctapipe", "astropy", "tables"},
    ),
    "irf": ({"scores", "files", "fingerprints"}, {"astropy", "numba", "pyirf", "scipy"}),
    "report": ({"irf"}, {"astropy", "jinja2", "markupsafe", "matplotlib"}),
    "reco": ({"inference", "weights", "io", "compat"}, {"ctapipe", "astropy", "torch"}),
    "tools": (ANY, ANY),
}
# one module alone may import these
EXCEPTIONS = {
    "nn/engines/reference.py": {"indexedconv"},
    "nn/runtiled/machine.py": {"llvmlite"},
    "weights/zoo.py": {"pooch"},
    "inference/exported.py": {"onnx", "onnxruntime"},
}
FORBIDDEN_MODULES = {"pickle", "dill", "joblib", "cloudpickle", "marshal", "shelve"}
FORBIDDEN_CALLS = {"eval", "exec", "compile", "os._exit", "os.system", "yaml.load"}
FORBIDDEN_CALLS |= {"yaml.unsafe_load", "torch.load", "torch.save"}
# the reader of checkpoints, and the only module that may look into a pickle
IMPORTER = "weights/gammalearn_import.py"


def relative(path):
    """Path inside the package, with slashes."""
    return path.relative_to(PACKAGE).as_posix()


def subpackage(dotted):
    """First name below the package: 'nn' for 'ctapipe_gammalearn.nn.layers'."""
    return [*dotted.split("."), ""][1]


def module_name(path):
    """Dotted name of a file."""
    parts = [NAME, *path.relative_to(PACKAGE).with_suffix("").parts]
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def parse(path):
    """Syntax tree of a file."""
    return ast.parse(path.read_text(encoding="utf-8"))


def module_level(tree):
    """Nodes executed at import: everything outside functions."""
    for node in ast.iter_child_nodes(tree):
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            yield node
            yield from module_level(node)


def imports(path, nodes):
    """Absolute dotted names imported by ``nodes`` of a file."""
    package = module_name(path).split(".")
    if path.name != "__init__.py":
        package = package[:-1]
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) + 1 - node.level] if node.level else []
            base = ".".join(base + ([node.module] if node.module else []))
            yield from (f"{base}.{alias.name}" for alias in node.names)


def dotted(node):
    """Dotted text of a name or attribute, '' for anything else."""
    if isinstance(node, ast.Attribute):
        return f"{dotted(node.value)}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else ""


def public_definitions(tree):
    """Functions and classes, with their methods, whose names do not start with '_'."""
    for node in ast.iter_child_nodes(tree):
        kinds = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
        if isinstance(node, kinds) and not node.name.startswith("_"):
            yield node
            if isinstance(node, ast.ClassDef):
                yield from public_definitions(node)


@pytest.mark.parametrize("path", FILES, ids=relative)
def test_imports_follow_the_arrows(path):
    own = subpackage(module_name(path))
    assert own in ARROWS, f"{own}: give the new sub-package its arrows here"
    inside, outside = ARROWS[own]
    for name in imports(path, ast.walk(parse(path))):
        top = name.split(".")[0]
        if top == NAME:
            target = subpackage(name)
            allowed = {own, "exceptions", "", "__version__"}
            assert inside is ANY or target in allowed | inside, name
        else:
            allowed = {"numpy"} | sys.stdlib_module_names | EXCEPTIONS.get(relative(path), set())
            assert outside is ANY or top in allowed | outside, name


@pytest.mark.parametrize("path", FILES, ids=relative)
def test_nothing_that_runs_foreign_code(path):
    tree = parse(path)
    if relative(path) != IMPORTER:
        assert not FORBIDDEN_MODULES & {n.split(".")[0] for n in imports(path, ast.walk(tree))}
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        name = dotted(node.func)
        assert name not in FORBIDDEN_CALLS, name
        for keyword in node.keywords:
            true = isinstance(keyword.value, ast.Constant) and keyword.value.value is True
            assert not (keyword.arg in ("shell", "allow_pickle") and true), keyword.arg


@pytest.mark.parametrize("path", FILES, ids=relative)
def test_files_are_short_and_named_after_what_they_do(path):
    limit = 200 if subpackage(module_name(path)) in ("reco", "tools") else 400
    assert len(path.read_text(encoding="utf-8").splitlines()) <= limit
    assert path.stem not in ("utils", "util", "helpers", "misc")


@pytest.mark.parametrize("path", FILES, ids=relative)
def test_everything_public_has_a_docstring(path):
    tree = parse(path)
    assert ast.get_docstring(tree), "module docstring"
    bare = [node.name for node in public_definitions(tree) if not ast.get_docstring(node)]
    assert not bare


def test_only_compat_asks_for_a_ctapipe_version():
    asking = re.compile(
        r"ctapipe\.__version__|from ctapipe import __version__|version\(.ctapipe.\)"
    )
    found = {relative(p) for p in FILES if asking.search(p.read_text(encoding="utf-8"))}
    assert found <= {"compat.py"}


def test_reco_imports_without_torch():
    """No module that ``import ctapipe_gammalearn.reco`` loads asks for torch or lightning."""
    by_name = {module_name(path): path for path in FILES}
    assert f"{NAME}.reco" in by_name
    waiting, seen, heavy = [f"{NAME}.reco"], set(), {}
    while waiting:
        name = waiting.pop()
        while name not in by_name and "." in name:
            name = name.rpartition(".")[0]
        if name in seen or name not in by_name:
            continue
        seen.add(name)
        found = set(imports(by_name[name], module_level(parse(by_name[name]))))
        if unwanted := {
            n for n in found if n.split(".")[0] in ("torch", "lightning", "indexedconv")
        }:
            heavy[name] = unwanted
        waiting += [n for n in found if n.startswith(NAME)]
        waiting.append(name.rpartition(".")[0])
    assert not heavy


PROBE = """
import importlib.abc
import sys

class NoTorch(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("torch", "lightning"):
            raise ModuleNotFoundError(f"no {name} here", name=name)

sys.meta_path.insert(0, NoTorch())
import ctapipe_gammalearn.reco
from ctapipe.reco import Reconstructor
names = Reconstructor.non_abstract_subclasses()
assert names["GammaPhysNetReconstructor"].__module__.startswith("ctapipe_gammalearn.reco"), names
assert not {"torch", "lightning"} & set(sys.modules)
print(*sorted(n for n, c in names.items() if c.__module__.startswith("ctapipe_gammalearn")))
"""


def test_reconstructor_is_found_by_name_without_torch():
    """In a fresh process without torch; no other class of ours becomes a selectable name."""
    done = subprocess.run(
        [sys.executable, "-c", PROBE], capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["GammaPhysNetReconstructor"]
    assert "Error loading" not in done.stderr


def test_entry_points_are_exactly_ours():
    found = {(e.group, e.name, e.value) for e in distribution(NAME).entry_points}
    assert found == {
        ("console_scripts", "ctapipe-gammalearn-apply", f"{NAME}.tools.apply:main"),
        ("console_scripts", "ctapipe-gammalearn-evaluate", f"{NAME}.tools.evaluate:main"),
        ("console_scripts", "ctapipe-gammalearn-irf", f"{NAME}.tools.irf:main"),
        ("console_scripts", "ctapipe-gammalearn-models", f"{NAME}.tools.models:main"),
        ("console_scripts", "ctapipe-gammalearn-simulate", f"{NAME}.tools.simulate:main"),
        ("console_scripts", "ctapipe-gammalearn-train", f"{NAME}.tools.train:main"),
        (
            "ctapipe_io",
            "ShowerSimulationSource",
            f"{NAME}.io.shower_source:ShowerSimulationSource",
        ),
        ("ctapipe_reco", "GammaPhysNetReconstructor", f"{NAME}.reco:GammaPhysNetReconstructor"),
    }


def setup_cfg():
    """Contents of setup.cfg."""
    parser = configparser.ConfigParser(interpolation=configparser.BasicInterpolation())
    parser.read(REPOSITORY / "setup.cfg", encoding="utf-8")
    return parser


def test_metadata_come_from_setup_cfg_alone():
    """A [project] table would silently drop the requirements of setup.cfg from the wheel."""
    with (REPOSITORY / "pyproject.toml").open("rb") as file:
        assert "project" not in tomllib.load(file)
    declared, built = setup_cfg(), distribution(NAME).metadata
    assert built["Requires-Python"] == declared["options"]["python_requires"] == ">=3.11"
    assert built["Version"] == ctapipe_gammalearn.__version__
    extras = {"all", "cluster", "docs", "irf", "onnx", "tests", "train"}
    assert set(built.get_all("Provides-Extra")) == extras
    required = [r for r in distribution(NAME).requires if "extra ==" not in r]
    assert len(required) == len(declared["options"]["install_requires"].split("\n")) - 1


def test_one_licence_everywhere():
    assert setup_cfg()["metadata"]["license"] == "BSD-3-Clause"
    assert "license: BSD-3-Clause" in (REPOSITORY / "CITATION.cff").read_text(encoding="utf-8")
    text = (REPOSITORY / "LICENSE").read_text(encoding="utf-8")
    assert text.startswith("BSD 3-Clause License")
    assert "ctapipe-gammalearn developers" in text
    assert "License ::" not in (REPOSITORY / "setup.cfg").read_text(encoding="utf-8")


def test_no_path_of_a_machine_in_the_repository():
    """Nothing but relative paths, also in scripts and documentation."""
    listed = subprocess.run(
        ["git", "ls-files"], cwd=REPOSITORY, capture_output=True, text=True, check=False
    )
    if listed.returncode:
        pytest.skip("not a git checkout")
    machine = re.compile(r"(?<![\w.])/(?:home|root|work|Users|opt)/\w")
    text = {".py", ".rst", ".md", ".cfg", ".toml", ".yaml", ".yml", ".cff", ""}
    paths = [REPOSITORY / name for name in listed.stdout.splitlines()]
    read = [p for p in paths if p.suffix in text and p.is_file()]
    assert not [p for p in read if machine.search(p.read_text(encoding="utf-8"))]


def settings(config, prefix=()):
    """Yield (class name, option) of a nested configuration."""
    for key, value in config.items():
        if key[0].isupper():
            yield from settings(value, (*prefix, key))
        else:
            yield prefix[-1], key


def test_example_configuration_names_only_existing_options():
    from ctapipe.tools.process import ProcessorTool

    config = yaml.safe_load((PACKAGE / "resources" / "dl.yaml").read_text(encoding="utf-8"))
    classes = {c.__name__: c for c in ProcessorTool.classes}
    found = list(settings(config))
    assert ("GammaPhysNetReconstructor", "model_path") in found
    unknown = [(c, t) for c, t in found if t not in classes[c].class_trait_names(config=True)]
    assert not unknown
    config = yaml.safe_load((PACKAGE / "resources" / "simulate.yaml").read_text(encoding="utf-8"))
    unknown = [
        (c, t)
        for c, t in settings(config)
        if c not in classes or t not in classes[c].class_trait_names(config=True)
    ]
    assert not [(c, t) for c, t in unknown if c not in ("Contact",)]
