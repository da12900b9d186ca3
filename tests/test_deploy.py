"""Images, compose file and manifests: valid, without root, and true to what the project has."""

import json
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from yamllint import linter
from yamllint.config import YamlLintConfig

from app.main import create_app
from app.settings import Settings, load_settings

ROOT = Path(__file__).resolve().parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
IMAGES = ["Dockerfile.cpu", "Dockerfile.cuda"]
YAML = ["docker/compose.yaml", "docker/prometheus.yml", "deploy/signbind.yaml"]
LINT = "{extends: default, rules: {line-length: {max: 120}, document-start: disable, braces: {max-spaces-inside: 1}}}"
PUBLIC_HOSTS = {"download.pytorch.org", "127.0.0.1"}
Part = dict[str, Any]


@pytest.fixture(scope="module")
def paths() -> set[str]:
    return {getattr(route, "path", "") for route in _routes(create_app(Settings(checkpoint="random:0")).routes)}


def _routes(routes: list[object]) -> list[object]:
    found = []
    for route in routes:
        inner = getattr(getattr(route, "original_router", None), "routes", None)
        found.extend(_routes(inner) if inner else [route])
    return found


@pytest.fixture(scope="module")
def deployment() -> Part:
    return dict(next(yaml.safe_load_all((ROOT / "deploy" / "signbind.yaml").read_text())))


@pytest.fixture(scope="module")
def pod(deployment: Part) -> Part:
    return dict(deployment["spec"]["template"]["spec"])


@pytest.fixture(scope="module")
def compose() -> Part:
    return dict(yaml.safe_load((ROOT / "docker" / "compose.yaml").read_text()))


def instructions(name: str) -> list[tuple[str, str]]:
    """(instruction, arguments) of an image's file, its continued lines joined."""
    text = re.sub(r"\\\n\s*", "", (ROOT / "docker" / name).read_text())
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    return [(line.split(maxsplit=1)[0], line.split(maxsplit=1)[1]) for line in lines]


@pytest.mark.parametrize("name", YAML)
def test_yaml_is_clean(name: str) -> None:
    problems = list(linter.run((ROOT / name).read_text(), YamlLintConfig(LINT)))
    assert not problems, [f"{name}:{problem.line}: {problem.message}" for problem in problems]


@pytest.mark.parametrize("name", IMAGES)
def test_images_copy_what_is_there_and_what_the_package_names(name: str) -> None:
    copied = [one for kind, arguments in instructions(name) if kind == "COPY" for one in arguments.split()[:-1]]
    for source in copied:
        assert (ROOT / source).exists(), source
    assert {PROJECT["readme"], *PROJECT["license-files"], "app", "models"} <= set(copied)


@pytest.mark.parametrize("extra", ["core", "fast", "train", "dev"])
def test_the_lock_holds_what_the_package_requires(extra: str) -> None:
    pinned = [line.split("==") for line in (ROOT / "requirements.lock").read_text().splitlines() if "==" in line]
    locked = {canonicalize_name(name): version for name, version in pinned}
    for said in PROJECT["dependencies"] if extra == "core" else PROJECT["optional-dependencies"][extra]:
        wanted = Requirement(said)
        assert wanted.specifier.contains(locked[canonicalize_name(wanted.name)]), said


@pytest.mark.parametrize("name", IMAGES)
def test_images_know_their_instructions_and_pin_their_base(name: str) -> None:
    found = instructions(name)
    known = {"FROM", "ENV", "WORKDIR", "COPY", "RUN", "USER", "EXPOSE", "HEALTHCHECK", "ENTRYPOINT", "CMD"}
    assert {instruction for instruction, _ in found} == known
    assert re.fullmatch(r"[\w./-]+:[\w.-]*\d[\w.-]*", dict(found)["FROM"]), "a base image needs a version"
    for host in re.findall(r"https?://([\w.-]+)", " ".join(arguments for _, arguments in found)):
        assert host in PUBLIC_HOSTS, f"{host} is no public source"


@pytest.mark.parametrize("name", IMAGES)
def test_images_run_the_server_without_root(name: str, paths: set[str], pod: Part) -> None:
    found = dict(instructions(name))
    assert int(found["USER"]) == pod["securityContext"]["runAsUser"] > 0
    assert json.loads(found["ENTRYPOINT"]) == ["signbind"]
    command = json.loads(found["CMD"])
    assert command == ["serve", "--host", "0.0.0.0", "--port", found["EXPOSE"]]
    health = re.search(r"http://127\.0\.0\.1:(\d+)(/\w+)", found["HEALTHCHECK"])
    assert health is not None and health[1] == found["EXPOSE"] and health[2] in paths


def test_the_image_without_cuda_takes_torch_from_its_own_index() -> None:
    lock = (ROOT / "requirements.lock").read_text()
    assert re.search(r"^torch==[\d.]+$", lock, re.M), "a local version such as +cpu is on no other index"
    assert "download.pytorch.org/whl/cpu" in (ROOT / "docker" / "Dockerfile.cpu").read_text()
    assert "index-url" not in (ROOT / "docker" / "Dockerfile.cuda").read_text()


@pytest.mark.parametrize("name", IMAGES)
def test_the_environment_of_images_and_pods_holds_settings(name: str, pod: Part) -> None:
    said = " ".join(arguments for instruction, arguments in instructions(name) if instruction == "ENV")
    words = dict(pair.split("=", 1) for pair in said.split())
    load_settings({key: value for key, value in words.items() if key.startswith("SIGNBIND_")})
    named = {one["name"]: one.get("value", "a-secret-of-16-characters") for one in pod["containers"][0]["env"]}
    load_settings(named)
    assert pod["enableServiceLinks"] is False, "a Service named signbind would set SIGNBIND_PORT=tcp://..."


def test_the_build_leaves_out_what_is_large_or_private() -> None:
    ignored = (ROOT / ".dockerignore").read_text().split()
    assert {".git", ".venv", "runs", "tests"} <= set(ignored)


def test_probes_ask_for_routes_that_exist(pod: Part, paths: set[str]) -> None:
    container = pod["containers"][0]
    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
        assert container[probe]["httpGet"]["path"] in paths
        assert container[probe]["httpGet"]["port"] == container["ports"][0]["name"]
    assert container["livenessProbe"]["httpGet"]["path"] == "/healthz", "a full server lives"
    assert set(container["resources"]) == {"requests", "limits"}


def test_the_pod_is_locked_down_and_can_write_where_it_must(pod: Part) -> None:
    container = pod["containers"][0]
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert container["securityContext"]["readOnlyRootFilesystem"] is True
    mounts = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}
    assert set(mounts) == {volume["name"] for volume in pod["volumes"]}
    environment = dict(instructions("Dockerfile.cpu"))["ENV"]
    assert "/tmp" in mounts.values() and "HOME=/tmp" in environment and "NUMBA_CACHE_DIR=/tmp" in environment


def test_service_leads_to_the_container(deployment: Part, pod: Part) -> None:
    _, service = yaml.safe_load_all((ROOT / "deploy" / "signbind.yaml").read_text())
    assert service["spec"]["selector"] == deployment["spec"]["template"]["metadata"]["labels"]
    assert service["spec"]["selector"] == deployment["spec"]["selector"]["matchLabels"]
    assert service["spec"]["ports"][0]["targetPort"] == pod["containers"][0]["ports"][0]["name"]


def test_the_scrape_annotations_are_true(deployment: Part, pod: Part, paths: set[str]) -> None:
    said = deployment["spec"]["template"]["metadata"]["annotations"]
    assert said["prometheus.io/path"] in paths
    assert int(said["prometheus.io/port"]) == pod["containers"][0]["ports"][0]["containerPort"]


def test_compose_builds_and_mounts_what_is_there(compose: Part) -> None:
    folder = ROOT / "docker"
    build = compose["services"]["signbind"]["build"]
    assert (folder / build["context"] / build["dockerfile"]).is_file()
    for service in compose["services"].values():
        for volume in service.get("volumes", []):
            source = volume.split(":")[0]
            assert source in compose["volumes"] or (folder / source).is_file(), volume
        for port in service["ports"]:
            assert port.startswith("127.0.0.1:"), "without keys, only this machine may use it"
        for other, how in service.get("depends_on", {}).items():
            assert other in compose["services"] and how["condition"] == "service_healthy"


def test_prometheus_scrapes_the_service(compose: Part, paths: set[str]) -> None:
    scrape = yaml.safe_load((ROOT / "docker" / "prometheus.yml").read_text())["scrape_configs"][0]
    host, port = scrape["static_configs"][0]["targets"][0].split(":")
    assert host in compose["services"]
    assert port == compose["services"][host]["ports"][0].split(":")[-1]
    assert scrape["metrics_path"] in paths
