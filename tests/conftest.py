"""How tests are shared out between processes, as CI does for the long ones, and how a run names those it left out."""

from __future__ import annotations

from typing import Any

import pytest
from xdist.scheduler import LoadScopeScheduling

BROWSERS = ("_browser.py", "test_adapt_demo.py")
LEFT_OUT = pytest.StashKey[list[str]]()


class ByModule(LoadScopeScheduling):
    """Keeps the tests of a module together, for what it sets up once, and those with a browser out of each other's way."""

    def _split_scope(self, nodeid: str) -> str:
        module = nodeid.partition("::")[0]
        return "browser" if module.endswith(BROWSERS) else module


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> LoadScopeScheduling | None:
    """Return what shares the tests out."""
    return ByModule(config, log) if config.getvalue("dist") == "loadscope" else None


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add `--name-left-out`."""
    parser.addoption("--name-left-out", action="store_true", help="name the tests that `-m` or `-k` left out")


def pytest_deselected(items: list[pytest.Item]) -> None:
    """Remember what is left out; a process of several tells the one that leads them."""
    for item in items:
        config, name = item.config, item.nodeid
        config.stash.setdefault(LEFT_OUT, []).append(name)
        if hasattr(config, "workeroutput"):
            config.workeroutput["left_out"] = config.stash[LEFT_OUT]


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any, error: object) -> None:
    """Hear what a process left out; all leave out the same."""
    node.config.stash[LEFT_OUT] = getattr(node, "workeroutput", {}).get("left_out", [])


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Name what was left out."""
    names = config.stash.get(LEFT_OUT, [])
    if names and config.getoption("name_left_out"):
        terminalreporter.section(
            f"{len(names)} left out by '{config.getoption('markexpr') or config.getoption('keyword')}'"
        )
        terminalreporter.write_line("\n".join(names))
