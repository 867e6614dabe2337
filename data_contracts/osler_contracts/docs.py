"""A contract, and a check of a header table, as pages that people read: Great Expectations' Data Docs, without values.

The pages that Great Expectations writes fetch their looks from the network and name the library's makers; `offline`
mends that, so that they can be read from a disk in a hospital.
"""

from __future__ import annotations

import tempfile
from collections.abc import Collection
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import pandas as pd

from osler_contracts.contract import Clause, Contract
from osler_contracts.docs_pages import index_page, left_out, offline
from osler_contracts.headers import COLUMNS
from osler_contracts.suite import NOT_NULL, Check, checks_of, expectation_of, quiet_context, undecided

# Counts, neither values nor row keys.
RESULT_FORMAT = {"result_format": "BASIC", "exclude_unexpected_values": True, "partial_unexpected_count": 0}


@dataclass(frozen=True)
class Written:
    """The pages that were written: the first to open, and all of them."""

    index: Path
    pages: tuple[Path, ...]


def write_docs(
    contract: Contract,
    folder: Path,
    table: pd.DataFrame | None = None,
    today: date | None = None,
    decodable: Collection[str] | None = None,
) -> Written:
    """Write a contract as static pages, with the check of a header table where one is given.

    Args:
        contract: The contract.
        folder: Where the pages go; pages of the same name are replaced.
        table: Header table to check, none where only the contract is to be shown.
        today: As in `osler_contracts.engine.check_headers`.
        decodable: As there.
    """
    day = (today or date.today()).isoformat()
    everything = _checks(contract, COLUMNS, day, decodable or ())
    titles = _titles(contract, table)
    with tempfile.TemporaryDirectory() as scratch:
        found = _render(contract, everything, Path(scratch) / "contract")
        pages = {"contract": offline(found["contract"], titles["contract"])}
        if table is not None:
            checks = _checks(contract, list(table.columns), day, decodable)
            left = [(clause, reason) for clause in contract.clauses if (reason := undecided(clause, table, decodable))]
            checked = _render(contract, checks, Path(scratch) / "check", table).get("check", "<body></body>")
            pages["check"] = offline(checked, titles["check"], left_out(left))
    pages["index"] = index_page(contract, titles)
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in pages.items():
        (folder / f"{name}.html").write_text(text, encoding="utf-8")
    return Written(folder / "index.html", tuple(folder / f"{name}.html" for name in titles))


def _titles(contract: Contract, table: pd.DataFrame | None) -> dict[str, str]:
    """Return the pages by their names, with their titles."""
    name = f"{contract.name}, version {contract.version}"
    titles = {"index": f"Data contract {name}", "contract": f"Expectations of the data contract {name}"}
    if table is not None:
        titles["check"] = f"Check of {len(table)} headers against the data contract {name}"
    return titles


def _checks(
    contract: Contract, columns: Collection[str], today: str, decodable: Collection[str] | None
) -> list[tuple[Clause, Check]]:
    return [(clause, check) for clause in contract.clauses for check in checks_of(clause, columns, today, decodable)]


def _render(
    contract: Contract, checks: list[tuple[Clause, Check]], folder: Path, table: pd.DataFrame | None = None
) -> dict[str, str]:
    """Let Great Expectations write its site into a folder; return its pages `contract` and, with a table, `check`."""
    import great_expectations as gx

    context = quiet_context()
    context.add_data_docs_site("osler", _site(folder, contract))
    suite = gx.ExpectationSuite(name=contract.name)
    known: set[str] = set()
    for clause, check in checks:
        if check.name not in known:  # a suite drops the second of two equal ones
            known.add(check.name)
            suite.add_expectation(expectation_of(check, {}, _told(clause, check)))
    suite = context.suites.add(suite)
    if table is not None and len(table):
        _validate(context, suite, table)
    context.build_data_docs(site_names=["osler"])
    pages = {"contract": folder / "expectations" / f"{contract.name}.html"}
    if found := next((folder / "validations").rglob("*.html"), None):
        pages["check"] = found
    return {name: path.read_text(encoding="utf-8") for name, path in pages.items()}


def _site(folder: Path, contract: Contract) -> dict[str, Any]:
    return {
        "class_name": "SiteBuilder",
        "site_name": f"Data contract {contract.name}",
        "show_how_to_buttons": False,
        "store_backend": {"class_name": "TupleFilesystemStoreBackend", "base_directory": str(folder)},
        "site_index_builder": {"class_name": "DefaultSiteIndexBuilder"},
    }


def _validate(context: Any, suite: Any, table: pd.DataFrame) -> None:
    """Run the suite so that its result is kept for the pages."""
    import great_expectations as gx

    asset = context.data_sources.add_pandas("headers").add_dataframe_asset("headers")
    batch = asset.add_batch_definition_whole_dataframe("headers")
    definition = context.validation_definitions.add(gx.ValidationDefinition(name=suite.name, data=batch, suite=suite))
    checkpoint = context.checkpoints.add(
        gx.Checkpoint(name=suite.name, validation_definitions=[definition], actions=[], result_format=RESULT_FORMAT)
    )
    checkpoint.run(batch_parameters={"dataframe": table})


def _told(clause: Clause, check: Check) -> str:
    """Return what the pages say of an expectation: our sentence and what follows, never a value that it compares."""
    required = "A value is required. " if check.type == NOT_NULL else ""
    return f"{required}{clause.sentence} ({clause.name}: {clause.severity}, {clause.code}; {clause.clause})"
