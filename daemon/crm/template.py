"""A CRM template: what its XML says, as plain data. `load(bytes)` → `CrmTemplate`; `Refused` lists every problem found.

Shape: `<Information>` with scenarios AuthMethod, UserAssociation, SyncContactAuto, SearchContact, CreateNewContact,
CreateNewTicket, CallJournal, GetGlobalInfo and Common (the source's XML reference, and two public templates). Unknown
attributes and parameters are kept and ignored. Every text with variables is parsed here, so what loads can run.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from daemon.crm.gjson import PathError, check_path
from daemon.crm.gotemplate import Template, TemplateError
from daemon.crm.model import CrmTemplate, CustomField, Output, Problem, Refused, Request, Scenario
from daemon.crm.xmltree import Element, XmlRefused, read_tree

METHODS: Final = ("GET", "POST", "PUT", "PATCH", "DELETE")
AUTH_METHODS: Final = ("none", "basic", "oauth2", "bearertoken")
FIELDS_MAX: Final[Mapping[str, int]] = {"none": 5, "basic": 5, "bearertoken": 10, "oauth2": 20}
"""The source's limits; for oauth2 it has none."""
HEADERS_MAX: Final = 20
TOKEN_REFRESH_MIN: Final = 25
CHAIN_MAX: Final = 5
NAME = re.compile(r"[A-Za-z_]\w{0,63}")
HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,100}")
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
SCENARIOS: Final = frozenset(
    {
        "AuthMethod",
        "UserAssociation",
        "SyncContactAuto",
        "SearchContact",
        "CreateNewContact",
        "CreateNewTicket",
        "CallJournal",
        "GetGlobalInfo",
        "Common",
        "CustomScenarioParameter",
    }
)


def load(data: bytes) -> CrmTemplate:
    """The template of a file. Raises Refused."""
    try:
        root, mended = read_tree(data)
    except XmlRefused as refused:
        raise Refused([Problem(refused.line, str(refused))]) from refused
    problems = [Problem(line, what, error=False) for line, what in mended]
    template = _Loading(problems).template(root)
    if any(problem.error for problem in problems):
        raise Refused(sorted(problems))
    template.warnings = sorted(problems)
    return template


class _Loading:
    """Collects problems while it reads the tree, so that an author sees all of them at once."""

    def __init__(self, problems: list[Problem]) -> None:
        self.problems = problems

    def error(self, line: int, message: str) -> None:
        self.problems.append(Problem(line, message))

    def warn(self, line: int, message: str) -> None:
        self.problems.append(Problem(line, message, error=False))

    def template(self, root: Element) -> CrmTemplate:
        information = root.attributes
        if root.tag != "Information":
            self.error(root.line, f"the root is <{root.tag}>; a template's is <Information>")
        key = information.get("Key", "").strip()
        if not re.fullmatch(r"[\w.-]{1,64}", key):
            self.error(root.line, f"Key={key!r}: 1 to 64 letters, digits, _, . or - are needed")
        provider = information.get("Provider", "crm").strip().lower()
        if provider not in ("crm", "helpdesk"):
            self.error(root.line, f"Provider={provider!r}: crm or helpdesk")
        found = CrmTemplate(key, information.get("Name", "").strip() or key, provider, dict(information), {})
        for element in root.inner("Scenarios", "Scenario"):
            scenario = self.scenario(element)
            if scenario.id in found.scenarios:
                self.error(element.line, f"a second scenario {scenario.id}")
            found.scenarios[scenario.id] = scenario
            if scenario.id == "AuthMethod":
                self.auth(found, element)
        found.auth = self._auth_method(found, information.get("AuthType", ""), root.line)
        self._limits(found, root.line)
        self._chains(found)
        self._contacts(found)
        self._contact_url(found)
        return found

    def scenario(self, element: Element) -> Scenario:
        scenario = Scenario(element.attributes.get("Id", "").strip(), line=element.line)
        if scenario.id not in SCENARIOS:
            self.warn(element.line, f"the scenario {scenario.id!r} is not known and does nothing")
        for parameter in element.inner("Parameters", "Parameter"):
            if not parameter.attributes.get("Father"):
                scenario.parameters[self._name(parameter)] = parameter.attributes.get("Value", "")
        for request in element.inner("Requests", "Request"):
            scenario.requests.append(self.request(request))
        names = [request.name for request in scenario.requests]
        for name in sorted({name for name in names if names.count(name) > 1}):
            self.error(element.line, f"two requests are named {name} in {scenario.id}")
        return scenario

    @staticmethod
    def _name(element: Element) -> str:
        return (element.attributes.get("Name") or element.attributes.get("Key") or "").strip()

    def text(self, text: str, line: int, what: str) -> Template:
        """A text with variables; an error of its own place is given the line of its element too."""
        try:
            return Template(text)
        except TemplateError as error:
            self.error(line, f"{what}: {error}")
            return Template("")

    def request(self, element: Element) -> Request:
        given = element.attributes
        name, method = self._name(element), (given.get("Method", "") or "GET").strip().upper()
        if not name:
            self.error(element.line, "a request without Name")
        if method not in METHODS:
            self.error(element.line, f"request {name}: Method={method!r}; {', '.join(METHODS)} are possible")
        url = given.get("URLFormat", given.get("URL", ""))
        expected = given.get("ResponseType", "").strip().lower()
        if expected not in ("", "application/json"):
            self.warn(element.line, f"request {name}: ResponseType={expected!r}; answers are read as JSON all the same")
        request = Request(name, method, self.text(url.strip(), element.line, f"URL of {name}"), line=element.line)
        request.form = "urlencoded" in given.get("RequestEncoding", "").lower().replace("-", "")
        for parameter in element.inner("Parameters", "Parameter"):
            self._parameter(request, parameter)
        for outputs in element.all("Outputs"):
            request.next = outputs.attributes.get("Next", "").strip() or request.next
            request.outputs += [self.output(each) for each in outputs.all("Output")]
        return request

    def _parameter(self, request: Request, element: Element) -> None:
        kind, name = element.attributes.get("Type", "").strip().lower(), self._name(element)
        value = element.attributes.get("Value", "")
        if kind == "body":
            request.body = self.text(value, element.line, f"body of {request.name}")
        elif kind == "header":
            request.headers.append((name, self.header(name, value, element.line)))
        else:
            self.warn(element.line, f"request {request.name}: a parameter of type {kind!r} does nothing")

    def header(self, name: str, value: str, line: int) -> Template:
        if not HEADER_NAME.fullmatch(name):
            self.error(line, f"{name[:40]!r} is no header name")
        if _CONTROL.search(value):
            self.error(line, f"header {name}: its value can't hold line breaks or other control characters")
        return self.text(value, line, f"header {name}")

    def output(self, element: Element) -> Output:
        name = self._name(element)
        if not NAME.fullmatch(name):
            self.error(element.line, f"output {name!r}: a variable's name has letters, digits and _ only")
        paths = []
        for path in split_paths(element.attributes.get("Path", "")):
            if path.startswith(".") and not path.startswith(".."):
                self.warn(element.line, f"output {name}: the dot before {path[1:]!r} was left out")
                path = path[1:]
            template = self.text(path, element.line, f"path of {name}")
            try:
                check_path(path if template.literal else re.sub(r"\{\{.*?\}\}", "x", path, flags=re.DOTALL))
            except PathError as error:
                self.error(element.line, f"output {name}: {error}")
            paths.append(template)
        return Output(name, paths, element.line)

    def auth(self, found: CrmTemplate, element: Element) -> None:
        """The AuthMethod scenario: parameters, custom fields, headers, what says that a token is no longer valid."""
        found.auth_parameters = found.scenarios["AuthMethod"].parameters
        for parameter in element.inner("Parameters", "Parameter"):
            given, name = parameter.attributes, self._name(parameter)
            father, value = given.get("Father", "").strip(), given.get("Value", "")
            if father == "CustomFieldList":
                found.fields.append(self._field(name, given, parameter.line))
            elif father == "PopulateTemplateString" and given.get("Type", "").strip().lower() == "header":
                found.headers.append((name, self.header(name, value, parameter.line)))
            elif name == "TokenInvalid" and father in ("", "TokenErrorMap") and value:
                found.token_invalid.append(value)
            elif father == "AuthOption":
                found.auth_parameters.setdefault(name, value)
        for name in ("AuthEndPoint", "TokenEndPoint", "AdditionalQueryString", "Base64EncodedCredential", "Scope"):
            self.text(found.auth_parameters.get(name, ""), element.line, name)

    def _field(self, name: str, given: Mapping[str, str], line: int) -> CustomField:
        editor = given.get("Editor", "string").strip().lower() or "string"
        if editor not in ("string", "password", "list"):
            self.error(line, f"field {name}: Editor={editor!r}; string, password and list are possible")
        if not NAME.fullmatch(name):
            self.error(line, f"field {name!r}: a variable's name has letters, digits and _ only")
        options = tuple(option.strip() for option in given.get("Value", "").split(",") if option.strip())
        return CustomField(name, editor, given.get("Title", "") or name, options if editor == "list" else ())

    def _auth_method(self, found: CrmTemplate, auth_type: str, line: int) -> str:
        """D16: the AuthMethod parameter wins over the AuthType attribute."""
        method = (found.auth_parameters.get("AuthMethod") or auth_type or "none").strip().lower()
        if method not in AUTH_METHODS:
            self.error(line, f"authentication {method!r}; {', '.join(AUTH_METHODS)} are possible")
            return "none"
        needed = {"oauth2": ("AuthEndPoint", "TokenEndPoint"), "basic": ("Base64EncodedCredential",)}.get(method, ())
        for name in needed:
            if not found.auth_parameters.get(name, "").strip():
                self.error(line, f"authentication {method} needs the parameter {name}")
        endpoint = found.auth_parameters.get("TokenEndPoint", "").strip()
        if method == "bearertoken" and not endpoint and found.scenario("AuthMethod").request("GetToken") is None:
            self.error(line, "authentication bearertoken needs TokenEndPoint, or a request GetToken in AuthMethod")
        minutes = found.auth_parameters.get("TokenRefreshInterval", "").strip()
        if minutes and not re.fullmatch(r"[0-9]{1,6}", minutes):
            self.error(
                line, f"TokenRefreshInterval={minutes!r}: minutes, 0 for never, or nothing for {TOKEN_REFRESH_MIN}"
            )
        return method

    def _limits(self, found: CrmTemplate, line: int) -> None:
        most = FIELDS_MAX[found.auth]
        if len(found.fields) > most:
            self.error(line, f"{len(found.fields)} custom fields; with authentication {found.auth} at most {most}")
        if len(found.headers) > HEADERS_MAX:
            self.error(line, f"{len(found.headers)} headers; at most {HEADERS_MAX}")

    def _chains(self, found: CrmTemplate) -> None:
        """YPS-15: each Next names a Common request; no chain longer than CHAIN_MAX, none in a circle."""
        common = found.scenario("Common")
        for scenario in found.scenarios.values():
            for request in scenario.requests:
                seen, each = [request.name], request
                while each.next:
                    if (scenario is common and each.next == request.name) or each.next in seen[1:]:
                        self.error(request.line, f"Next goes in a circle: {' > '.join([*seen, each.next])}")
                        break
                    seen.append(each.next)
                    following = common.request(each.next)
                    if following is None:
                        self.error(each.line, f"Next={each.next!r}: the scenario Common has no such request")
                        break
                    if len(seen) > CHAIN_MAX + 1:
                        self.error(request.line, f"a chain of more than {CHAIN_MAX} requests: {' > '.join(seen)}")
                        break
                    each = following

    def _contacts(self, found: CrmTemplate) -> None:
        """YPS-03: contacts have an id, a first name and a number, or a lookup would give nothing to show."""
        scenario = found.scenarios.get("SyncContactAuto")
        if scenario is None:
            return
        enabled = {name.removesuffix("Enable") for name, on in scenario.parameters.items() if on.strip() == "1"}
        outputs = {output.name for each in (scenario, found.scenario("Common")) for request in each.requests
                   for output in request.outputs}  # fmt: skip
        if not any("Number" in name and "Fax" not in name for name in enabled & outputs):
            self.error(scenario.line, "SyncContactAuto: at least one number must be enabled and mapped")
        for name in ("ContactsId", "FirstName"):
            if name not in outputs:
                self.error(scenario.line, f"SyncContactAuto: the output {name} is needed")
        kind = scenario.parameters.get("ContactUrlType", "").strip()
        if kind not in ("", "specify_url_format", "retrieve_from_contact"):
            self.error(scenario.line, f"ContactUrlType={kind!r}; specify_url_format or retrieve_from_contact")
        self.text(scenario.parameters.get("URLFormat", ""), scenario.line, "URLFormat of the contact's page")

    def _contact_url(self, found: CrmTemplate) -> None:
        """YPS-05: ContactFieldForUri is the path of the contact's page in the answer; read as the output ContactUrl."""
        scenario = found.scenario("SyncContactAuto")
        path = scenario.parameters.get("ContactFieldForUri", "").strip()
        if not path or scenario.parameters.get("ContactUrlType", "").strip() != "retrieve_from_contact":
            return
        output = self.output(Element("Output", {"Name": "ContactUrl", "Path": path}, scenario.line))
        for request in scenario.requests:
            if not any(each.name == output.name for each in request.outputs):
                request.outputs.append(output)


def split_paths(text: str) -> list[str]:
    """Paths between commas; commas in parentheses, quotes or {{ }} do not split."""
    parts, depth, quoted, begin = [], 0, False, 0
    at = 0
    while at < len(text):
        sign = text[at]
        if sign == "\\":
            at += 1
        elif sign == '"':
            quoted = not quoted
        elif not quoted and sign in "([{":
            depth += 1
        elif not quoted and sign in ")]}":
            depth -= 1
        elif sign == "," and not quoted and depth <= 0:
            parts.append(text[begin:at])
            begin = at + 1
        at += 1
    parts.append(text[begin:])
    return [part.strip() for part in parts if part.strip()]
