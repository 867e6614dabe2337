"""Runs a contract by Great Expectations: one engine behind our own contract and report.

Great Expectations takes seconds and some 300 MB to import, so it is imported only when a table is checked.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
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
    checks = {clause.name: _checks(clause, today or date.today()) for clause in contract.clauses}
    checkable = [clause for clause in contract.clauses if not _absent(clause, table)]
    outcomes = _validate(table, (check for clause in checkable for check in checks[clause.name])) if keys else {}
    order = {key: position for position, key in enumerate(keys)}
    results = []
    for clause in contract.clauses:
        if absent := _absent(clause, table):
            results.append(ClauseResult(clause, unchecked=f"the table lacks {', '.join(absent)}"))
        else:
            found = [outcomes.get(check.name) for check in checks[clause.name]] if keys else []
            results.append(_result(clause, found, order))
    return ContractReport(contract, keys, tuple(results))


@dataclass(frozen=True)
class _Check:
    """One expectation of a clause. Equal ones are one: a suite drops the second without a word."""

    type: str
    kwargs: Mapping[str, Any]

    @property
    def name(self) -> str:
        return json.dumps([self.type, self.kwargs], sort_keys=True)


def _checks(clause: Clause, today: date) -> list[_Check]:
    """Turn a clause into expectations: its own and, where values are required, that none is missing."""
    expectation = clause.expectation
    kwargs = dict(expectation.kwargs)
    if expectation.type in RULES and "today" in RULES[expectation.type].arguments:
        kwargs["today"] = today.isoformat()
    required = expectation.columns if clause.required else ()
    return [_Check(expectation.type, kwargs), *(_Check(NOT_NULL, {"column": column}) for column in required)]


def _absent(clause: Clause, table: pd.DataFrame) -> list[str]:
    return [column for column in clause.expectation.columns if column not in table.columns]


def _result(clause: Clause, outcomes: Iterable[Any], order: Mapping[str, int]) -> ClauseResult:
    """Join the outcomes of a clause's expectations; none, or an exception, whose text may hold values, is no verdict."""
    violated: set[str] = set()
    for outcome in outcomes:
        if outcome is None or _raised(outcome.exception_info):
            return ClauseResult(clause, unchecked="the check itself failed")
        listed = outcome.result.get("unexpected_index_list") or []
        violated.update(key for item in listed for key in item["key"])
    return ClauseResult(clause, tuple(sorted(violated, key=order.__getitem__)))


def _raised(information: Mapping[str, Any]) -> bool:
    """Whether an expectation raised: the information is flat where all went well, nested by metric where not."""
    if "raised_exception" in information:
        return bool(information["raised_exception"])
    return any(item.get("raised_exception") for item in information.values())


def _validate(table: pd.DataFrame, checks: Iterable[_Check]) -> dict[str, Any]:
    """Run checks as one suite in a context of its own; the outcomes by the name of the check."""
    import great_expectations as gx
    from great_expectations.data_context.types.base import ProgressBarsConfig
    from great_expectations.expectations.expectation_configuration import ExpectationConfiguration

    register_rules()
    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = ProgressBarsConfig(globally=False)
    asset = context.data_sources.add_pandas("headers").add_dataframe_asset("headers")
    batch = asset.add_batch_definition_whole_dataframe("headers").get_batch({"dataframe": table})
    suite = gx.ExpectationSuite(name="contract")
    for name, check in {check.name: check for check in checks}.items():
        configuration = ExpectationConfiguration(type=check.type, kwargs=dict(check.kwargs), meta={"name": name})
        suite.add_expectation(configuration.to_domain_obj())
    results: list[Any] = batch.validate(suite, result_format=RESULT_FORMAT).results
    return {result.expectation_config.meta["name"]: result for result in results}
