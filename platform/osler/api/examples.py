"""An example of an explanation for the description: made up, and short; a test holds it to the schema."""

from __future__ import annotations

from typing import Any

from osler.explain.explanation import ConceptReading, Explanation, Finding, Passage

_TEXT = "Enlargement of the cardiac silhouette is a sign of heart failure."


def explanation() -> dict[str, Any]:
    """Return the example as JSON."""
    first = Finding("heart_failure", 1.4, 0.72, 0.69, 0.4, "called")
    second = Finding("normal", 0.1, 0.28, 0.31, None, "no operating point")
    passage = Passage(_TEXT, "Heart failure", "heart-failure", ("A textbook, 2020",))
    concept = ConceptReading(
        id="cardiomegaly",
        name="cardiomegaly",
        question="Is the heart enlarged?",
        region="heart",
        probability=0.91,
        value=0.91,
        contribution=1.1,
        direction="for",
        state="as scored",
        contribution_unpatched=None,
        prior=1,
        prior_runner_up=None,
        conflict=False,
        citation=passage,
        prior_citation=passage,
        location="unavailable",
        seen="present",
    )
    made = Explanation(
        study="2.25.161049532817",
        site="hospital_a",
        model="4b7d",
        bank="9f01",
        encoder="c2aa",
        finding=first,
        runner_up=second,
        findings=(first, second),
        margin=1.3,
        baseline=0.2,
        concepts=(concept,),
        calibration={"temperature": 1.2, "site": "hospital_a", "date": "2024-05-01", "n": 200},
        calibrated_here=True,
        patch=None,
        corrections={},
        finding_uncorrected=None,
        first=("cardiomegaly",),
        shown=("cardiomegaly",),
    )
    return made.to_dict()
