"""Files that hold code are never opened; arrays are read whatever NumPy wrote them."""

from __future__ import annotations

import os
import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression

from osler_contracts.codes import Code
from osler_contracts.errors import OslerError
from osler_training.replicate.plain import load_arrays, load_logistic, load_matrix, load_names


class Evil:
    """Makes a folder when it is unpickled."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(self.trace),)


def test_the_trap_works(tmp_path: Path) -> None:
    pickle.loads(pickle.dumps(Evil(tmp_path / "trace")))
    assert (tmp_path / "trace").exists()


@pytest.mark.parametrize("read", [load_arrays, load_matrix, load_names, load_logistic])
@pytest.mark.parametrize("inside", [False, True])
def test_code_is_not_run(tmp_path: Path, read: object, inside: bool) -> None:
    path, trace = tmp_path / "evil.pt", tmp_path / "trace"
    value = {"a": [Evil(trace)]} if inside else Evil(trace)
    if read in (load_arrays, load_matrix):
        torch.save(value, path)
    else:
        path.write_bytes(pickle.dumps(value))
    with pytest.raises(OslerError) as refused:
        read(path)  # type: ignore[operator]
    assert refused.value.code is Code.MODEL_INVALID
    assert not trace.exists()


def test_an_array_of_objects_is_not_opened(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.array([Evil(tmp_path / "trace")], object), allow_pickle=True)
    with pytest.raises(OslerError):
        load_arrays(tmp_path / "a.npy")
    torch.save(np.array([["a", "b"]], object), tmp_path / "b.pt")
    with pytest.raises(OslerError):
        load_matrix(tmp_path / "b.pt")
    assert not (tmp_path / "trace").exists()


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_arrays_of_either_numpy_are_read(tmp_path: Path, dtype: type) -> None:
    values = np.arange(12).reshape(3, 4).astype(dtype)
    path, old = tmp_path / "new.pt", tmp_path / "old.pt"
    torch.save(values, path)
    with zipfile.ZipFile(path) as source, zipfile.ZipFile(old, "w") as target:
        for name in source.namelist():
            content = source.read(name)
            if name.endswith("data.pkl"):
                content = content.replace(b"numpy._core.multiarray", b"numpy.core.multiarray")
            target.writestr(name, content)
    assert b"numpy.core.multiarray" in zipfile.ZipFile(old).read("new/data.pkl")
    for one in (path, old):
        assert np.array_equal(load_matrix(one), values)
        assert load_matrix(one).dtype == np.float32


def test_tensors_lists_and_plain_arrays_are_read(tmp_path: Path) -> None:
    values = np.arange(6, dtype=np.float32).reshape(2, 3)
    torch.save(torch.tensor(values).bfloat16(), tmp_path / "a.pt")
    torch.save(list(torch.tensor(values)), tmp_path / "b.pt")
    np.save(tmp_path / "c.npy", values)
    for name in ("a.pt", "b.pt", "c.npy"):
        assert np.array_equal(load_matrix(tmp_path / name), values)


@pytest.mark.parametrize("value", [{"a": 1}, [], np.zeros(3), np.array([[np.inf]]), np.zeros((2, 2, 2)), "text"])
def test_what_is_no_matrix_is_refused(tmp_path: Path, value: object) -> None:
    torch.save(value, tmp_path / "a.pt")
    with pytest.raises(OslerError):
        load_matrix(tmp_path / "a.pt")


def test_a_logistic_regression_is_read_as_figures(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(60, 4))
    model = LogisticRegression().fit(x, x[:, 0] > 0.1)
    (tmp_path / "a.p").write_bytes(pickle.dumps(model))
    weights, intercept = load_logistic(tmp_path / "a.p")
    assert np.allclose(x @ weights + intercept, model.decision_function(x))
    three = LogisticRegression().fit(x, np.arange(60) % 3)
    for other in (three, LogisticRegression(), {"coef_": np.zeros((1, 3))}):
        (tmp_path / "b.p").write_bytes(pickle.dumps(other))
        with pytest.raises(OslerError):
            load_logistic(tmp_path / "b.p")


@pytest.mark.parametrize(
    "content", [b"", b"junk", pickle.dumps({"a": [1]}), pickle.dumps([["a"]]), pickle.dumps({"a": "b"})]
)
def test_what_holds_no_names_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.p").write_bytes(content)
    with pytest.raises(OslerError):
        load_names(tmp_path / "a.p")
