"""The deployment files hold together. Whether the image runs is for `make image-test`, which needs an engine."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tomllib
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
import yaml
from packaging.requirements import Requirement
from sqlalchemy import make_url

from monitoring.settings import RetentionSettings

ROOT = Path(__file__).parents[2]
STORE_SECRETS = ("PREDICTIONS_PASSWORD", "MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD")
DOCKERFILES = [ROOT / "Dockerfile", *sorted((ROOT / "deploy").glob("*.Dockerfile"))]


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((ROOT / "deploy" / "compose.yaml").read_text(encoding="utf-8"))
    return loaded


@pytest.mark.parametrize("dockerfile", DOCKERFILES, ids=lambda path: path.name)
def test_hadolint_has_nothing_to_say(dockerfile: Path) -> None:
    hadolint = Path(sys.executable).with_name("hadolint")
    run = subprocess.run([hadolint, dockerfile], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout + run.stderr


@pytest.mark.parametrize("dockerfile", DOCKERFILES)
def test_what_is_copied_is_there_and_not_ignored(dockerfile: Path) -> None:
    allowed = {
        line[1:]
        for line in (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
        if line[:1] == "!"
    }
    text = dockerfile.read_text(encoding="utf-8").replace("${REQUIREMENTS}", "service")
    copied = re.findall(r"^COPY (?!--from)(.+) \S+$", text, flags=re.MULTILINE)
    sources = [source for line in copied for source in line.split()]
    assert sources
    for source in sources:
        assert (ROOT / source).exists(), f"{dockerfile.name} copies {source}"
        assert any(Path(source).match(pattern) for pattern in allowed), (
            f"{source} is not let in by .dockerignore"
        )


@pytest.mark.parametrize("dockerfile", DOCKERFILES, ids=lambda path: path.name)
def test_images_run_as_a_numbered_user_who_is_not_root(dockerfile: Path) -> None:
    users = re.findall(r"^USER (\S+)$", dockerfile.read_text(encoding="utf-8"), flags=re.MULTILINE)
    assert users[-1:] == ["10001:10001"]


def test_the_image_has_every_folder_the_service_imports() -> None:
    text = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    rooms = {"classifier", "stores", "service"}
    imported = {
        match
        for room in rooms
        for path in (ROOT / room).rglob("*.py")
        for match in re.findall(
            r"^\s*(?:from|import) (classifier|stores|service|training|monitoring|load)\b",
            path.read_text(encoding="utf-8"),
            flags=re.MULTILINE,
        )
    }
    assert imported <= rooms
    assert all(f"COPY {room} {room}" in text for room in rooms)


def test_the_image_lock_has_hashes_and_no_torch() -> None:
    lock = (ROOT / "requirements" / "service.lock").read_text(encoding="utf-8")
    packages = re.findall(r"^([a-z0-9._-]+)==", lock, flags=re.MULTILINE)
    assert "bentoml" in packages
    assert not {"torch", "transformers", "pandas"} & set(packages)
    assert len(re.split(r"^(?=[a-z0-9])", lock, flags=re.MULTILINE)[1:]) == len(packages)
    assert all(
        "--hash=sha256:" in entry for entry in re.split(r"^(?=[a-z0-9])", lock, flags=re.MULTILINE)[1:]
    )


@pytest.mark.parametrize("room", ["service", "monitoring"])
def test_the_locks_of_the_images_hold_what_pyproject_asks_for(room: str) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    assert "champion[core]" in extras[room]
    asked = [*project["dependencies"], *extras["core"], *extras[room]]
    asked.remove("champion[core]")
    locked = (ROOT / "requirements" / f"{room}.lock").read_text(encoding="utf-8")

    def bare(requirement: str) -> str:
        return re.sub(r"\[.*\]", "", requirement).partition(";")[0]

    missing = [name for name in asked if f"\n{bare(name)}" not in f"\n{locked}"]
    assert not missing, f"run make lock: requirements/{room}.lock lacks {missing}"


def test_compose_hardens_services_and_opens_no_public_port(compose: dict[str, Any]) -> None:
    services = compose["services"]
    assert set(services) == {"postgres", "mlflow", "service", "front", "monitoring", "prune"}
    for name in ("mlflow", "service", "front", "monitoring", "prune"):
        assert services[name]["read_only"] is True
        assert services[name]["cap_drop"] == ["ALL"]
        if name == "front":
            continue
        dockerfile = services[name]["build"].get("dockerfile", "Dockerfile")
        assert (ROOT / dockerfile).is_file()
    for service in services.values():
        assert all(str(port).startswith("127.0.0.1:") for port in service.get("ports", []))
        named = {volume.split(":")[0] for volume in service.get("volumes", []) if not volume.startswith(".")}
        assert named <= set(compose["volumes"])
        assert set(service.get("depends_on", {})) <= set(services)


def test_compose_holds_no_password(compose: dict[str, Any]) -> None:
    text = (ROOT / "deploy" / "compose.yaml").read_text(encoding="utf-8")
    assert not re.search(r"(?i)(password|key|keys): +[^$\s]", text)
    given = {
        f"{name}.{variable}": str(value)
        for name, service in compose["services"].items()
        for variable, value in service.get("environment", {}).items()
    }
    secret = {place for place, value in given.items() if "PASSWORD" in value}
    assert {place.rpartition(".")[2] for place in secret} == {
        "POSTGRES_PASSWORD",
        "PREDICTIONS_PASSWORD",
        "MLFLOW_TRACKING_PASSWORD",
        "MLFLOW_AUTH_ADMIN_PASSWORD",
    }
    for place in secret:
        assert re.fullmatch(r"\$\{\w+:\?[^}]+\}", given[place]), f"{place} is more than the variable"
    assert not [
        part
        for service in compose["services"].values()
        for part in service.get("command", ())
        if "PASSWORD" in part
    ]


def test_registry_and_store_clients_have_credentials(compose: dict[str, Any]) -> None:
    for name in ("service", "monitoring", "prune"):
        environment = compose["services"][name]["environment"]
        assert (
            environment["PREDICTIONS_PASSWORD"]
            == compose["services"]["postgres"]["environment"]["POSTGRES_PASSWORD"]
        )
        server = compose["services"]["mlflow"]["environment"]
        assert environment["MLFLOW_TRACKING_USERNAME"] == server["MLFLOW_AUTH_ADMIN_USERNAME"]
        assert environment["MLFLOW_TRACKING_PASSWORD"] == server["MLFLOW_AUTH_ADMIN_PASSWORD"]
        assert make_url(environment["PREDICTIONS_URL"]).password is None
    header = (ROOT / "deploy" / "cronjob.yaml").read_text(encoding="utf-8").partition("apiVersion")[0]
    for variable in (*STORE_SECRETS, "MLFLOW_TRACKING_URI", "PREDICTIONS_URL"):
        assert f"--from-literal={variable}=" in header


def test_the_service_can_be_scaled_behind_one_address(compose: dict[str, Any]) -> None:
    services = compose["services"]
    assert not {"ports", "container_name", "hostname"} & services["service"].keys()
    (port,) = services["front"]["ports"]
    proxy = (ROOT / "deploy" / "haproxy.cfg").read_text(encoding="utf-8")
    assert f"bind :{port.rpartition(':')[2]}" in proxy
    addresses = re.findall(r"^    server-template \w+ \d+ (\S+)$", proxy, flags=re.MULTILINE)
    assert addresses == ["service:3000", "service:3000"]
    assert services["service"]["expose"] == ["3000"]
    assert "./haproxy.cfg:/usr/local/etc/haproxy/haproxy.cfg:ro" in services["front"]["volumes"]
    if haproxy := shutil.which("haproxy"):
        subprocess.run(
            [haproxy, "-c", "-f", ROOT / "deploy" / "haproxy.cfg"], check=True, capture_output=True
        )


def test_pruning_has_every_setting_of_retention(compose: dict[str, Any]) -> None:
    prune = compose["services"]["prune"]
    assert {name.upper() for name in RetentionSettings.__annotations__ if name != "model_config"} <= prune[
        "environment"
    ].keys()
    assert "python -m monitoring prune" in prune["command"][-1]
    assert "sleep 86400" in prune["command"][-1]
    assert prune["volumes"] == compose["services"]["monitoring"]["volumes"]
    assert prune["build"] == compose["services"]["monitoring"]["build"]


def test_the_mlflow_image_has_what_its_command_needs() -> None:
    lock = (ROOT / "requirements" / "mlflow.lock").read_text(encoding="utf-8")
    locked = dict(re.findall(r"^([a-z0-9._-]+)==([^ ;]+)", lock, flags=re.MULTILINE))
    needed = {Requirement(entry) for entry in metadata.requires("mlflow") or ()}
    authentication = [
        each
        for each in needed
        if each.marker and each.marker.evaluate({"extra": "auth"}) and not each.marker.evaluate()
    ]
    assert authentication
    for each in authentication:
        assert each.specifier.contains(locked[each.name.lower()])
    assert {"boto3", "psycopg", "psycopg-binary"} <= locked.keys()
    all_lock = (ROOT / "requirements" / "all.lock").read_text(encoding="utf-8")
    assert f"\nmlflow=={locked['mlflow']} " in all_lock, "server and clients are of one release"
    assert len(re.findall(r"^[a-z0-9._-]+==", lock, flags=re.MULTILINE)) <= lock.count("--hash=sha256:")


def test_the_cronjob_checks_once_without_root_or_retries() -> None:
    parts = list(yaml.safe_load_all((ROOT / "deploy" / "cronjob.yaml").read_text(encoding="utf-8")))
    claim, job, _ = parts
    assert [part["kind"] for part in parts] == ["PersistentVolumeClaim", "CronJob", "CronJob"]
    spec = job["spec"]["jobTemplate"]["spec"]
    pod = spec["template"]["spec"]
    (container,) = pod["containers"]
    assert job["spec"]["concurrencyPolicy"] == "Forbid"
    (rule,) = spec["podFailurePolicy"]["rules"]
    assert (rule["action"], rule["onExitCodes"]["values"]) == ("FailJob", [1])
    assert rule["onExitCodes"]["containerName"] == container["name"]
    assert pod["restartPolicy"] == "Never", "a failure policy asks for it"
    dockerfile = (ROOT / "deploy" / "monitoring.Dockerfile").read_text(encoding="utf-8")
    assert f"USER {pod['securityContext']['runAsUser']}:" in dockerfile
    assert container["securityContext"]["readOnlyRootFilesystem"] is True
    mounts = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}
    assert f"VAR_DIR={mounts['var']}" in dockerfile
    assert pod["volumes"][0]["persistentVolumeClaim"]["claimName"] == claim["metadata"]["name"]
    # The command is one that the program takes.
    python, *arguments = container["args"]
    assert python == "python"
    run = subprocess.run([sys.executable, *arguments, "--help"], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr


def test_the_job_that_prunes_runs_as_the_check_does() -> None:
    _, check, prune = yaml.safe_load_all((ROOT / "deploy" / "cronjob.yaml").read_text(encoding="utf-8"))
    assert prune["spec"]["concurrencyPolicy"] == "Forbid"
    pods = [job["spec"]["jobTemplate"]["spec"]["template"]["spec"] for job in (check, prune)]
    assert pods[0]["securityContext"] == pods[1]["securityContext"]
    (checking,), (pruning,) = (pod["containers"] for pod in pods)
    assert checking["securityContext"] == pruning["securityContext"]
    assert checking["envFrom"][0] == pruning["envFrom"][0] == {"secretRef": {"name": "champion-stores"}}
    assert pruning["args"] == ["python", "-m", "monitoring", "prune"]
    assert [pod["volumes"] for pod in pods[1:]] == [pods[0]["volumes"]]
    assert pruning["volumeMounts"] == checking["volumeMounts"]
    minute, hour, *days = prune["spec"]["schedule"].split()
    assert minute.isdigit()
    assert hour.isdigit()
    assert days == ["*", "*", "*"], "once a day"


def test_the_image_script_explains_itself() -> None:
    run = subprocess.run([ROOT / "deploy" / "image"], capture_output=True, text=True, check=False)
    assert run.returncode == 2
    for word in (
        "deploy/image build",
        "deploy/image test",
        "deploy/image audit",
        "BASE_IMAGE",
        "CA_FILE",
        "BUNDLE",
        "AUDIT",
    ):
        assert word in run.stdout
