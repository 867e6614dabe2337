"""`watch.yaml`: what nobody understands is refused, and each study has one site at most."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from osler.watch.settings import WatchSettings, load_watch
from osler.workspace import Workspace
from osler_contracts.codes import Code
from osler_contracts.errors import OslerError

SITES = [
    {"name": "lakeside", "titles": ["XRAY1", "XRAY2"]},
    {"name": "hill", "institutions": ["Hill  Hospital"], "model": "hill-model"},
    {"name": "other", "default": True},
]


def _values(**changes: Any) -> dict[str, Any]:
    values: dict[str, Any] = {
        "follow": {"feed": "orthanc", "address": "http://127.0.0.1:8042/"},
        "sites": SITES,
        "intake": {"crosswalk": "/keys/crosswalk"},
    }
    return {name: value for name, value in (values | changes).items() if value is not None}


def _refused(workspace: Workspace, values: object) -> str:
    (workspace.root / "watch.yaml").write_text(values if isinstance(values, str) else yaml.safe_dump(values))
    with pytest.raises(OslerError) as told:
        load_watch(workspace)
    assert told.value.code is Code.USAGE
    return told.value.message


def test_addresses_that_are_left_out_follow_from_the_feed() -> None:
    settings = WatchSettings.model_validate(_values())
    assert settings.fetching == settings.reporting == "http://127.0.0.1:8042/dicom-web"
    follow = {"feed": "find", "address": "dicom://PACS@pacs:104"}
    settings = WatchSettings.model_validate(_values(follow=follow, report_to="https://pacs/dicom-web"))
    assert (settings.fetching, settings.reporting) == ("dicom://PACS@pacs:104", "https://pacs/dicom-web")


@pytest.mark.parametrize(
    ("title", "institution", "site"),
    [
        ("XRAY1", "Hill Hospital", "lakeside"),
        ("XRAY2 ", "", "lakeside"),
        ("CT1", "hill hospital", "hill"),
        ("CT1", "Hillside", "other"),
        ("", "", "other"),
    ],
)
def test_the_sender_counts_before_the_institution_and_the_default_last(title: str, institution: str, site: str) -> None:
    found = WatchSettings.model_validate(_values()).site_of(title, institution)
    assert found is not None
    assert found.name == site


def test_without_a_default_a_stranger_has_no_site() -> None:
    assert WatchSettings.model_validate(_values(sites=SITES[:2])).site_of("CT1", "Elsewhere") is None


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"folow": {}}, "folow"),
        ({"follow": {"feed": "orthanc", "address": "http://a:1", "evry_s": 1}}, "evry_s"),
        ({"follow": {"feed": "email", "address": "http://a:1"}}, "feed"),
        ({"follow": {"feed": "find", "address": "http://a:1"}}, "another kind of address"),
        ({"follow": {"feed": "dicomweb", "address": "https://eva:secret@a/dicom-web"}}, "password"),
        ({"follow": {"feed": "listener", "address": "listen://OSLER@0.0.0.0:11112"}}, "report_to"),
        ({"report_to": "/a/folder"}, "reports sent to"),
        ({"sites": []}, "sites"),
        ({"sites": [{"name": "a"}, {"name": "a"}]}, "name of its own"),
        ({"sites": [{"name": "a", "titles": ["X"]}, {"name": "b", "titles": ["X"]}]}, "belongs to one site"),
        ({"sites": [{"name": "a", "default": True}, {"name": "b", "default": True}]}, "default"),
        ({"intake": None}, "intake"),
        ({"limits": {"settle_s": -1}}, "settle_s"),
        ({"limits": {"attempts": "5"}}, "attempts"),
    ],
)
def test_what_makes_no_sense_is_refused_by_name(workspace: Workspace, changes: dict[str, Any], word: str) -> None:
    message = _refused(workspace, _values(**changes))
    assert word in message
    assert "secret" not in message


@pytest.mark.parametrize("text", ["{", "\0", "- a", "a: " + "x" * 70_000, "a: 2024-99-99", "[" * 60_000])
def test_what_is_no_settings_file_is_refused(workspace: Workspace, text: str) -> None:
    _refused(workspace, text)


@given(st.text(max_size=40), st.text(max_size=40))
def test_any_names_give_one_site(title: str, institution: str) -> None:
    found = WatchSettings.model_validate(_values()).site_of(title, institution)
    assert found is not None
    assert found.name in {"lakeside", "hill", "other"}
