"""Runs a contract by Great Expectations: one engine behind our own contract and report.

Great Expectations takes seconds and some 300 MB to import, so it is imported only when a table is checked.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date
from typing import Any

import pandas as pd

from osler_contracts.codes import Code
from osler_contracts.contract import Clause, Contract
from osler_contracts.errors import OslerError
from osler_contracts.expectations import register_rules
from osler_contracts.report import ClauseResult, ContractReport
from osler_contracts.rules import RULES

# Keys come from the index and no value is kept: the default format writes header values into its result.
RESULT_FORMAT = {"result_format": "COMPLETE", "exclude_unexpected_values": True, "partial_unexpected_count": 0}
NOT_NULL = "expect_column_values_to_not_be_null"


def check_headers(table: pd.DataFrame, contract: Contract, today: date | None = None) -> ContractReport:
    """Check a header table against a contract.

    Args:
        table: Header table with unique text keys as its index (`osler_contracts.headers`).
        contract: The contract.
        today: The day that dates are compared with; the present day where it is left out.

    Raises:
        OslerError: `table-invalid` where keys repeat.
    """
    if not table.index.is_unique:
        raise OslerError(Code.TABLE_INVALID, "Keys of the header table repeat.", "Give each row a unique key.")
    keys = tuple(map(str, table.index))
    table = table.set_axis(pd.Index(keys, dtype="object", name="key"), axis="index")
    absent = {clause.name: _absent(clause, table) for clause in contract.clauses}
    checkable = [clause for clause in contract.clauses if not absent[clause.name]]
    found = _validate(table, checkable, today or date.today()) if keys and checkable else {}
    order = {key: position for position, key in enumerate(keys)}
    results = (
        ClauseResult(clause, unchecked=f"the table lacks {', '.join(absent[clause.name])}")
        if absent[clause.name]
        else _result(clause, found.get(clause.name, []), order)
        for clause in contract.clauses
    )
    return ContractReport(contract, keys, tuple(results))


def _absent(clause: Clause, table: pd.DataFrame) -> list[str]:
    return [column for column in clause.expectation.columns if column not in table.columns]


def _result(clause: Clause, outcomes: Iterable[Any], order: Mapping[str, int]) -> ClauseResult:
    """Join the outcomes of a clause's expectations; an exception is no verdict, and its text may hold values."""
    violated: set[str] = set()
    for outcome in outcomes:
        if _raised(outcome.exception_info):
            return ClauseResult(clause, unchecked="the check itself failed")
        listed = outcome.result.get("unexpected_index_list") or []
        violated.update(key for item in listed for key in item["key"])
    return ClauseResult(clause, tuple(sorted(violated, key=order.__getitem__)))


def _raised(information: Mapping[str, Any]) -> bool:
    """Whether an expectation raised: the information is flat where all went well, nested by metric where not."""
    if "raised_exception" in information:
        return bool(information["raised_exception"])
    return any(item.get("raised_exception") for item in information.values())


def _validate(table: pd.DataFrame, clauses: Iterable[Clause], today: date) -> dict[str, list[Any]]:
    """Run the clauses as one suite in a context of its own; the outcomes by clause name."""
    import great_expectations as gx
    from great_expectations.data_context.types.base import ProgressBarsConfig

    register_rules()
    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = ProgressBarsConfig(globally=False)
    asset = context.data_sources.add_pandas("headers").add_dataframe_asset("headers")
    batch = asset.add_batch_definition_whole_dataframe("headers").get_batch({"dataframe": table})
    suite = gx.ExpectationSuite(name="contract")
    for clause in clauses:
        for expectation in _compile(clause, today):
            suite.add_expectation(expectation)
    results: list[Any] = batch.validate(suite, result_format=RESULT_FORMAT).results
    outcomes: dict[str, list[Any]] = {}
    for outcome in results:
        outcomes.setdefault(outcome.expectation_config.meta["clause"], []).append(outcome)
    return outcomes


def _compile(clause: Clause, today: date) -> list[Any]:
    """Turn a clause into expectations: its own and, where values are required, that none is missing."""
    from great_expectations.expectations.expectation_configuration import ExpectationConfiguration

    kwargs = dict(clause.expectation.kwargs)
    if "today" in getattr(RULES.get(clause.expectation.type), "arguments", ()):
        kwargs["today"] = today.isoformat()
    pairs = [(clause.expectation.type, kwargs)]
    if clause.required and clause.expectation.type != NOT_NULL:
        pairs += [(NOT_NULL, {"column": column}) for column in clause.expectation.columns]
    return [
        ExpectationConfiguration(type=name, kwargs=arguments, meta={"clause": clause.name}).to_domain_obj()
        for name, arguments in pairs
    ]
