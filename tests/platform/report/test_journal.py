"""The journal of issued reports: a chain is that of one study and one receiver, whatever else stands in the file."""

from __future__ import annotations

import json
import tempfile
from dataclasses import asdict
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from osler.report.journal import BEGUN, FILE, LOST, STORED, Issue, IssueJournal
from osler.workspace import Workspace

# Names of which one begins with another, receivers named as studies are, and words that JSON escapes.
NAMES = st.sampled_from(["2.25.1", "2.25.11", "2.25.111", "files", 'a "b" \\', "Köln"])
ISSUES = st.builds(
    Issue,
    study=NAMES,
    to=NAMES,
    digest=st.sampled_from(["d1", "d2"]),
    made=st.just("2026-01-01T00:00:00+00:00"),
    final=st.booleans(),
    state=st.sampled_from([BEGUN, STORED, LOST]),
)


@given(issues=st.lists(ISSUES, max_size=20), study=NAMES, to=NAMES, torn=st.booleans())
@settings(max_examples=30, deadline=None)
def test_a_chain_is_what_reading_every_line_gives(issues: list[Issue], study: str, to: str, torn: bool) -> None:
    with tempfile.TemporaryDirectory() as folder:
        workspace = Workspace.open(Path(folder) / "workspace", create=True)
        journal = IssueJournal(workspace)
        for issue in issues:
            journal.note(issue, issue.state)
        path = workspace.reports / FILE
        if torn and path.exists():
            path.write_bytes(path.read_bytes() + json.dumps(asdict(Issue(study, to, "d", "m", True))).encode()[:-9])
        last: dict[str, Issue] = {}
        for issue in issues:
            if (issue.study, issue.to) == (study, to):
                last[issue.digest] = issue
        assert journal.chain(study, to) == [one for one in last.values() if one.state != LOST]
