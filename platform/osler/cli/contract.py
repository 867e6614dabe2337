"""`osler contract`: what must a file hold to enter, and which of these headers do?"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from osler.cli.command import CommandResult

if TYPE_CHECKING:
    from osler_contracts.report import ContractReport

SUMMARY = "check exported headers against a data contract, explain one, or write it as pages"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the subcommands `check`, `explain` and `docs`."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    check = actions.add_parser("check", help="check a table of headers")
    check.add_argument(
        "--headers", type=Path, required=True, metavar="FILE", help="CSV (or .csv.gz), a column a DICOM attribute"
    )
    check.add_argument(
        "--contract", default="chest-radiograph", metavar="NAME", help="shipped contract, or a .yaml file"
    )
    check.add_argument("--key", metavar="COLUMN", help="column that names the rows (default: the row number)")
    explain = actions.add_parser("explain", help="list the clauses of a contract")
    explain.add_argument("contract", metavar="NAME", help="shipped contract, or a .yaml file")
    docs = actions.add_parser("docs", help="write a contract, or a check by it, as pages (Data Docs) without values")
    docs.add_argument("contract", metavar="NAME", help="shipped contract, or a .yaml file")
    docs.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder for the pages")
    docs.add_argument("--headers", type=Path, metavar="FILE", help="header table whose check is shown too")


def run(arguments: argparse.Namespace) -> CommandResult:
    """Run `check`, `explain` or `docs`."""
    return {"check": _check, "explain": _explain, "docs": _docs}[arguments.action](arguments)


def _check(arguments: argparse.Namespace) -> CommandResult:
    from osler.dicom.decoders import decodable_syntaxes
    from osler_contracts.contract import load_contract
    from osler_contracts.engine import check_chunks
    from osler_contracts.headers import read_header_chunks

    contract = load_contract(arguments.contract)
    chunks = read_header_chunks(arguments.headers, arguments.key)
    report = check_chunks(chunks, contract, decodable=decodable_syntaxes())
    counts = report.counts()
    return CommandResult(report.to_dict(), _lines(report), refused=counts["refuse"] + counts["quarantine"])


def _lines(report: ContractReport) -> list[str]:
    counts = ", ".join(f"{number} {outcome}" for outcome, number in report.counts().items())
    lines = [f"{report.contract.name} {report.contract.version}: {len(report.keys)} rows ({counts})"]
    for result in report.results:
        if result.violated:
            part = f" ({result.unchecked})" if result.unchecked else ""
            told = f"violated by {len(result.violated)} rows{part}: {result.clause.sentence}"
        else:
            told = f"could not be checked: {result.unchecked}"
        if result.state != "held":
            lines.append(f"{result.clause.severity:<10} {result.clause.code:<26} {result.clause.name} {told}")
    return lines


def _explain(arguments: argparse.Namespace) -> CommandResult:
    from osler_contracts.contract import load_contract

    contract = load_contract(arguments.contract)
    lines = [f"{contract.name} {contract.version}: {contract.summary}", ""]
    for clause in contract.clauses:
        need = "required" if clause.required else "if present"
        lines.append(f"{clause.severity:<10} {clause.code:<26} {clause.name} ({need}; {clause.clause})")
        lines.append(f"{'':<11}{clause.sentence}")
    return CommandResult(contract.model_dump(mode="json") | {"digest": contract.digest}, lines)


def _docs(arguments: argparse.Namespace) -> CommandResult:
    from osler.dicom.decoders import decodable_syntaxes
    from osler_contracts.contract import load_contract
    from osler_contracts.docs import write_docs
    from osler_contracts.headers import read_header_csv

    contract = load_contract(arguments.contract)
    table = read_header_csv(arguments.headers) if arguments.headers else None
    written = write_docs(contract, arguments.out, table, decodable=decodable_syntaxes())
    payload = {"contract": contract.name, "index": str(written.index), "pages": [str(page) for page in written.pages]}
    return CommandResult(payload, [f"Open {written.index}."])
