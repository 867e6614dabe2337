"""A reader's way through the dashboard while the workspace keeps its records in PostgreSQL: they are there, and nowhere else."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
import streamlit as st

from osler import audit
from osler.access import Role
from osler.database.engine import forget_engines
from osler.database.move import move_to_server
from osler.database_address import VARIABLE, Address
from osler_dashboard import services

from ..platform.database.postgres import PostgresServer, postgres_server, postgres_url  # noqa: TID252 - tests are no package

__all__ = ["postgres_server", "postgres_url"]
READER = "Dr A"


@pytest.fixture
def on_server(demo: Any, postgres_url: str, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return the dashboard's workspace once its records were moved to a server, with their number and the database."""
    moved = move_to_server(demo.workspace, Address(postgres_url), actor="Dr Osler")
    monkeypatch.setenv(VARIABLE, postgres_url)
    st.cache_resource.clear()
    return moved


def _listed(open_page: Callable[..., Any]) -> dict[str, dict[str, Any]]:
    return {row["name"]: row for row in open_page("worklist").component("worklist")["rows"]}


@pytest.mark.system
def test_a_study_is_chosen_corrected_and_signed_and_the_log_is_sound(
    demo: Any, on_server: Any, postgres_server: PostgresServer, postgres_url: str, open_page: Callable[..., Any]
) -> None:
    workspace = demo.workspace
    files = {path for path in workspace.root.rglob("*") if path.is_file()}
    listed = _listed(open_page)
    assert {row["state"] for row in listed.values()} == {"To review"}
    assert len(listed) == on_server.rows["studies"] == 12
    name = "Hospital B · study 0002"
    uid = next(uid for uid, one in services.studies().names.items() if one == name)

    screen = open_page("study", study="hospital-b-study-0002")
    assert screen.component("viewer")["study"] == name
    before = screen.words
    screen.choose("focal_opacity").answer("Absent")
    assert screen.words != before
    screen.app.text_area[0].set_value("No focal opacity.").run()
    screen.app.button(key="sign").click().run()
    assert f"Signed by {READER}" in screen.words

    assert _listed(open_page)[name]["state"].startswith("Signed")
    assert "Chain verified" in open_page("audit", roles=[Role.ADMINISTRATOR]).words
    assert audit.verify(workspace).fault is None
    # Past Osler: what the server holds, and that no record went into a file.
    with postgres_server.connect(postgres_url.rpartition("/")[2]) as connection:
        lines = [json.loads(str(row[0])) for row in connection.execute("SELECT line FROM reviews ORDER BY number")]
        told = connection.execute("SELECT line FROM audit_entries ORDER BY number").fetchall()
    (review,) = [one for one in lines if one["study"] == uid]
    assert (review["reviewer"], review["signed"], review["answers"]) == (READER, True, {"focal_opacity": "absent"})
    told = told[on_server.rows["audit_entries"] :]  # those before were moved
    done = [one["action"] for row in told if (one := json.loads(str(row[0])))["subject"] == uid]
    assert [one for one in done if one.startswith("study.")] == ["study.view", "study.answer", "study.sign"]
    new = {path for path in workspace.root.rglob("*") if path.is_file()} - files
    assert not {path.name for path in new} & {audit.LOG, audit.HEAD, "index.sqlite", "reviews.jsonl"}


@pytest.mark.system
def test_a_server_that_is_gone_is_told_calmly_and_comes_back(
    on_server: Any, postgres_server: PostgresServer, open_page: Callable[..., Any]
) -> None:
    screen = open_page("study")
    postgres_server.stop()
    try:
        screen.app.run()
        assert not screen.app.exception
        assert "database" in screen.words
        assert "Traceback" not in screen.text
        assert "psycopg" not in screen.text
    finally:
        postgres_server.start()
    screen.app.run()
    assert "Signed by" not in screen.words
    assert screen.app.get("bidi_component")
    forget_engines()
