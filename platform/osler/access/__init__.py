"""Who may do what: roles with their actions, accounts, log-in and sessions."""

from osler.access.roles import ACTIONS, Action, Person, Role, require_action

__all__ = ["ACTIONS", "Action", "Person", "Role", "require_action"]
