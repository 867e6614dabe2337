"""A listener killed after it has acknowledged images: the restart archives them all."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from pydicom import dcmread
from pynetdicom import AE, build_context
from pynetdicom.association import Association

from .conftest import free_port

pytestmark = pytest.mark.slow


def listen(port: int, folder: Path, *options: str) -> subprocess.Popen[str]:
    words = ["ingest", f"listen://127.0.0.1:{port}", "--site", "a", "--workspace", str(folder / "workspace")]
    environment = {**os.environ, "OSLER_KEY_FILE": str(folder / "key"), "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        [sys.executable, "-m", "osler.cli.main", *words, "--workers", "0", "--json", *options],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def connect(port: int, process: subprocess.Popen[str], kinds: set[tuple[str, str]]) -> Association:
    entity = AE("SENDER")
    contexts = [build_context(storage, syntax) for storage, syntax in kinds]
    while True:
        assert process.poll() is None, process.communicate()
        association = entity.associate("127.0.0.1", port, contexts=contexts, ae_title="OSLER")
        if association.is_established:
            return association
        time.sleep(0.2)


def test_what_was_acknowledged_is_archived_after_a_kill(films: Path, tmp_path: Path) -> None:
    datasets = [dcmread(path) for path in sorted(films.rglob("*.dcm"))]
    port = free_port()
    process = listen(port, tmp_path)
    association = connect(port, process, {(item.SOPClassUID, item.file_meta.TransferSyntaxUID) for item in datasets})
    acknowledged = [association.send_c_store(item).get("Status") for item in datasets]
    process.send_signal(signal.SIGKILL)
    process.communicate()
    association.abort()
    assert acknowledged == [0] * len(datasets)
    out, _ = listen(port, tmp_path, "--idle", "1").communicate(timeout=400)
    answer = json.loads(out)
    archived = list((tmp_path / "workspace" / "archive").rglob("*.dcm"))
    assert (len(archived), answer["quarantined"]) == (len(datasets), 0)
    assert answer["received"] > 0
    assert not list((tmp_path / "workspace" / "spool").rglob("*.dcm"))
