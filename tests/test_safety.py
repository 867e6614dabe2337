"""Our own code reads nothing that can run, starts no shell and unpacks nothing without limits: seen in its syntax trees."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FOLDERS = ("platform", "knowledge", "data_contracts", "training", "dashboard")
# Reads pickles of published work, by an Unpickler of its own that knows arrays, numbers and texts and nothing else.
READER = Path("training/osler_training/replicate/plain.py")
# The one place that opens zips of others, and the one that writes packages.
ZIPS = {Path("platform/osler/zips.py"), Path("platform/osler/exchange/package.py")}

MODULES = {"pickle", "cPickle", "_pickle", "cloudpickle", "dill", "joblib", "marshal", "shelve", "jsonpickle"}
CALLS = {
    "eval", "exec", "compile", "__import__", "os.system", "os.popen", "subprocess.getoutput",
    "subprocess.getstatusoutput", "yaml.load", "yaml.full_load", "yaml.unsafe_load", "yaml.load_all", "torch.save",
    "torch.jit.load", "torch.jit.save", "torch.export.save", "torch.export.load", "pd.read_pickle",
    "pandas.read_pickle", "shutil.unpack_archive", "tarfile.open", "tempfile.mktemp", "ssl._create_unverified_context",
    "pickle.load", "pickle.loads", "pickle.dump", "pickle.dumps", "pickle.Unpickler",
}  # fmt: skip
METHODS = {"to_pickle", "extractall"}


def unsafe(source: str, path: Path = Path("some.py")) -> list[str]:
    """Return what a source does that is not safe, one line each."""
    found = []
    for node in ast.walk(ast.parse(source)):
        found += [f"{node.lineno}: {what}" for what in _imports(node, path)] if hasattr(node, "lineno") else []
        if isinstance(node, ast.Call):
            found += [f"{node.lineno}: {what}" for what in _calls(node, path)]
    return found


def _imports(node: ast.AST, path: Path) -> list[str]:
    if path == READER:
        return []
    if isinstance(node, ast.Import):
        return [f"import {one.name}" for one in node.names if one.name.split(".")[0] in MODULES]
    if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] in MODULES:
        # The name of an error is no way to read anything.
        return [f"from {node.module} import {one.name}" for one in node.names if one.name != "UnpicklingError"]
    return []


def _calls(node: ast.Call, path: Path) -> list[str]:
    name = ast.unparse(node.func)
    words = {one.arg: one.value for one in node.keywords}
    found = [name] if name in CALLS or name.rpartition(".")[2] in METHODS else []
    if name == "torch.load" and not _is(words.get("weights_only"), True):
        found.append("torch.load without weights_only=True")
    if "allow_pickle" in words and not _is(words["allow_pickle"], False):
        found.append(f"{name} with pickles")  # NumPy allows none where nothing is said
    if "shell" in words and not _is(words["shell"], False):
        found.append(f"{name} in a shell")
    if _is(words.get("verify"), False):
        found.append(f"{name} without a check of certificates")
    if name.endswith("ZipFile") and path not in ZIPS and len(node.args) + len(words) < 2:
        found.append(f"{name}: zips of others are opened by osler.zips")
    return found


def _is(node: ast.expr | None, value: bool) -> bool:
    return isinstance(node, ast.Constant) and node.value is value


@pytest.mark.parametrize(
    "source",
    [
        "import pickle",
        "from pickle import loads",
        "import joblib",
        "import torch\ntorch.load(path)",
        "torch.load(path, weights_only=False)",
        "torch.load(path, weights_only=chosen)",
        "torch.save(model, path)",
        "np.load(path, allow_pickle=True)",
        "np.load(path, allow_pickle=chosen)",
        "frame.to_pickle(path)",
        "yaml.load(text, Loader=yaml.Loader)",
        "eval(text)",
        "exec(text)",
        "subprocess.run(command, shell=True)",
        "os.system(command)",
        "requests.get(url, verify=False)",
        "archive.extractall(folder)",
        "zipfile.ZipFile(path)",
        "ssl._create_unverified_context()",
    ],
)
def test_the_search_finds_what_it_looks_for(source: str) -> None:
    assert len(unsafe(source)) == 1


@pytest.mark.parametrize(
    "source",
    [
        "from pickle import UnpicklingError",
        "torch.load(path, weights_only=True)",
        "np.load(path)",
        "np.load(path, allow_pickle=False)",
        "yaml.safe_load(text)",
        "ast.literal_eval(text)",
        "model.eval()",
        "subprocess.run(command, check=True)",
    ],
)
def test_the_search_leaves_the_rest_alone(source: str) -> None:
    assert unsafe(source) == []


def test_nothing_of_ours_is_unsafe() -> None:
    found = {}
    for folder in FOLDERS:
        for path in sorted((ROOT / folder).rglob("*.py")):
            inside = path.relative_to(ROOT)
            if what := unsafe(path.read_text(encoding="utf-8"), inside):
                found[str(inside)] = what
    assert found == {}


def test_the_one_reader_of_pickles_names_what_it_may_build() -> None:
    tree = ast.parse((ROOT / READER).read_text(encoding="utf-8"))
    readers = [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef) and "pickle.Unpickler" in map(ast.unparse, node.bases)
    ]
    assert [one.name for one in readers] == ["_Reader"]
    methods = {one.name for one in readers[0].body if isinstance(one, ast.FunctionDef)}
    assert "find_class" in methods


@pytest.mark.slow
def test_the_tracker_never_unpickles(tmp_path: Path) -> None:
    code = "import os\nfrom osler.tracking import open_tracker\nfrom osler.workspace import Workspace\nimport sys, pathlib\n"
    code += "open_tracker(Workspace.open(pathlib.Path(sys.argv[1]), create=True))\n"
    code += "print(os.environ['MLFLOW_ALLOW_PICKLE_DESERIALIZATION'])"
    environment = {**os.environ, "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "true"}
    command = [sys.executable, "-c", code, str(tmp_path / "ws")]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True, timeout=300)
    assert done.stdout.split()[-1] == "false"
