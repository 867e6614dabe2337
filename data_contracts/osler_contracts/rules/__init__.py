"""The rules of DICOM that a contract can ask for, as plain functions over text, and the names that contracts use."""

from osler_contracts.rules.apply import apply
from osler_contracts.rules.registry import RULES, Rule, Scope

__all__ = ["RULES", "Rule", "Scope", "apply"]
