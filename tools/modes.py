"""docs/control-modes.md: the tables of what each mode can do, and of the contract, from the code and from a run of it.

`python tools/modes.py` runs the contract on the fake PBX and, where there is one, on a real Asterisk, and rewrites the
tables between their marks; tests/ari/test_modes_page.py fails when they no longer fit the code.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from xml.etree import ElementTree

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "control-modes.md"
FAKE = ("tests/ami/test_contract.py", "tests/voice/test_contract.py")
REAL = ("tests/asterisk/test_contract.py", "tests/asterisk/test_voice.py")
SIXTEEN = ("tests/asterisk/test_contract_16.py",)
SOURCES = ("tests/ami/contract.py", "tests/ami/voice_contract.py")
_TEST = re.compile(r"^async def test_(\w+)\((.*?)\) -> None:", re.MULTILINE | re.DOTALL)


def capabilities() -> str:
    """One row a capability, one column a mode."""
    from daemon.ami.modes import CAPABILITIES, MODES
    from daemon.ari.driver import CAPABILITIES as ARI
    from daemon.ari.driver import MODE

    can: dict[str, Iterable[str]] = {name: mode.capabilities for name, mode in MODES.items()} | {MODE: ARI}
    rows = [f"| | {' | '.join(can)} |", "|---" * (len(can) + 1) + "|"]
    answers = {name: ["yes" if name in mode else "no" for mode in can.values()] for name in CAPABILITIES}
    return "\n".join(rows + [f"| {name} | {' | '.join(cells)} |" for name, cells in answers.items()])


def behaviours() -> list[tuple[str, bool]]:
    """The contract's tests in their order, and whether each is run once a mode."""
    texts = [(ROOT / source).read_text("utf-8") for source in SOURCES]
    return [(name, "mode: str" in arguments) for text in texts for name, arguments in _TEST.findall(text)]


def results(file: Path) -> dict[tuple[str, str], bool]:
    """(behaviour, mode) → whether all its cases passed; what was skipped is left out."""
    found: dict[tuple[str, str], bool] = {}
    for case in ElementTree.parse(file).getroot().iter("testcase"):
        name, _, case_id = case.get("name", "").removeprefix("test_").partition("[")
        mode = next((part for part in re.split(r"[-\]]", case_id) if part in modes()), "")
        if case.find("skipped") is None:
            passed = case.find("failure") is None and case.find("error") is None
            found[name, mode] = found.get((name, mode), True) and passed
    return found


def modes() -> list[str]:
    from daemon.ami.modes import MODES
    from daemon.ari.driver import MODE

    return [*MODES, MODE]


Results = Mapping[tuple[str, str], bool]


def contract(runs: Mapping[str, Results]) -> str:
    """One row a behaviour: on which PBX (`runs`: its name → what was seen there) each mode was seen to keep it."""
    rows = [f"| behaviour | {' | '.join(modes())} |", "|---" * (len(modes()) + 1) + "|"]
    for name, by_mode in behaviours():
        cells = []
        for mode in modes():
            key = (name, mode if by_mode else "")
            seen = [where for where, run in runs.items() if run.get(key)]
            failed = [where for where, run in runs.items() if run.get(key) is False]
            cells.append(", ".join(seen + [f"**not {where}**" for where in failed]) or "-")
        rows.append(f"| {name.replace('_', ' ')} | {' | '.join(cells)} |")
    return "\n".join(rows)


def replaced(page: str, mark: str, table: str) -> str:
    """The page with the table between `<!-- mark: … -->` and `<!-- end of mark -->` anew."""
    pattern = re.compile(rf"(<!-- {mark}:[^\n]*-->\n).*?(<!-- end of {mark} -->)", re.DOTALL)
    return pattern.sub(lambda found: f"{found[1]}{table}\n{found[2]}", page, count=1)


def run(files: Iterable[str]) -> dict[tuple[str, str], bool]:
    with tempfile.NamedTemporaryFile(suffix=".xml") as out:
        command = [sys.executable, "-m", "pytest", "-q", f"--junitxml={out.name}", *files]
        subprocess.run(command, cwd=ROOT, check=False)
        return results(Path(out.name))


def main() -> None:
    page = PAGE.read_text("utf-8")
    page = replaced(page, "capabilities", capabilities())
    page = replaced(page, "contract", contract({"fake": run(FAKE), "22": run(REAL), "16": run(SIXTEEN)}))
    PAGE.write_text(page, "utf-8")


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    main()
