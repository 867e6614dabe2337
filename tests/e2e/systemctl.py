"""Does what `systemctl` does with the units of a folder, for machines on which systemd does not run.

    python systemctl.py ROOT start|stop|restart|enable|daemon-reload [--now] UNIT...

A service is started by its own ExecStart with its own environment files, in its working directory, drop-ins of its name's first
part included, and without a variable of whoever starts it. Users and walls around the process are systemd's alone.
"""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

Sections = dict[str, dict[str, list[str]]]
PATIENCE_S = 60.0


def read_unit(root: Path, name: str) -> Sections:
    """Return a unit's lines by section and key, its drop-ins after it."""
    units = root / "etc" / "systemd" / "system"
    files = [units / name, *sorted((units / f"{name.partition('-')[0]}-.service.d").glob("*.conf"))]
    held: Sections = {}
    for file in files:
        section = ""
        for line in file.read_text(encoding="utf-8").splitlines():
            if line.startswith("["):
                section = line.strip("[]")
            elif "=" in line:
                key, _, value = line.partition("=")
                held.setdefault(section, {}).setdefault(key, []).append(value)
    return held


def start(root: Path, name: str) -> int:
    """Start a service; one that is `oneshot` is waited for, and its exit code returned."""
    unit = read_unit(root, name)
    if name.endswith(".timer"):
        return subprocess.run(["systemd-analyze", "calendar", *unit["Timer"]["OnCalendar"]], check=False).returncode
    service = unit["Service"]
    given = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin", "OMP_NUM_THREADS": "1"}
    for file in service.get("EnvironmentFile", ()):
        given |= dict(line.split("=", 1) for line in Path(file).read_text().splitlines() if "=" in line)
    folder = service.get("WorkingDirectory", [str(root)])[-1]
    with (root / f"{name}.log").open("ab") as log:
        process = subprocess.Popen(
            shlex.split(service["ExecStart"][-1]), env=given, cwd=folder, stdout=log, stderr=log, start_new_session=True
        )
    if service.get("Type") == ["oneshot"]:
        return process.wait()
    (root / f"{name}.pid").write_text(str(process.pid))
    return 0


def stop(root: Path, name: str) -> int:
    """End a service by SIGTERM, and wait until it has ended."""
    noted = root / f"{name}.pid"
    if not noted.exists():
        return 0
    number = int(noted.read_text())
    noted.unlink()
    until = time.monotonic() + PATIENCE_S
    try:
        os.kill(number, signal.SIGTERM)
        while time.monotonic() < until:
            os.kill(number, 0)
            if "Z" in Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()[:1]:
                return 0  # ended; nobody has asked for its exit code
            time.sleep(0.05)
    except (ProcessLookupError, FileNotFoundError):
        return 0
    return 1


def main() -> int:
    """Do one command."""
    root, word, *rest = Path(sys.argv[1]), *sys.argv[2:]
    names = [name if name.endswith(".timer") else f"{name}.service" for name in rest if name != "--now"]
    actions = {"start": [start], "enable": [start], "stop": [stop], "restart": [stop, start], "daemon-reload": []}
    return max((do(root, name) for name in names for do in actions[word]), default=0)


if __name__ == "__main__":
    sys.exit(main())
