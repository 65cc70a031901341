"""The compose file: what can be known of it without Docker."""

import re
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml

from radllama.cli import app

DEPLOY = Path(__file__).parents[1] / "deploy"


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    return dict(yaml.safe_load((DEPLOY / "compose.yaml").read_text()))


def test_every_option_of_the_assistant_exists(compose: dict[str, Any]) -> None:
    verb, *words = compose["services"]["app"]["command"]
    known = {name for parameter in typer.main.get_command(app).commands[verb].params for name in parameter.opts}  # type: ignore[attr-defined]
    assert {word for word in words if word.startswith("--")} <= known


def test_everything_it_refers_to_is_declared(compose: dict[str, Any]) -> None:
    services = compose["services"]
    for one in services.values():
        assert set(one["networks"]) <= set(compose["networks"])
        assert set(one.get("depends_on", [])) <= set(services)
        named = {volume.split(":")[0] for volume in one.get("volumes", []) if volume[0] not in "$./"}
        assert named <= set(compose["volumes"])
    for service, needed in services["app"]["depends_on"].items():
        assert needed == {"condition": "service_healthy"}
        assert "healthcheck" in services[service]


def test_every_variable_stands_in_the_example(compose: dict[str, Any]) -> None:
    used = set(re.findall(r"\$\{(\w+)", (DEPLOY / "compose.yaml").read_text()))
    given = set(re.findall(r"^(\w+)=", (DEPLOY / "example.env").read_text(), re.MULTILINE))
    assert used == given


def test_the_adapter_is_served_unmerged_under_the_name_that_is_asked_for(compose: dict[str, Any]) -> None:
    model, words = compose["services"]["model"]["command"], compose["services"]["app"]["command"]
    assert "--enable-lora" in model
    assert f"{words[words.index('--served-model') + 1]}=/models/run" in model
    assert words[words.index("--template") + 1] == "/models/run"
    assert f":{model[model.index('--port') + 1]}/v1" in words[words.index("--base-url") + 1]


def test_the_assistant_believes_the_proxy_alone_and_the_database_is_reached_by_nobody_else(
    compose: dict[str, Any],
) -> None:
    services, words = compose["services"], compose["services"]["app"]["command"]
    assert words[words.index("--proxy") + 1] == services["proxy"]["networks"]["front"]["ipv4_address"]
    assert compose["networks"]["inside"] == {"internal": True}
    assert services["database"]["networks"] == services["model"]["networks"] == ["inside"]
    assert [name for name, one in services.items() if "ports" in one] == ["proxy"]


def test_the_image_is_built_of_what_is_there() -> None:
    lines = (DEPLOY / "Dockerfile").read_text().splitlines()
    copied = [word for line in lines if line.startswith("COPY ") for word in line.split()[1:-1]]
    assert copied
    assert all((DEPLOY.parent / name).exists() for name in copied)
    extras = re.findall(r"'\.\[([\w,]+)\]'", "\n".join(lines))[0].split(",")
    declared = (DEPLOY.parent / "pyproject.toml").read_text()
    assert all(f"\n{extra} = [" in declared for extra in extras)
