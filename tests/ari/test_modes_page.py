"""docs/control-modes.md fits the code: what each mode can do, and a row of the contract for each of its tests."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def tool() -> ModuleType:
    spec = importlib.util.spec_from_file_location("tools_modes", ROOT / "tools" / "modes.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def page() -> str:
    return (ROOT / "docs" / "control-modes.md").read_text("utf-8")


def test_the_capabilities_are_those_of_the_code(tool: ModuleType, page: str) -> None:
    assert tool.replaced(page, "capabilities", tool.capabilities()) == page


def test_each_behaviour_of_the_contract_has_a_row(tool: ModuleType, page: str) -> None:
    table = page.partition("<!-- contract:")[2].partition("<!-- end of contract -->")[0]
    rows = [line.split("|") for line in table.splitlines() if line.startswith("| ")][1:]
    assert [row[1].strip() for row in rows] == [name.replace("_", " ") for name, _ in tool.behaviours()]
    assert not any("not " in cell for row in rows for cell in row[2:])


def test_a_failure_is_told_in_the_table(tool: ModuleType, tmp_path: Path) -> None:
    report = tmp_path / "report.xml"
    report.write_text(
        '<testsuites><testsuite><testcase name="test_hold_and_back_twice[ari]"><failure/></testcase>'
        '<testcase name="test_hold_and_back_twice[basic]"/></testsuite></testsuites>'
    )
    row = next(line for line in tool.contract({"fake": tool.results(report)}).splitlines() if "hold and back" in line)
    assert row == "| hold and back twice | - | - | fake | **not fake** |"
