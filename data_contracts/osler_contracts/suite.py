"""From the clauses of a contract to a suite of Great Expectations, and from its results to row keys."""

from __future__ import annotations

import json
from collections.abc import Collection, Container, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from osler_contracts.contract import Clause
from osler_contracts.expectations import register_rules
from osler_contracts.rules import RULES

# Keys come from the index and no value is kept: the default format writes header values into its result.
# The query that would find them again repeats every key as text, for nothing.
RESULT_FORMAT = {
    "result_format": "COMPLETE",
    "exclude_unexpected_values": True,
    "partial_unexpected_count": 0,
    "return_unexpected_index_query": False,
}
NOT_NULL = "expect_column_values_to_not_be_null"


@dataclass(frozen=True)
class Check:
    """One expectation of a clause. Equal ones are one: a suite drops the second without a word."""

    type: str
    kwargs: Mapping[str, Any]

    @property
    def name(self) -> str:
        """A name that equal checks share."""
        return json.dumps([self.type, self.kwargs], sort_keys=True)


def checks_of(
    clause: Clause, columns: Collection[str], today: str, decodable: Collection[str] | None
) -> Iterator[Check]:
    """Turn a clause into the expectations that a table with these columns allows, nulls forbidden where required."""
    kind = clause.expectation.type
    arguments = RULES[kind].arguments if kind in RULES else ()
    if "decodable" in arguments and decodable is None:
        return
    given = {"today": today, "decodable": sorted(decodable or ())}
    for read, kwargs in clause.expectation.single():
        if not {*read} <= {*columns}:
            continue
        yield Check(kind, kwargs | {name: given[name] for name in arguments if name in given})
        if clause.required:
            yield from (Check(NOT_NULL, {"column": column}) for column in read)


def undecided(clause: Clause, columns: Container[str], decodable: Collection[str] | None) -> str | None:
    """Say why a clause, or a part of it, cannot be checked on a table with these columns; None where it can."""
    absent = [column for column in clause.expectation.columns if column not in columns]
    if absent:
        return f"the table lacks {', '.join(absent)}"
    kind = clause.expectation.type
    if kind in RULES and "decodable" in RULES[kind].arguments and decodable is None:
        return "nobody said which transfer syntaxes can be decoded here"
    return None


def validate(table: pd.DataFrame, checks: Iterable[Check]) -> dict[str, list[str] | None]:
    """Run checks as one suite in a context of its own.

    Args:
        table: Header table with unique keys as its index, named `key`.
        checks: The checks.

    Returns:
        The keys that violate each check, by the check's name; None where it raised, whose text may hold values.
    """
    import great_expectations as gx

    context = quiet_context()
    asset = context.data_sources.add_pandas("headers").add_dataframe_asset("headers")
    batch = asset.add_batch_definition_whole_dataframe("headers").get_batch({"dataframe": table})
    suite = gx.ExpectationSuite(name="contract")
    for name, check in {check.name: check for check in checks}.items():
        suite.add_expectation(expectation_of(check, {"name": name}))
    results: list[Any] = batch.validate(suite, result_format=RESULT_FORMAT).results
    return {result.expectation_config.meta["name"]: violated_keys(result) for result in results}


def quiet_context() -> Any:
    """Return a context of Great Expectations that lives in memory, shows no progress and makes no temporary folder."""
    import great_expectations as gx
    from great_expectations.data_context.types.base import (
        DataContextConfig,
        InMemoryStoreBackendDefaults,
        ProgressBarsConfig,
    )

    defaults = InMemoryStoreBackendDefaults(init_temp_docs_sites=False)
    config = DataContextConfig(store_backend_defaults=defaults, progress_bars=ProgressBarsConfig(globally=False))
    return gx.get_context(mode="ephemeral", project_config=config)


def expectation_of(check: Check, meta: Mapping[str, Any], description: str | None = None) -> Any:
    """Return a check as an expectation of Great Expectations."""
    from great_expectations.expectations.expectation_configuration import ExpectationConfiguration

    register_rules()
    configuration = ExpectationConfiguration(
        type=check.type, kwargs=dict(check.kwargs), meta=dict(meta), description=description
    )
    return configuration.to_domain_obj()


def violated_keys(result: Any) -> list[str] | None:
    """Return the keys in a result of Great Expectations; None where the expectation raised."""
    if _raised(result.exception_info):
        return None
    return [key for item in result.result.get("unexpected_index_list") or [] for key in item["key"]]


def _raised(information: Mapping[str, Any]) -> bool:
    """Whether an expectation raised: the information is flat where all went well, nested by metric where not."""
    if "raised_exception" in information:
        return bool(information["raised_exception"])
    return any(item.get("raised_exception") for item in information.values())
