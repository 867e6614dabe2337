"""The small logistic regression against scikit-learn's."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss

from osler_training.fit.logistic import fit_logistic


def world(seed: int, n: int = 200, D: int = 20) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, D))
    return x, (x[:, 0] * 2 + rng.logistic(size=n) > 0.3).astype(int)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from([0.01, 1.0, 100.0]), st.sampled_from([np.float32, np.float64]))
def test_it_is_scikit_learns_fit(seed: int, C: float, precision: type) -> None:
    x, y = world(seed)
    fitted = fit_logistic(x.astype(precision), y, C)
    library = LogisticRegression(C=C, tol=1e-9, max_iter=10_000).fit(x, y)
    np.testing.assert_allclose(fitted.w, library.coef_[0], atol=4e-3)
    assert fitted.b == pytest.approx(library.intercept_[0], abs=4e-3)
    assert fitted.cross_entropy(x, y) == pytest.approx(log_loss(y, library.predict_proba(x)), abs=1e-5)
    assert fitted.accuracy(x, (library.predict(x) == 1).astype(int)) >= 0.99


def test_the_start_does_not_matter() -> None:
    x, y = world(1)
    from_nothing = fit_logistic(x, y, 10.0)
    from_another = fit_logistic(x, y, 10.0, fit_logistic(x, y, 0.01))
    np.testing.assert_allclose(from_another.w, from_nothing.w, atol=2e-3)


def test_features_that_are_not_finite_are_no_fit() -> None:
    x, y = world(2)
    x[3, 4] = np.nan
    with pytest.raises(ValueError, match="did not converge"):
        fit_logistic(x, y, 1.0)
