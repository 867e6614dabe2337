"""The server's first file: what it has to have done before anybody is served."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any

from osler_dashboard.command import APP
from osler_dashboard.settings import WORKSPACE_VARIABLE

LOOK = "import runpy, sys; runpy.run_path(sys.argv[1]); print({'altair', 'sklearn.covariance'} <= sys.modules.keys())"


def test_what_two_pages_would_import_at_once_is_imported_before_any_is_drawn(demo: Any) -> None:
    """A page that first imported Altair while the archive was read for the first time could not be drawn."""
    seen = {**os.environ, WORKSPACE_VARIABLE: str(demo.workspace.root)}
    done = subprocess.run([sys.executable, "-c", LOOK, str(APP)], env=seen, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["True"]
