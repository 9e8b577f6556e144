"""docker-compose.yml: valid by the specification, pinned, unprivileged, and runnable by our own CLI."""

import importlib.resources
import json
import re
from pathlib import Path
from typing import Any

import click
import jsonschema
import pytest
import yaml

from llmtrace_cli.config import load
from llmtrace_cli.main import cli

ROOT = Path(__file__).parents[2]
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = {name: service for name, service in SERVICES.items() if "build" in service}

every_service = pytest.mark.parametrize("name", SERVICES)
every_own_service = pytest.mark.parametrize("name", OURS)


def test_valid_by_the_compose_specification() -> None:
    vendored = importlib.resources.files("check_jsonschema") / "builtin_schemas/vendor/compose-spec.json"
    schema = json.loads(vendored.read_text(encoding="utf-8"))
    validator = jsonschema.validators.validator_for(schema)
    validator.check_schema(schema)
    problems = [f"{error.json_path}: {error.message}" for error in validator(schema).iter_errors(COMPOSE)]
    assert problems == []

    broken = {**COMPOSE, "services": {"collector": {"imagee": "x"}}}
    assert list(validator(schema).iter_errors(broken)), "the schema must be one that notices"


def test_every_service_of_the_stack_is_there() -> None:
    assert set(SERVICES) == {
        "clickhouse", "collector", "watch", "dashboard", "mlflow", "inference", "prometheus",
    }  # fmt: skip


@every_service
def test_images_are_pinned(name: str) -> None:
    tag, _, digest = SERVICES[name]["image"].partition(":")[2].partition("@")
    assert re.fullmatch(r"v?\d+\.\d+(\.\d+)*", tag), SERVICES[name]["image"]
    if name in OURS:
        arguments = SERVICES[name]["build"]["args"]
        digest = arguments["PYTHON_IMAGE"].partition("@")[2]
    # A tag can be moved to another image; a digest cannot.
    variable = re.fullmatch(r"\$\{([A-Z]+_DIGEST):\?run scripts/pin-images\}", digest)
    assert variable is not None, digest
    assert f"\n{variable[1]}=\n" in (ROOT / "docker" / "env.example").read_text(encoding="utf-8")


@every_service
def test_every_service_has_a_health_check(name: str) -> None:
    check = SERVICES[name]["healthcheck"]
    assert check["test"][0] == "CMD"
    assert {"interval", "timeout", "retries", "start_period"} <= set(check)


@every_service
def test_no_service_runs_as_root_or_may_become_it(name: str) -> None:
    service = SERVICES[name]
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", service["user"])
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]


@every_service
def test_no_service_writes_but_to_its_volumes_and_to_memory(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"] is True
    assert any(mount.startswith("/tmp:") for mount in service["tmpfs"])
    assert all("size=" in mount for mount in service["tmpfs"])


@every_service
def test_no_service_takes_more_of_the_machine_than_its_share(name: str) -> None:
    limits = SERVICES[name]["deploy"]["resources"]["limits"]
    assert {"cpus", "memory", "pids"} == set(limits)


@every_service
def test_secrets_come_from_the_environment_and_must_be_set(name: str) -> None:
    documented = (ROOT / "docker" / "env.example").read_text(encoding="utf-8")
    for variable, value in SERVICES[name].get("environment", {}).items():
        if re.search(r"PASSWORD|_KEYS?$|STORE", variable):
            used = re.findall(r"\$\{(\w+):\?[^}]+\}", value)
            assert used, f"{variable} must come from the environment and be demanded"
            assert all(f"\n{secret}=\n" in documented for secret in used)


@every_service
def test_ports_are_published_on_loopback_only(name: str) -> None:
    assert all(port.startswith("127.0.0.1:") for port in SERVICES[name].get("ports", []))


@every_service
def test_what_is_referred_to_exists(name: str) -> None:
    service = SERVICES[name]
    for volume in service.get("volumes", []):
        source = volume.partition(":")[0]
        assert (ROOT / source).is_file() if source.startswith(".") else source in COMPOSE["volumes"], source
    assert set(service["networks"]) <= set(COMPOSE["networks"])
    for other, how in service.get("depends_on", {}).items():
        assert "healthcheck" in SERVICES[other]
        assert how["condition"] == "service_healthy"


def test_only_the_collector_reaches_the_store() -> None:
    assert COMPOSE["networks"]["store"]["internal"] is True
    assert {name for name, service in SERVICES.items() if "store" in service["networks"]} == {
        "clickhouse",
        "collector",
    }


@every_own_service
def test_the_command_is_one_of_our_command_line(name: str) -> None:
    command_name, *arguments = OURS[name]["command"]
    command = cli.commands[command_name]
    with click.Context(cli, **cli.context_settings) as parent:
        # Raises for what it does not know.
        context = command.make_context(command_name, arguments, parent=parent)
    assert context.args == []
    assert context.params.keys() == {param.name for param in command.params}


@every_own_service
def test_the_environment_makes_settings_that_are_accepted(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Names, types and the rule that an address others can reach demands keys."""
    for variable, value in OURS[name]["environment"].items():
        filled = value.replace("${LLMTRACE_OIDC_ISSUER:?", "https://id.example.com/${LLMTRACE_OIDC_ISSUER:?")
        filled = re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", filled)
        monkeypatch.setenv(variable, re.sub(r"\$\{\w+:\?[^}]+\}", "0123456789abcdef", filled))
    table = getattr(load.load(Path("/dev/null")), name)
    checked = {"watch": "health_host"}.get(name, "host")
    assert getattr(table, checked) == "0.0.0.0"
    health = OURS[name]["healthcheck"]["test"][-1]
    port = getattr(table, {"watch": "health_port"}.get(name, "port"))
    assert f":{port}/" in health


def test_prometheus_scrapes_what_the_services_serve() -> None:
    scrape = yaml.safe_load((ROOT / "docker" / "prometheus.yml").read_text(encoding="utf-8"))
    targets = [
        t for job in scrape["scrape_configs"] for group in job["static_configs"] for t in group["targets"]
    ]
    for target in targets:
        service, port = target.split(":")
        assert f":{port}/" in SERVICES[service]["healthcheck"]["test"][-1]
        assert set(SERVICES[service]["networks"]) & set(SERVICES["prometheus"]["networks"])


def test_prometheus_has_the_keys_of_what_it_scrapes() -> None:
    scrape = yaml.safe_load((ROOT / "docker" / "prometheus.yml").read_text(encoding="utf-8"))
    files = {
        job["job_name"]: job["authorization"]["credentials_file"]
        for job in scrape["scrape_configs"]
        if "authorization" in job
    }
    assert files.keys() == {"collector", "inference"}
    (command,) = SERVICES["prometheus"]["command"]
    for job, name in (("collector", "READ_KEY"), ("inference", "INFERENCE_KEY")):
        assert f'printf %s "$${name}" > {files[job]}' in command
        assert SERVICES["prometheus"]["environment"][name].startswith(f"${{LLMTRACE_{name}:?")


def test_the_image_is_built_from_the_lock_file_and_runs_as_the_compose_user() -> None:
    dockerfile = (ROOT / "docker" / "Dockerfile").read_text(encoding="utf-8")
    assert "--require-hashes --no-deps -r image.txt" in dockerfile
    assert re.search(r"python:\d+\.\d+\.\d+-slim-\w+", dockerfile)
    (user,) = {service["user"] for service in OURS.values()}
    assert f"\nUSER {user}\n" in dockerfile
    for source in re.findall(r"^COPY ([^-].*?) \S+$", dockerfile, flags=re.MULTILINE):
        for path in source.split():
            assert (ROOT / path).exists(), path
            assert f"!{path}\n" in (ROOT / ".dockerignore").read_text(encoding="utf-8")
    for service in OURS.values():
        assert (ROOT / service["build"]["dockerfile"]).is_file()
