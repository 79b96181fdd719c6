"""Values made safe for where they stand (decisions D22, D30). A sink takes text and values and gives the result.

The position is read from what has been written so far, so that `if` may change it: in a JSON text or beside one, at the
beginning of a URL, in its host, path or query.
"""

from __future__ import annotations

import json
import re

from daemon.crm.gotemplate.functions import url_encode
from daemon.crm.gotemplate.lexer import TemplateError

_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_JSON_SCALAR = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?|true|false|null")
_BREAKS = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}
_HOST = re.compile(r"[\w.\-:\[\]]*")
_PATH_SIGNS = re.compile(r'([\\.|#*?@!{}\[\]()="~%<>])')


class Plain:
    """Subjects, descriptions: nothing is special. Also the base of the others."""

    def __init__(self) -> None:
        self.out: list[str] = []

    def text(self, text: str) -> None:
        """Characters of the template itself."""
        self.out.append(text)

    def value(self, value: str) -> None:
        """A value from outside."""
        self.out.append(value)

    def result(self) -> str:
        """All of it. Raises TemplateError if the whole can't be used."""
        return "".join(self.out)


class Json(Plain):
    """A JSON body: inside quotes a value is escaped; outside, it is a number, true, false, null, or quoted.

    A line break of the template itself inside quotes (`&#xA;` in the XML) becomes \\n, which JSON wants (YPL-07).
    """

    def __init__(self) -> None:
        super().__init__()
        self._in_string = self._escaped = False

    def text(self, text: str) -> None:
        for sign in text:
            if self._escaped:
                self._escaped = False
            elif sign == "\\" and self._in_string:
                self._escaped = True
            elif sign == '"':
                self._in_string = not self._in_string
            self.out.append(_BREAKS.get(sign, sign) if self._in_string else sign)

    def value(self, value: str) -> None:
        quoted = json.dumps(value.encode("utf-8", "replace").decode(), ensure_ascii=False)
        if self._in_string:
            self.out.append(quoted[1:-1])
        elif _JSON_SCALAR.fullmatch(value):
            self.out.append(value)
        else:
            self.out.append(quoted if value else "null")


class Url(Plain):
    """A request's or a page's URL. An action that begins it stands as it is; later ones can't leave their place."""

    def value(self, value: str) -> None:
        before = "".join(self.out)
        if not before.strip():
            self.out.append(value)
            return
        rest = before.partition("://")[2]
        if "?" in rest or "#" in rest:
            self.out.append(url_encode(value))
        elif "/" in rest:
            if value in (".", ".."):
                raise TemplateError(f"a path step of a URL can't be {value!r}")
            self.out.append(url_encode(value))
        elif _HOST.fullmatch(value):
            self.out.append(value)
        else:
            raise TemplateError("a value in a URL's host may hold letters, digits, dots, hyphens and colons only")

    def result(self) -> str:
        """The URL, "" for none (such a request is not sent). Raises TemplateError unless http or https."""
        url = super().result().strip()
        if url and not re.match(r"https?://[^/?#\s]", url):
            raise TemplateError("the URL does not begin with http:// or https:// and a host")
        if _CONTROL.search(url):
            raise TemplateError("the URL holds control characters")
        return url


class Query(Plain):
    """Name=value pairs: of a form, or to be added to a URL."""

    def value(self, value: str) -> None:
        self.out.append(url_encode(value))


class Header(Plain):
    """A header's value: a line break would begin another header."""

    def result(self) -> str:
        """Raises TemplateError for control characters, CR and LF above all."""
        value = super().result()
        if _CONTROL.search(value):
            raise TemplateError("a header's value can't hold line breaks or other control characters")
        return value


class Path(Plain):
    """A GJSON path: a value is compared or looked for letter by letter, never read as part of the path."""

    def value(self, value: str) -> None:
        quotes = re.sub(r"\\.", "", "".join(self.out)).count('"')
        if quotes % 2:
            self.out.append(re.sub(r'(["\\])', r"\\\1", value))
        else:
            self.out.append(_PATH_SIGNS.sub(r"\\\1", value))
