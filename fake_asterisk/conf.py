"""Configuration files of an Asterisk: what a fake PBX needs of them, so that it can stand where that server stands.

In: manager.conf, pjsip.conf, extensions.conf. Out: users, endpoints, and the dialplan's text, which `dialplan`
understands. Settings the fake has no use for are passed over. A file that is missing is an OSError, a line of no known
form a ValueError that names file and line.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from fake_asterisk.config import Endpoint
from fake_asterisk.rights import ManagerUser

WRITE_TIMEOUT_MS = 100
"""`writetimeout` of a user who has none (manager.conf)."""
DEPTH_MAX = 10
"""`#include` within `#include`: deeper is taken for a circle."""
_HEADER = re.compile(r"\[([^\]]+)\]\s*(?:\(([^)]*)\))?")
_CALLER = re.compile(r'\s*(?:"([^"]*)"|([^<"]*?))\s*(?:<([^>]*)>)?\s*$')
_YES = frozenset({"yes", "true", "y", "t", "1", "on"})


@dataclass(slots=True)
class Section:
    """`[name]`, with the settings of its templates in front of its own."""

    name: str
    settings: list[tuple[str, str]] = field(default_factory=list)

    def all(self, key: str) -> list[str]:
        return [value for name, value in self.settings if name == key]

    def get(self, key: str, default: str = "") -> str:
        """The last value counts, so a section's own replaces its template's."""
        return (self.all(key) or [default])[-1]


def without_comment(line: str) -> str:
    """What stands before the first `;` that no backslash precedes."""
    for n, character in enumerate(line):
        if character == ";" and (n == 0 or line[n - 1] != "\\"):
            return line[:n]
    return line


def parse_caller(text: str) -> tuple[str, str]:
    """Number and name of `"Name" <number>`; a bare word of digits is a number."""
    match = _CALLER.match(text)
    if not match:
        return "", text
    name, number = match[1] if match[1] is not None else (match[2] or ""), match[3]
    if number is None:
        return (name, "") if re.fullmatch(r"[0-9+*#.()-]+", name) else ("", name)
    return number, name.strip()


def lines_of(path: Path, depth: int = 0) -> Iterator[tuple[str, str]]:
    """Each line that says something, and where it stands. `#include FILE` gives the lines of that file, found from the
    folder of this one."""
    for number, raw in enumerate(path.read_text("utf-8").splitlines(), 1):
        line, place = without_comment(raw).strip(), f"{path.name} line {number}"
        word, _, name = line.partition(" ")
        if word == "#include":
            if depth == DEPTH_MAX:
                raise ValueError(f"{place}: #include goes round in circles")
            yield from lines_of(path.parent / name.strip(' "<>'), depth + 1)
        elif line:
            yield line, place


def sections(path: Path) -> list[Section]:
    """The sections in order; templates (`[name](!)`) are applied and left out. Several may have one name."""
    templates: dict[str, Section] = {}
    found: list[Section] = []
    section: Section | None = None
    for line, place in lines_of(path):
        if line.startswith("["):
            section = _opened(line, place, templates)
            if section.name not in templates:
                found.append(section)
            continue
        key, equals, value = line.partition("=")
        if section is None or not equals:
            raise ValueError(f"{place}: {line!r} is neither [section] nor key = value")
        section.settings.append((key.strip().lower(), value.removeprefix(">").strip()))
    return found


def _opened(line: str, place: str, templates: dict[str, Section]) -> Section:
    """A section that begins with what it inherits; a template is noted among them."""
    if (header := _HEADER.fullmatch(line)) is None:
        raise ValueError(f"{place}: {line!r} is no [section]")
    section = Section(header[1])
    for word in filter(None, map(str.strip, (header[2] or "").split(","))):
        if word == "!":
            templates[section.name] = section
        elif word in templates:
            section.settings += templates[word].settings
        else:
            raise ValueError(f"{place}: no template is called {word}")
    return section


def users(path: Path) -> dict[str, ManagerUser]:
    """Who may log in, by manager.conf."""
    found = {}
    for section in sections(path):
        if section.name == "general":
            continue
        read, write, filters = section.get("read"), section.get("write"), section.all("eventfilter")
        user = found[section.name] = ManagerUser.of(section.name, section.get("secret"), read, write, *filters)
        user.write_timeout_s = int(section.get("writetimeout", str(WRITE_TIMEOUT_MS))) / 1000
    return found


def time_stamped(path: Path) -> bool:
    """Whether manager.conf wants the time in each event."""
    return any(s.get("timestampevents").lower() in _YES for s in sections(path) if s.name == "general")


def endpoints(path: Path) -> dict[str, Endpoint]:
    """Telephones and trunks, by pjsip.conf. One that has no fixed contact is not registered."""
    parts = sections(path)
    contacts = {part.name: part.get("contact") for part in parts if part.get("type") == "aor"}
    found = {}
    for part in parts:
        if part.get("type") == "endpoint":
            contact = next(filter(None, (contacts.get(name.strip()) for name in part.get("aors").split(","))), "")
            context, caller = part.get("context", "default"), parse_caller(part.get("callerid"))
            found[part.name] = Endpoint(part.name, context, caller, registered=bool(contact), contact=contact)
    return found


def dialplan(path: Path) -> str:
    """extensions.conf without its comments, and with what it includes."""
    return "\n".join(line for line, _ in lines_of(path))
