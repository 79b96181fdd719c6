"""A CRM template as plain data: scenarios, requests, outputs, fields. Built by template.py, run by session.py."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from daemon.crm.gotemplate import Template

CONCURRENT_DEFAULT: Final = 5


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """Something wrong (`error`) or doubtful in a file; line 0 is the whole."""

    line: int
    message: str
    error: bool = True


class Refused(ValueError):
    """The template can't be used; `problems` has the reasons and the warnings."""

    def __init__(self, problems: list[Problem]) -> None:
        first = next((found for found in problems if found.error), problems[0])
        more = sum(found.error for found in problems) - 1
        where = f"line {first.line}: " if first.line else ""
        super().__init__(f"{where}{first.message}" + (f" (and {more} more)" if more > 0 else ""))
        self.problems = problems


@dataclass(slots=True)
class CustomField:
    """What an integration asks of whoever sets it up. `editor`: string, password, list."""

    name: str
    editor: str = "string"
    title: str = ""
    options: tuple[str, ...] = ()


@dataclass(slots=True)
class Output:
    """A variable and the paths it may come from; the first that gives something wins (YPS-04)."""

    name: str
    paths: list[Template]
    line: int = 0


@dataclass(slots=True)
class Request:
    """One HTTP request. `next`: the Common request that fills what its outputs leave empty."""

    name: str
    method: str
    url: Template
    body: Template | None = None
    form: bool = False
    headers: list[tuple[str, Template]] = field(default_factory=list)
    outputs: list[Output] = field(default_factory=list)
    next: str = ""
    line: int = 0


@dataclass(slots=True)
class Scenario:
    """Parameters by name, requests in order."""

    id: str
    parameters: dict[str, str] = field(default_factory=dict)
    requests: list[Request] = field(default_factory=list)
    line: int = 0

    def request(self, name: str) -> Request | None:
        """The request of that name."""
        return next((request for request in self.requests if request.name == name), None)


@dataclass(slots=True)
class CrmTemplate:
    """A template ready to run. `information`: the root's attributes as they came."""

    key: str
    name: str
    provider: str
    information: dict[str, str]
    scenarios: dict[str, Scenario]
    auth: str = "none"
    auth_parameters: dict[str, str] = field(default_factory=dict)
    fields: list[CustomField] = field(default_factory=list)
    headers: list[tuple[str, Template]] = field(default_factory=list)
    token_invalid: list[str] = field(default_factory=list)
    warnings: list[Problem] = field(default_factory=list)

    def on(self, feature: str) -> bool:
        """A 0/1 attribute of the root (CallJournal, UserAssociation, CreateNewContact, CreateNewTicket)."""
        return self.information.get(feature, "").strip() == "1"

    @property
    def requests_max(self) -> int:
        """Requests in flight at most."""
        text = self.information.get("MaxConcurrentRequest", "").strip()
        return max(1, min(100, int(text))) if text.isdecimal() and len(text) < 6 else CONCURRENT_DEFAULT

    def scenario(self, id: str) -> Scenario:
        """The scenario, an empty one if the template has none."""
        return self.scenarios.get(id) or Scenario(id)
