"""The compose file: healthy, closed to the outside, and without a password of its own."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[1]
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
EXAMPLE = (ROOT / "docker.env.example").read_text(encoding="utf-8")
SECRET = re.compile(r"PASSWORD|SECRET|TOKEN|REGISTERED_USERS")
# Keys of a health check that Debian's docker-compose 1.29 knows.
HEALTH_KEYS = {"test", "interval", "timeout", "retries", "start_period"}


def _variables() -> set[str]:
    return set(re.findall(r"^([A-Z_]+)=", EXAMPLE, flags=re.MULTILINE))


def _config(tmp_path: Path, lines: str) -> subprocess.CompletedProcess[str]:
    variables = tmp_path / "variables"
    variables.write_text(lines, encoding="utf-8")
    command = ["docker-compose", "--env-file", str(variables), "--project-directory", str(ROOT)]
    command += ["--file", str(ROOT / "docker-compose.yml"), "config"]
    environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path)}
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=120)


def test_the_services_are_those_of_the_design() -> None:
    assert set(SERVICES) == {"orthanc", "postgres", "mlflow", "dashboard"}
    assert SERVICES["orthanc"]["environment"]["DICOM_WEB_PLUGIN_ENABLED"] == "true"


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_has_a_health_check(name: str) -> None:
    health = SERVICES[name]["healthcheck"]
    assert {"test", "interval", "timeout", "retries"} <= set(health) <= HEALTH_KEYS
    assert health["test"][0] == "CMD"


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_is_published_on_this_machine_only(name: str) -> None:
    assert all(str(port).startswith("127.0.0.1:") for port in SERVICES[name].get("ports", []))
    assert SERVICES[name].get("network_mode") != "host"
    assert not SERVICES[name].get("privileged")


def test_the_data_base_is_not_published_at_all() -> None:
    assert "ports" not in SERVICES["postgres"]
    assert SERVICES["postgres"]["networks"] == ["back"]
    assert COMPOSE["networks"]["back"]["internal"] is True


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_has_no_password_but_a_required_variable(name: str) -> None:
    for key, value in SERVICES[name]["environment"].items():
        if SECRET.search(key):
            assert re.search(r"\$\{[A-Z_]+:\?[^}]+\}", value), f"{key} of {name} has a value of its own"
        assert not re.search(r"://[^/@]+:[^/@]+@", value), f"{key} of {name} holds a password in an address"
    assert not re.search(r"\$\{[A-Z_]+:?-", str(SERVICES[name])), f"{name} falls back to a default"


@pytest.mark.parametrize("name", SERVICES)
def test_an_image_is_pinned_by_its_version(name: str) -> None:
    tag = SERVICES[name]["image"].rpartition(":")[2]
    assert re.match(r"\d+\.\d+", tag)


def test_images_that_are_built_are_pinned_and_do_not_run_as_root() -> None:
    dockerfile = (ROOT / "docker" / "Dockerfile").read_text(encoding="utf-8")
    assert re.findall(r"^FROM (\S+)", dockerfile, flags=re.MULTILINE)[0].startswith("python:3.11.")
    stages = re.split(r"^FROM ", dockerfile, flags=re.MULTILINE)[1:]
    built = {service["build"]["target"] for service in SERVICES.values() if "build" in service}
    for target in built:
        stage = next(stage for stage in stages if re.match(rf"\S+ AS {target}\s", stage))
        assert "\nUSER osler\n" in stage


def test_every_variable_is_documented_and_none_is_set() -> None:
    text = (ROOT / "docker-compose.yml").read_text(encoding="utf-8")
    assert set(re.findall(r"\$\{([A-Z_]+)", text)) == _variables()
    assert re.findall(r"^[A-Z_]+=(.+)$", EXAMPLE, flags=re.MULTILINE) == []
    assert ".env" in (ROOT / ".gitignore").read_text(encoding="utf-8").splitlines()


def test_files_that_services_mount_are_there() -> None:
    mounts = [mount for service in SERVICES.values() for mount in service.get("volumes", []) if mount.startswith("./")]
    assert mounts
    assert all((ROOT / mount.split(":")[0]).is_file() for mount in mounts)


@pytest.mark.system
def test_docker_compose_reads_it(tmp_path: Path) -> None:
    done = _config(tmp_path, "".join(f"{name}=a1b2c3\n" for name in _variables()))
    assert done.returncode == 0, done.stderr
    read = yaml.safe_load(done.stdout)["services"]
    assert set(read) == set(SERVICES)
    assert read["orthanc"]["environment"]["ORTHANC__REGISTERED_USERS"] == '{"osler": "a1b2c3"}'


@pytest.mark.system
@pytest.mark.parametrize("absent", sorted(_variables()))
def test_docker_compose_refuses_a_missing_password(tmp_path: Path, absent: str) -> None:
    done = _config(tmp_path, "".join(f"{name}=a1b2c3\n" for name in _variables() if name != absent) + f"{absent}=\n")
    assert done.returncode != 0
    assert f"set {absent} in .env" in done.stderr
