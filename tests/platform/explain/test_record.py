"""Every record is held to the schema that is shipped, and the page of it holds nothing that runs."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from importlib import resources

import jsonschema
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.platform.patches import by_hand, masked

from osler.bottleneck.pipeline import Pipeline
from osler.bottleneck.records import Features
from osler.explain.context import Context
from osler.explain.contrast import explain
from osler.explain.explanation import (
    NO_LOCATION,
    UNMEASURED,
    Explanation,
    ExplanationWarning,
    Measured,
    SimilarStudy,
)
from osler.explain.page import page
from osler.explain.schema import SHIPPED, json_schema, read_explanation
from osler.explain.typicality import Typical
from osler.explain.validation import ConceptCheck, Validation
from osler_contracts.errors import OslerError

WIDTH, COUNT = 6, 5
HOSTILE = "<script>alert('x')</script>\"'&<img src=x onerror=alert(1)>"


@pytest.fixture(scope="module")
def pipeline(make_pipeline: Callable[..., Pipeline]) -> Pipeline:
    return make_pipeline(WIDTH, COUNT)


@pytest.fixture(scope="module")
def validator() -> jsonschema.Draft202012Validator:
    shipped = json.loads(resources.files("osler.explain").joinpath(SHIPPED).read_text(encoding="utf-8"))
    assert shipped == json.loads(json.dumps(json_schema()))
    jsonschema.Draft202012Validator.check_schema(shipped)
    return jsonschema.Draft202012Validator(shipped)


def told(pipeline: Pipeline, seed: int = 0, *, patched: bool = False, **options: object) -> Explanation:
    draw = np.random.default_rng(seed)
    features = Features(draw.normal(size=(1, WIDTH)), draw.normal(size=(1, 4, WIDTH)), (2, 2))
    figure = Measured(0.9, 0.85, 0.95, 100, 40, "held-out studies")
    check = ConceptCheck(figure, 0.6, figure, 0.2, figure, figure)
    context = Context(
        validation=Validation(pipeline.digest, "held-out studies", {"concept_0": check, "concept_2": check}),
        grounding={"concept_0": figure},
        concepts=Typical.fit("concepts", pipeline.source.values, pipeline.source.y),
        warnings=(ExplanationWarning("site-drifted", "The images have changed."),),
    )
    patch = by_hand(pipeline, masked(pipeline, "concept_1"))
    return explain(
        pipeline, features, study="2.25.1", site="b", patch=patch if patched else None, context=context, **options
    )


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 9999), patched=st.booleans(), corrected=st.booleans())
def test_every_record_is_of_the_schema_and_can_be_read_back(
    pipeline: Pipeline, validator: jsonschema.Draft202012Validator, seed: int, patched: bool, corrected: bool
):
    one = told(pipeline, seed, patched=patched, corrections={"concept_3": 1.0} if corrected else None)
    text = json.dumps(one.to_dict(), allow_nan=False)
    validator.validate(json.loads(text))
    assert read_explanation(text) == one
    page(one)


def test_what_is_no_record_is_refused(pipeline: Pipeline, validator: jsonschema.Draft202012Validator):
    record = told(pipeline).to_dict()
    for spoil in ({"stranger": 1}, {"schema": "osler-explanation/3"}, {"margin": "much"}):
        assert not validator.is_valid(json.loads(json.dumps(record | spoil)))
    for text in (
        "[" * 100_000,
        "{",
        "[]",
        "{}",
        json.dumps(record | {"margin": "much"}),
        json.dumps(record | {"schema": "other"}),
    ):
        with pytest.raises(OslerError, match="osler-explanation/4"):
            read_explanation(text)


def test_first_and_shown_are_the_largest_and_few(make_pipeline: Callable[..., Pipeline]):
    large = make_pipeline(WIDTH, 50)
    one = told(large, 1)
    order = [reading.id for reading in one.concepts]
    assert one.shown == tuple(order[:32])
    assert 5 <= len(one.first) <= 10
    assert one.first == one.shown[: len(one.first)]


def test_nothing_is_claimed_that_was_not_checked(pipeline: Pipeline):
    seen = set()
    for seed in range(40):
        one = told(pipeline, seed)
        for reading in one.concepts:
            seen.add(reading.seen)
            checked = reading.id in ("concept_0", "concept_2")
            assert reading.seen == "uncertain" if not checked else reading.seen in ("present", "absent", "uncertain")
            assert (reading.location == "validated") == (checked and reading.seen == "present")
            assert (reading.grounding_here is None) == (reading.id != "concept_0")
    assert seen == {"present", "absent", "uncertain"}
    said = page(told(pipeline))
    assert UNMEASURED in said
    assert NO_LOCATION in said


def test_a_masked_concept_is_ignored_and_never_absent(pipeline: Pipeline):
    for seed in range(20):
        reading = told(pipeline, seed, patched=True).concept("concept_1")
        assert (reading.seen, reading.state, reading.location) == ("ignored", "ignored at this site", "unavailable")
    assert "ignored at this site" in page(told(pipeline, patched=True))


class _Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [name for name, _ in attrs]


def test_hostile_names_stay_text(pipeline: Pipeline):
    one = told(pipeline, 3, patched=True)
    finding = replace(one.finding, id=HOSTILE)
    readings = tuple(
        replace(
            reading,
            id=HOSTILE,
            name=HOSTILE,
            question=HOSTILE,
            region=HOSTILE,
            citation=replace(reading.citation, passage=HOSTILE, title=HOSTILE, references=(HOSTILE,)),
        )
        for reading in one.concepts[:1]
    )
    hostile = replace(
        one,
        study=HOSTILE,
        site=HOSTILE,
        finding=finding,
        runner_up=replace(one.runner_up, id=HOSTILE),
        concepts=readings,
        first=(HOSTILE,),
        shown=(HOSTILE,),
        warnings=(ExplanationWarning(HOSTILE, HOSTILE),),
        abstains=True,
        abstains_because=HOSTILE,
        patch=replace(one.patch, id=HOSTILE, reason=HOSTILE, edits=(HOSTILE,), finding_without=finding),
        would_change=replace(one.would_change, sentence=HOSTILE),
        similar=(SimilarStudy(HOSTILE, HOSTILE, 1.0, HOSTILE, HOSTILE, HOSTILE),),
    )
    text = page(hostile)
    tags = _Tags()
    tags.feed(text)
    assert not {"script", "img", "iframe", "object", "link"} & set(tags.tags)
    assert not [name for name in tags.attributes if name.startswith("on")]
    assert text.count("&lt;script&gt;") >= 12
    assert "default-src &#x27;none&#x27;" in text
