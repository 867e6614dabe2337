"""How tests are shared out between processes where `--dist loadscope` asks for it, as CI does for the long ones."""

from __future__ import annotations

from typing import Any

import pytest
from xdist.scheduler import LoadScopeScheduling

BROWSERS = ("_browser.py", "test_adapt_demo.py")


class ByModule(LoadScopeScheduling):
    """Keeps the tests of a module together, for what it sets up once, and those with a browser out of each other's way."""

    def _split_scope(self, nodeid: str) -> str:
        module = nodeid.partition("::")[0]
        return "browser" if module.endswith(BROWSERS) else module


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> LoadScopeScheduling | None:
    """Return what shares the tests out."""
    return ByModule(config, log) if config.getvalue("dist") == "loadscope" else None
