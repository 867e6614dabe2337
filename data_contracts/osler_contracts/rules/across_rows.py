"""Rules that compare rows with each other. They see the whole table at once, never a part of it."""

from __future__ import annotations

import pandas as pd


def repeats_equally(table: pd.DataFrame) -> pd.Series:
    """Whether no earlier row has the same identifier and the same content; columns: identifier, content.

    The first of the copies holds. Rows without an identifier or a content are not compared.
    """
    identifier, content = _columns(table)
    known = identifier.notna() & content.notna()
    return ~(known & pd.DataFrame({"a": identifier, "b": content}).duplicated(keep="first"))


def has_one_partner(table: pd.DataFrame) -> pd.Series:
    """Whether all rows of one group name one member; columns: group, member.

    Every row of a group with two members violates it, since nobody can tell which is right. Rows without a group or a
    member are not compared: they may belong to either.
    """
    group, member = _columns(table)
    known = group.notna() & member.notna()
    pairs = pd.DataFrame({"group": group[known], "member": member[known]}).drop_duplicates()
    torn = pairs.loc[pairs["group"].duplicated(keep=False), "group"]
    return ~(known & group.isin(torn))


def _columns(table: pd.DataFrame) -> tuple[pd.Series, pd.Series]:
    return table.iloc[:, 0], table.iloc[:, 1]
