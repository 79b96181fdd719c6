"""`cadran crm lint` and `try`: what a template's author sees."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from daemon.cli.main import app
from daemon.crm.shipped import shipped_templates
from tests.crm.fake_crm import FakeCrm

runner = CliRunner()


@pytest.fixture
def crm() -> Iterator[FakeCrm]:
    """A fake CRM on a thread of its own: the command runs a loop itself."""
    loop, fake = asyncio.new_event_loop(), FakeCrm(users=[{"id": "71", "first": "A", "last": "B", "email": "a@b"}])
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    asyncio.run_coroutine_threadsafe(fake.start(), loop).result(90)
    yield fake
    asyncio.run_coroutine_threadsafe(fake.stop(), loop).result(90)
    loop.call_soon_threadsafe(loop.stop)
    thread.join(90)
    loop.close()


def test_lint_names_lines(tmp_path: Path) -> None:
    file = tmp_path / "t.xml"
    file.write_text('<Information Key="k">\n<Scenarios><Scenario Id="Nonsense"/></Scenarios>\n</Information>')
    good = runner.invoke(app, ["crm", "lint", str(file)])
    assert good.exit_code == 0
    assert ":2: warning: the scenario 'Nonsense'" in good.output
    file.write_text("<Information>\n<Scenarios></Scenarios>\n</Information>")
    bad = runner.invoke(app, ["crm", "lint", str(file), "--json"])
    assert bad.exit_code == 1
    assert json.loads(bad.output)["problems"][0]["kind"] == "error"


def test_try_shows_requests_without_secrets(tmp_path: Path, crm: FakeCrm) -> None:
    (tmp_path / "t.xml").write_bytes(shipped_templates()["generic-rest"])
    (tmp_path / "fields.toml").write_text(f'crm_url = "{crm.url}"\napi_key = "k3y-secret"\n')
    settings = Path("config/cadran.toml").read_text().replace("allow_networks = []", 'allow_networks = ["127.0.0.0/8"]')
    (tmp_path / "cadran.toml").write_text(settings)
    files = [str(tmp_path / name) for name in ("t.xml", "fields.toml", "cadran.toml")]
    done = runner.invoke(app, ["crm", "try", files[0], "--fields", files[1], "-c", files[2], "--user", "71"])
    assert done.exit_code == 0, done.output
    assert [line.split()[1] for line in done.output.splitlines() if line.startswith("ok ")] == [
        "connect", "users", "contact", "create_contact", "journal",
    ]  # fmt: skip
    assert "k3y-secret" not in done.output
    assert "POST " + crm.url in done.output
    assert len(crm.calls) == 1
    (tmp_path / "fields.toml").write_text(f'crm_url = "{crm.url}"\napi_key = "wrong"\n')
    failed = runner.invoke(app, ["crm", "try", files[0], "--fields", files[1], "-c", files[2]])
    assert failed.exit_code == 1
    assert "status 403" in failed.output
