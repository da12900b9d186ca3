"""Manifests and images name what the project has: paths of probes, ports, files that are copied."""

from pathlib import Path

import pytest
import yaml

from app.main import create_app
from app.settings import Settings

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def paths() -> set[str]:
    return {getattr(route, "path", "") for route in _routes(create_app(Settings(checkpoint="random:0")).routes)}


def _routes(routes: list[object]) -> list[object]:
    found = []
    for route in routes:
        inner = getattr(getattr(route, "original_router", None), "routes", None)
        found.extend(_routes(inner) if inner else [route])
    return found


def test_probes_ask_for_routes_that_exist(paths: set[str]) -> None:
    deployment = next(yaml.safe_load_all((ROOT / "deploy" / "signbind.yaml").read_text()))
    container = deployment["spec"]["template"]["spec"]["containers"][0]
    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
        assert container[probe]["httpGet"]["path"] in paths
        assert container[probe]["httpGet"]["port"] == container["ports"][0]["name"]
    assert set(container["resources"]) == {"requests", "limits"}


def test_service_leads_to_the_container() -> None:
    deployment, service = yaml.safe_load_all((ROOT / "deploy" / "signbind.yaml").read_text())
    assert service["spec"]["selector"] == deployment["spec"]["template"]["metadata"]["labels"]
    assert service["spec"]["ports"][0]["targetPort"] == "http"


def test_prometheus_scrapes_the_service(paths: set[str]) -> None:
    scrape = yaml.safe_load((ROOT / "docker" / "prometheus.yml").read_text())["scrape_configs"][0]
    compose = yaml.safe_load((ROOT / "docker" / "compose.yaml").read_text())
    host = scrape["static_configs"][0]["targets"][0].split(":")[0]
    assert host in compose["services"]
    assert scrape["metrics_path"] in paths


@pytest.mark.parametrize("name", ["Dockerfile.cpu", "Dockerfile.cuda"])
def test_images_copy_what_is_there(name: str) -> None:
    for line in (ROOT / "docker" / name).read_text().splitlines():
        if line.startswith("COPY "):
            for source in line.split()[1:-1]:
                assert (ROOT / source).exists(), source
