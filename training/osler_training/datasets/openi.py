"""Open-i, the Indiana University chest X-rays (Demner-Fushman et al., JAMIA 2016): 7,470 images of 3,955 reports.

Read: `ecgen-radiology/*.xml` (from `NLMCXR_reports.tgz`) and the PNG files in `NLMCXR_png/` or beside. Labels are the coded
terms (`MeSH/major`) that two coders gave each report, before the first slash; what a report does not code is taken as absent,
and `normal` stands alone. The set numbers reports and not people: a report stands for its patient. Views are not in the
reports; where the folder has `indiana_projections.csv` (columns filename, projection) laterals are left out and counted.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from lxml import etree

from osler_contracts.codes import Code
from osler_contracts.errors import OslerError
from osler_training.datasets.images import Images
from osler_training.datasets.labels import NAN, class_of, finding_name, listed
from osler_training.datasets.reading import Reading
from osler_training.datasets.tables import Missing, Rows, by_name, read_csv

SUMMARY = "Open-i (Indiana University)"
_NO_ANSWER = "no_indexing"  # "No Indexing": the coders gave no term


def read(root: Path, *, target: str = "", frontal: bool = True, missing: Missing = "refuse") -> Images:
    """Read the set.

    Args:
        root: Folder with `ecgen-radiology/` and `NLMCXR_png/`.
        target: As in `class_of`.
        frontal: Whether to leave out laterals, as far as views are known.
        missing: As in `Rows`.

    Raises:
        OslerError: `source-missing` where there is no report, and what `Rows.images` refuses.
    """
    paths = sorted(root.glob("ecgen-radiology/*.xml")) or sorted(root.glob("*.xml"))
    if not paths:
        raise OslerError(
            Code.SOURCE_MISSING, f"There is no report in {root / 'ecgen-radiology'}.", "Unpack them there."
        )
    rows = Rows("openi", root, missing)
    reports = []
    for path in paths:
        try:
            reports.append(_report(path))
        except (etree.XMLSyntaxError, OSError, ValueError):
            rows.fault(Code.ROW_INVALID, path.name)
    names = sorted({term for report in reports for term in report["terms"]} - {_NO_ANSWER})
    place, views = by_name(root, ("NLMCXR_png/*.png", "images/*.png", "*.png")), _views(root)
    for report, image in _images(reports):
        view = views.get(image.split("_", 1)[-1], views.get(image, ""))
        if frontal and view == "Lateral":
            rows.leave_out("lateral")
            continue
        answered = report["terms"] and _NO_ANSWER not in report["terms"]
        findings = listed(report["terms"], names) if answered else dict.fromkeys(names, NAN)
        rows.add(
            place(f"{image}.png"),
            patient=report["uid"],
            label=class_of(findings, target),
            view=view,
            text=report["text"],
            findings=findings,
        )
    return rows.images(site="Indiana University", reading=Reading(colour=False), findings=names)


def _images(reports: list[dict[str, Any]]) -> Iterator[tuple[dict[str, Any], str]]:
    for report in reports:
        for image in report["images"]:
            yield report, image


def _report(path: Path) -> dict[str, Any]:
    """Read a report. Entities and the network stay shut: the files come from elsewhere."""
    parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False)
    tree = etree.parse(str(path), parser).getroot()
    uid = tree.find(".//uId")
    if uid is None or not uid.get("id"):
        raise ValueError("a report without uId")
    texts = {one.get("Label", ""): (one.text or "").strip() for one in tree.iterfind(".//AbstractText")}
    return {
        "uid": uid.get("id"),
        "terms": {finding_name((one.text or "").split("/")[0]) for one in tree.iterfind(".//MeSH/major")} - {""},
        "text": "\n".join(
            f"{name}: {texts[name]}" for name in ("INDICATION", "FINDINGS", "IMPRESSION") if texts.get(name)
        ),
        "images": [one.get("id", "") for one in tree.iterfind(".//parentImage")],
    }


def _views(root: Path) -> dict[str, str]:
    path = root / "indiana_projections.csv"
    if not path.is_file():
        return {}
    table = read_csv(path, ("filename", "projection"))
    return {
        name.removesuffix(".png").removesuffix(".dcm"): view
        for name, view in zip(table["filename"], table["projection"], strict=True)
    }
