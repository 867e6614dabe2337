"""Schemathesis asks every address all that the description allows, and more, and finds no answer that is not described.

Half of the questions name studies, reviews and patches that are there, so that they get beyond "not found".
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis.generation.modes import GenerationMode
from schemathesis.specs.openapi.checks import negative_data_rejection, positive_data_acceptance

from osler.access.roles import Role
from osler.api.app import describe
from osler.api.tokens import TokenFile

# Bodies of these name signs and findings, which are the model's and not the description's.
OF_A_MODEL = ("/explanation", "/reviews")
QUESTIONS = 40  # to each address, of each kind


@pytest.fixture(scope="module")
def token(shared_api: Any) -> str:
    file = TokenFile(shared_api.workspace)
    return file.issue("schemathesis", tuple(Role), actor="test", program=True)[0]


@pytest.fixture(scope="module")
def description(shared_api: Any, token: str) -> Any:
    shared_api.app.state.held.rates._each = shared_api.app.state.held.rates._burst = 1e9
    return schemathesis.openapi.from_asgi("/openapi.json", shared_api.app, headers={"Authorization": f"Bearer {token}"})


@pytest.fixture(scope="module")
def names(shared_api: Any) -> Iterator[dict[str, str]]:
    """Return names that are there, every second time."""
    uids = shared_api.uids
    patches = [one["id"] for one in shared_api.get("/v1/patches", Role.ENGINEER)["items"]]
    return itertools.cycle([{}, {"study": uids[0], "patch": patches[0]}, {}, {"study": uids[1], "patch": patches[1]}])


OPERATIONS = [(method, path) for path, methods in describe()["paths"].items() for method in methods]
ADDRESSED = [(method, path) for method, path in OPERATIONS if "{" in path or path in ("/v1/studies", "/v1/patches")]


def ask(
    description: Any, method: str, path: str, mode: GenerationMode, token: str, names: Iterator[dict[str, str]]
) -> int:
    """Send what schemathesis makes up for an address and hold each answer to the description; return how many."""
    count = 0
    excluded = [positive_data_acceptance] if path.endswith(OF_A_MODEL) and method == "post" else []
    # Without a body it may break a rule by a nameless query or a missing token alone, and neither is sent.
    excluded += [negative_data_rejection] if method == "get" else []

    @settings(
        max_examples=QUESTIONS,
        deadline=None,
        derandomize=True,
        database=None,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=description[path][method.upper()].as_strategy(generation_mode=mode))
    def check(case: Any) -> None:
        nonlocal count
        held = next(names)
        if case.path_parameters and mode.is_positive:
            case.path_parameters |= {name: value for name, value in held.items() if name in case.path_parameters}
        case.call_and_validate(headers={"Authorization": f"Bearer {token}"}, excluded_checks=excluded)
        count += 1

    check()
    return count


@pytest.mark.slow
@pytest.mark.parametrize(("method", "path"), OPERATIONS)
def test_what_the_description_allows_is_answered_as_described(
    description: Any, token: str, names: Iterator[dict[str, str]], method: str, path: str
) -> None:
    assert ask(description, method, path, GenerationMode.POSITIVE, token, names) >= 1


@pytest.mark.slow
@pytest.mark.parametrize(("method", "path"), ADDRESSED)
def test_what_it_does_not_allow_is_refused_as_described(
    description: Any, token: str, names: Iterator[dict[str, str]], method: str, path: str
) -> None:
    assert ask(description, method, path, GenerationMode.NEGATIVE, token, names) >= 1
