"""Our rules as expectations of Great Expectations: for each a metric on pandas and a class that names it."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

import pandas as pd

from osler_contracts.rules import RULES, Rule, Scope, apply


@cache
def register_rules() -> None:
    """Make our rules known to Great Expectations, which keeps a registry of the classes that it sees."""
    for name, rule in RULES.items():
        if rule.scope is Scope.COLUMN:
            _register_column(name, rule)
        elif rule.scope is Scope.PAIR:
            _register_pair(name, rule)
        else:
            _register_columns(name, rule)


def _register_column(name: str, rule: Rule) -> None:
    from great_expectations.execution_engine.pandas_execution_engine import PandasExecutionEngine
    from great_expectations.expectations.expectation import ColumnMapExpectation
    from great_expectations.expectations.metrics.map_metric_provider.column_condition_partial import (
        column_condition_partial,
    )
    from great_expectations.expectations.metrics.map_metric_provider.column_map_metric_provider import (
        ColumnMapMetricProvider,
    )

    class Metric(ColumnMapMetricProvider):
        condition_metric_name = _metric_name(name)
        condition_value_keys = rule.arguments

        @column_condition_partial(engine=PandasExecutionEngine)
        def _pandas(cls, column: pd.Series, **kwargs: Any) -> pd.Series:  # noqa: N805 - called as a class method
            return apply(rule.predicate, column, **_given(rule, kwargs))

    _define(name, ColumnMapExpectation, rule, {})


def _register_pair(name: str, rule: Rule) -> None:
    from great_expectations.execution_engine.pandas_execution_engine import PandasExecutionEngine
    from great_expectations.expectations.expectation import ColumnPairMapExpectation
    from great_expectations.expectations.metrics.map_metric_provider.column_pair_condition_partial import (
        column_pair_condition_partial,
    )
    from great_expectations.expectations.metrics.map_metric_provider.column_pair_map_metric_provider import (
        ColumnPairMapMetricProvider,
    )

    class Metric(ColumnPairMapMetricProvider):
        condition_metric_name = _metric_name(name)
        condition_domain_keys = ("batch_id", "table", "column_A", "column_B", "ignore_row_if")
        condition_value_keys = rule.arguments

        @column_pair_condition_partial(engine=PandasExecutionEngine)  # type: ignore[untyped-decorator]
        def _pandas(cls, column_A: pd.Series, column_B: pd.Series, **kwargs: Any) -> pd.Series:  # noqa: N805
            return apply(rule.predicate, column_A, column_B, **_given(rule, kwargs))

    ignore = "neither" if rule.sees_missing else "either_value_is_missing"
    _define(name, ColumnPairMapExpectation, rule, {"ignore_row_if": ignore})


def _register_columns(name: str, rule: Rule) -> None:
    from great_expectations.execution_engine.pandas_execution_engine import PandasExecutionEngine
    from great_expectations.expectations.expectation import MulticolumnMapExpectation
    from great_expectations.expectations.metrics.map_metric_provider.multicolumn_condition_partial import (
        multicolumn_condition_partial,
    )
    from great_expectations.expectations.metrics.map_metric_provider.multicolumn_map_metric_provider import (
        MulticolumnMapMetricProvider,
    )

    class Metric(MulticolumnMapMetricProvider):
        condition_metric_name = _metric_name(name)
        condition_domain_keys = ("batch_id", "table", "column_list", "ignore_row_if")
        condition_value_keys = rule.arguments

        @multicolumn_condition_partial(engine=PandasExecutionEngine)  # type: ignore[untyped-decorator]
        def _pandas(cls, column_list: pd.DataFrame, **kwargs: Any) -> pd.Series:  # noqa: N805
            if rule.scope is Scope.TABLE:
                verdicts: pd.Series = rule.predicate(column_list, **_given(rule, kwargs))
                return verdicts
            return apply(rule.predicate, *(column_list[name] for name in column_list), **_given(rule, kwargs))

    _define(name, MulticolumnMapExpectation, rule, {"ignore_row_if": "never"})


def _define(name: str, base: Any, rule: Rule, defaults: dict[str, str]) -> None:
    """Define an expectation class; the registry knows it by its name in snake case."""
    fields = {**dict.fromkeys(rule.arguments), **defaults}
    columns = rule.scope.arguments
    namespace = {
        "__module__": __name__,
        "__doc__": rule.predicate.__doc__,
        "__annotations__": dict.fromkeys(fields, Any),
        **fields,
        "map_metric": _metric_name(name),
        "success_keys": (*rule.arguments, "mostly"),
        "domain_keys": ("batch_id", *columns, *defaults),
        "args_keys": columns,
    }
    type(base)("".join(word.title() for word in name.split("_")), (base,), namespace)


def _metric_name(name: str) -> str:
    return f"osler.{name.removeprefix('expect_')}"


def _given(rule: Rule, kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """Pick a rule's arguments; those that the clause leaves out keep the rule's default."""
    return {key: kwargs[key] for key in rule.arguments if kwargs.get(key) is not None}
