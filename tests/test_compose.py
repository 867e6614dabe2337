"""The compose file and its images: closed, bounded, healthy, and without a secret of their own."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from osler.cli.main import build_parser

ROOT = Path(__file__).parents[1]
DOCKER = ROOT / "docker"
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
LASTING = [name for name in SERVICES if name != "seed"]
SECRET = re.compile(r"PASSWORD|SECRET|TOKEN|REGISTERED_USERS")
# Keys of a health check that Debian's docker-compose 1.29 knows.
HEALTH_KEYS = {"test", "interval", "timeout", "retries", "start_period"}
ENTRY = "/usr/local/lib/osler/from_files.py"


def environment(name: str) -> dict[str, str]:
    """Return what a service finds in its environment."""
    found: dict[str, str] = {}
    for file in SERVICES[name].get("env_file", []):
        lines = (ROOT / file).read_text(encoding="utf-8").splitlines()
        found |= dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))
    return found | SERVICES[name].get("environment", {})


def stages() -> dict[str, str]:
    """Return the Dockerfile's stages by name."""
    parts = re.split(r"^FROM ", (DOCKER / "Dockerfile").read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]
    return {part.split()[2]: part for part in parts}


def test_the_services_are_those_of_the_design() -> None:
    assert set(SERVICES) == {"orthanc", "postgres", "mlflow", "seed", "watch", "api", "dashboard", "edge"}


@pytest.mark.parametrize("name", LASTING)
def test_a_service_has_a_health_check_and_starts_again(name: str) -> None:
    health = SERVICES[name]["healthcheck"]
    assert {"test", "interval", "timeout", "retries"} <= set(health) <= HEALTH_KEYS
    assert health["test"][0] == "CMD"
    assert SERVICES[name]["restart"] == "unless-stopped"


def test_the_seed_runs_once_and_what_needs_it_waits() -> None:
    assert SERVICES["seed"]["restart"] == "no"
    for name in ("watch", "api", "dashboard"):
        assert SERVICES[name]["depends_on"]["seed"] == {"condition": "service_completed_successfully"}


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_may_do_next_to_nothing(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert "cap_add" not in service
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", service["user"])
    assert not service.get("privileged")
    assert not {"network_mode", "pid", "ipc", "devices"} & set(service)
    assert all("size=" in one for one in service["tmpfs"])
    assert service["cpus"] <= 2
    assert re.fullmatch(r"\d+[mg]", service["mem_limit"])
    assert service["pids_limit"] <= 512


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_is_published_on_this_machine_only(name: str) -> None:
    assert all(str(port).startswith("127.0.0.1:") for port in SERVICES[name].get("ports", []))


def test_only_the_edge_and_dimse_are_published() -> None:
    published = {name: service["ports"] for name, service in SERVICES.items() if "ports" in service}
    assert published["orthanc"] == ["127.0.0.1:4242:4242"]
    assert set(published) == {"edge", "orthanc"}
    assert {name for name, service in SERVICES.items() if "outside" in service["networks"]} == set(published)
    assert COMPOSE["networks"] == {"outside": None, "inside": {"internal": True}, "data": {"internal": True}}
    assert SERVICES["postgres"]["networks"] == ["data"]
    assert "data" not in SERVICES["edge"]["networks"]


def test_everything_at_the_edge_but_its_own_health_speaks_tls() -> None:
    sites = re.findall(r"^(https?://\S*) \{\n((?:\t.*\n|\n)*)\}", (DOCKER / "Caddyfile").read_text(), re.MULTILINE)
    ports = {int(str(port).rsplit(":", 1)[1]) for port in SERVICES["edge"]["ports"]}
    assert {int(address.rsplit(":", 1)[1]) for address, _ in sites if address.startswith("https")} == ports
    for address, body in sites:
        if address.startswith("https"):
            assert "import behind_tls" in body
        else:
            assert "bind 127.0.0.1" in body
            assert "reverse_proxy" not in body


@pytest.mark.parametrize("name", SERVICES)
def test_a_secret_is_a_file_that_the_service_was_given(name: str) -> None:
    given = {f"/run/secrets/{one}" for one in SERVICES[name].get("secrets", [])}
    named = set()
    for key, value in environment(name).items():
        if SECRET.search(key):
            assert key.endswith("_FILE"), f"{key} of {name} holds a secret itself"
        if key.endswith("_FILE"):
            assert value in given, f"{name} is not given the secret of {key}"
            named.add(value)
        assert not re.search(r"://[^/@]+:[^/@]+@", value), f"{key} of {name} holds a password in an address"
    mounted = [mount.split(":")[0] for mount in SERVICES[name].get("volumes", []) if mount.startswith("./")]
    text = "".join((ROOT / path).read_text(encoding="utf-8") for path in mounted)
    assert given == named | {one for one in given if one in text}, f"{name} is given secrets that it does not use"


@pytest.mark.parametrize("name", SERVICES)
def test_nobody_but_the_watch_has_the_keys_of_the_pseudonyms(name: str) -> None:
    assert ("keys:/keys" in SERVICES[name].get("volumes", [])) == (name == "watch")


def test_secrets_are_files_that_git_and_images_leave_out() -> None:
    assert COMPOSE["secrets"] == {name: {"file": f"secrets/{name}"} for name in COMPOSE["secrets"]}
    assert {one for service in SERVICES.values() for one in service.get("secrets", [])} == set(COMPOSE["secrets"])
    assert "/secrets/" in (ROOT / ".gitignore").read_text(encoding="utf-8").splitlines()
    assert (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()[1] == "*"
    assert "${" not in (ROOT / "docker-compose.yml").read_text(encoding="utf-8"), "nothing comes from the shell"


@pytest.mark.parametrize("name", SERVICES)
def test_an_image_is_pinned_by_its_version(name: str) -> None:
    assert re.match(r"\d+\.\d+", SERVICES[name]["image"].rpartition(":")[2])


def test_images_are_built_in_stages_and_do_not_run_as_root() -> None:
    found = stages()
    for base in (part.split()[0] for part in found.values()):
        assert base in found or re.search(r":(\d+\.\d+\.\d+|bookworm)-", base), f"{base} is not pinned"
    for name, service in SERVICES.items():
        if "build" in service:
            stage = found[service["build"]["target"]]
            assert re.findall(r"^USER (\S+)", stage, re.MULTILINE) == [service["user"]], name
            assert "pip install" not in stage, f"{name} ships what built it"


def test_files_that_services_mount_are_there_and_read_only() -> None:
    mounts = [mount for service in SERVICES.values() for mount in service.get("volumes", []) if mount.startswith("./")]
    assert len(mounts) >= 5
    assert all((ROOT / mount.split(":")[0]).is_file() and mount.endswith(":ro") for mount in mounts)


def test_anonymous_visitors_of_the_pacs_are_refused() -> None:
    settings = json.loads((DOCKER / "orthanc.json").read_text(encoding="utf-8"))
    assert settings["AuthenticationEnabled"] is True
    assert settings["RegisteredUsers"] == {"osler": "${ORTHANC_PASSWORD}"}


def test_the_dockerfile_passes_hadolint() -> None:
    command = [
        str(Path(sys.executable).with_name("hadolint")),
        "--failure-threshold",
        "style",
        str(DOCKER / "Dockerfile"),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr


def _start(secret: Path | None, **variables: str) -> subprocess.CompletedProcess[str]:
    named = {"ORTHANC_PASSWORD_FILE": str(secret)} if secret else {}
    show = [sys.executable, "-c", "import json, os; print(json.dumps(dict(os.environ)))"]
    command = [sys.executable, str(DOCKER / "from_files.py"), *show]
    given = {"PATH": os.environ["PATH"]} | named | variables
    return subprocess.run(command, env=given, capture_output=True, text=True, check=False, timeout=60)


def test_the_entry_point_reads_secrets_into_the_environment_of_the_program(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("a1b2\n")
    done = _start(secret, OSLER_DATABASE_PASSWORD_FILE="/elsewhere")
    found = json.loads(done.stdout)
    assert found["ORTHANC_PASSWORD"] == "a1b2"
    assert "ORTHANC_PASSWORD_FILE" not in found
    assert found["OSLER_DATABASE_PASSWORD_FILE"] == "/elsewhere", "Osler reads its files itself"


@pytest.mark.parametrize("content", [None, b"", b" \n", "pä".encode("latin-1")])
def test_no_program_starts_without_its_secret(tmp_path: Path, content: bytes | None) -> None:
    secret = tmp_path / "secret"
    if content is not None:
        secret.write_bytes(content)
    done = _start(secret)
    assert done.returncode == 1
    assert done.stdout == ""
    assert "ORTHANC_PASSWORD_FILE" in done.stderr
    assert "Traceback" not in done.stderr


def _documented() -> list[str]:
    text = (ROOT / "docs" / "containers.md").read_text(encoding="utf-8").replace("\\\n", " ")
    return re.findall(r"^docker-compose .*", text, re.MULTILINE)


@pytest.mark.parametrize("line", _documented())
def test_a_documented_command_names_a_service_and_an_action_that_exist(line: str) -> None:
    words = shlex.split(line.partition(" > ")[0])
    assert words[1] in {"build", "exec", "restart", "run", "stop", "up"}
    if words[1] in ("exec", "run"):
        service = next(number for number, word in enumerate(words) if word in SERVICES)
        asked = words[service + 1 :]
        if asked[0] == "osler":
            build_parser(asked[1:])[0].parse_args(asked[1:])
        else:
            assert asked[0] in ("pg_dump", "-C")
    elif words[1] in ("restart", "stop"):
        assert set(words[2:]) <= set(SERVICES)


@pytest.mark.system
def test_docker_compose_reads_it(tmp_path: Path) -> None:
    command = ["docker-compose", "--project-directory", str(ROOT), "--file", str(ROOT / "docker-compose.yml"), "config"]
    given = {"PATH": os.environ["PATH"], "HOME": str(tmp_path)}
    done = subprocess.run(command, env=given, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    assert done.stderr == "", "a warning"
    read = yaml.safe_load(done.stdout)["services"]
    assert set(read) == set(SERVICES)
    for name in SERVICES:
        assert read[name].get("environment", {}) == environment(name)
        assert read[name]["read_only"] is True
        assert read[name]["entrypoint"][1] == ENTRY if "entrypoint" in read[name] else name in ("postgres", "edge")
