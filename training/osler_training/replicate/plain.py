"""Reading arrays and names out of pickled files without running anything that is in them.

Files of others come as pickles, which may name any function to call. Here a pickle may name what rebuilds NumPy arrays and
nothing else; scikit-learn's logistic regression becomes a bare record of its attributes.
"""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from osler.bottleneck.records import Array
from osler_contracts.codes import Code
from osler_contracts.errors import OslerError

_LOGISTIC = {
    ("sklearn.linear_model._logistic", "LogisticRegression"),
    ("sklearn.linear_model.logistic", "LogisticRegression"),
}
_BROKEN: tuple[type[Exception], ...] = (
    pickle.UnpicklingError,
    AttributeError,
    EOFError,
    ImportError,
    IndexError,
    KeyError,
    MemoryError,
    OSError,
    RuntimeError,
    TypeError,
    ValueError,
)


def load_arrays(path: Path) -> Any:
    """Read a `.pt` file of arrays, tensors, lists and mappings of them, or a `.npy` file; tensors become arrays.

    Raises:
        OslerError: `model-invalid` where the file is damaged or holds anything else.
    """
    import torch  # here, since it takes a second

    try:
        if path.suffix == ".npy":
            return np.load(path, allow_pickle=False)
        with torch.serialization.safe_globals(_array_makers()):
            return _as_arrays(torch.load(path, map_location="cpu", weights_only=True))
    except _BROKEN as error:
        raise _refused(path, error) from None


def load_matrix(path: Path) -> Array:
    """Read finite numbers (n, D) as 32-bit fractions.

    Raises:
        OslerError: `model-invalid`.
    """
    values = load_arrays(path)
    rows = np.stack(values) if isinstance(values, list) and values else values
    if (
        not isinstance(rows, np.ndarray)
        or rows.ndim != 2
        or rows.dtype.kind not in "fiu"
        or not np.isfinite(rows).all()
    ):
        raise _refused(path, ValueError("no finite matrix"))
    return rows.astype(np.float32)


def load_names(path: Path) -> Mapping[str, list[str]]:
    """Read a pickled mapping from texts to lists of texts.

    Raises:
        OslerError: `model-invalid`.
    """
    value = _unpickled(path, arrays=False)
    if isinstance(value, dict) and all(
        isinstance(name, str) and isinstance(one, list) and all(isinstance(text, str) for text in one)
        for name, one in value.items()
    ):
        return value
    raise _refused(path, TypeError("no lists of names"))


def load_logistic(path: Path) -> tuple[Array, float]:
    """Read the weights (D,) and the intercept of a pickled binary logistic regression.

    Raises:
        OslerError: `model-invalid`.
    """
    value = _unpickled(path, arrays=True)
    weights, intercept = getattr(value, "coef_", None), getattr(value, "intercept_", None)
    if not isinstance(value, _Fitted) or not isinstance(weights, np.ndarray) or not isinstance(intercept, np.ndarray):
        raise _refused(path, TypeError("no fitted logistic regression"))
    numbers = weights.dtype.kind == intercept.dtype.kind == "f"
    if (
        not numbers
        or weights.ndim != 2
        or len(weights) != 1
        or intercept.shape != (1,)
        or not np.isfinite(weights).all()
    ):
        raise _refused(path, ValueError("not binary"))
    return weights[0].astype(np.float64), float(intercept[0])


class _Fitted:
    """Stands for an estimator: attributes and no behaviour."""


class _Reader(pickle.Unpickler):
    """Unpickles texts, numbers and lists; with `arrays` also NumPy arrays and logistic regressions."""

    def __init__(self, stream: Any, *, arrays: bool) -> None:
        super().__init__(stream)
        self._arrays = arrays

    def find_class(self, module: str, name: str) -> Any:
        """Return the few things a file may name."""
        if self._arrays:
            for maker, spelling in _array_makers():
                if f"{module}.{name}" == spelling:
                    return maker
            if (module, name) in _LOGISTIC:
                return _Fitted
        raise pickle.UnpicklingError(f"it names {module}.{name}")


def _unpickled(path: Path, *, arrays: bool) -> Any:
    try:
        with path.open("rb") as stream:
            return _Reader(stream, arrays=arrays).load()
    except _BROKEN as error:
        raise _refused(path, error) from None


def _array_makers() -> list[Any]:
    """Return what rebuilds NumPy arrays, each under the names that NumPy 1 and 2 wrote."""
    import _codecs

    reconstruct, scalar = np.array([0.0]).__reduce__()[0], np.float64(0).__reduce__()[0]
    makers: list[Any] = [(np.ndarray, "numpy.ndarray"), (np.dtype, "numpy.dtype"), (_codecs.encode, "_codecs.encode")]
    for core in ("numpy.core.multiarray", "numpy._core.multiarray"):
        makers += [(reconstruct, f"{core}._reconstruct"), (scalar, f"{core}.scalar")]
    kinds = (np.float16, np.float32, np.float64, np.int32, np.int64)
    return makers + [(type(np.dtype(kind)), f"numpy.dtypes.{type(np.dtype(kind)).__name__}") for kind in kinds]


def _as_arrays(value: Any) -> Any:
    import torch

    if isinstance(value, torch.Tensor):
        return value.to(torch.float32).numpy() if value.is_floating_point() else value.numpy()
    if isinstance(value, dict):
        return {key: _as_arrays(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_as_arrays(one) for one in value]
    return value


def _refused(path: Path, error: Exception) -> OslerError:
    return OslerError(
        Code.MODEL_INVALID,
        f"{path.name} is no plain file of the expected kind ({type(error).__name__}: {str(error)[:160]}).",
        "Get it again from its authors; a file that wants code to be run is never opened.",
    )
