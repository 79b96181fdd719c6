"""Dialplan functions that can be read and written with Getvar, Setvar, Set and `Variable:`."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from fake_asterisk import fax, rights

if TYPE_CHECKING:
    from fake_asterisk.channel import Channel
    from fake_asterisk.pbx import FakeAsterisk


_OF_THE_CHANNEL: "dict[str, Callable[[Channel], str]]" = {
    "EXTEN": lambda channel: channel.exten,
    "CONTEXT": lambda channel: channel.context,
    "PRIORITY": lambda channel: str(channel.priority),
    "CHANNEL": lambda channel: channel.name,
    "UNIQUEID": lambda channel: channel.uniqueid,
    "HANGUPCAUSE": lambda channel: str(channel.cause),
}


class Functions:
    """`NAME(arguments)` and the built-in variables."""

    def __init__(self, pbx: "FakeAsterisk") -> None:
        self._pbx = pbx

    def write(self, channel: "Channel | None", name: str, value: str) -> None:
        """Set a function. No VarSet follows, as on Asterisk."""
        function, arguments = _split(name)
        if function == "GLOBAL":
            self._pbx.global_variables[arguments] = value
        elif channel is None:
            return
        elif function == "CHANNEL":
            self._write_channel(channel, arguments.lower(), value)
        elif function == "CALLERID":
            number, caller_name = channel.caller
            kind = arguments.lower()
            if kind in ("num", "number"):
                channel.caller = (value, caller_name)
            elif kind == "name":
                channel.caller = (number, value)
            channel.publish()
        elif function == "CONNECTEDLINE":
            number, connected_name = channel.connected
            channel.connected = (value, connected_name) if "num" in arguments else (number, value)
            channel.publish()
        elif function == "TIMEOUT" and arguments.lower() == "absolute":
            channel.set_absolute_timeout(int(value))
        else:
            channel.functions[f"{function}({arguments})"] = value
            if f"{function}({arguments})" == fax.FAXDETECT:
                fax.listen(channel)

    def _write_channel(self, channel: "Channel", item: str, value: str) -> None:
        if item == "hangup_handler_push":
            channel.hangup_handlers.append(value)
            channel.event(rights.DIALPLAN, "HangupHandlerPush", f"Handler: {value}\r\n")
        elif item == "hangup_handler_pop" and channel.hangup_handlers:
            handler = channel.hangup_handlers.pop()
            channel.event(rights.DIALPLAN, "HangupHandlerPop", f"Handler: {handler}\r\n")
        elif item == "userfield":
            channel.userfield = value
        elif item == "accountcode":
            channel.account = value
            channel.publish()
        elif item == "language":
            channel.language = value
        else:
            channel.functions[f"CHANNEL({item})"] = value

    def read(self, channel: "Channel | None", name: str) -> str | None:
        """Value of a function or built-in variable; None if there is no such thing."""
        if "(" not in name:
            return self._builtin(channel, name)
        function, arguments = _split(name)
        if function == "DEVICE_STATE":
            return self._pbx.devices.state(arguments)
        if function == "GLOBAL":
            return self._pbx.global_variables.get(arguments)
        if function == "DIALPLAN_EXISTS":
            context, exten, priority = (*arguments.split(","), "s", "1")[:3]
            found = priority.isdecimal() and self._pbx.dialplan.find(context, exten, int(priority)) is not None
            return "1" if found else "0"
        if function == "IF":
            condition, _, branches = arguments.partition("?")
            yes, _, no = branches.partition(":")
            return yes if condition.strip() not in ("", "0") else no
        if function == "IFMODULE":
            return "1"
        if function == "LEN":
            return str(len(arguments))
        if function == "ISNULL":
            return "0" if arguments else "1"
        if function == "EPOCH":
            return str(int(self._pbx.wall()))
        if channel is None:
            return None
        if function == "CHANNEL":
            return self._read_channel(channel, arguments.lower())
        if function in ("CALLERID", "CONNECTEDLINE"):
            number, party = channel.caller if function == "CALLERID" else channel.connected
            kind = arguments.split(",")[0].lower()
            return number if kind in ("num", "number", "ani") else party if kind == "name" else f'"{party}" <{number}>'
        return channel.functions.get(f"{function}({arguments})")

    def _read_channel(self, channel: "Channel", item: str) -> str | None:
        values = {
            "userfield": channel.userfield,
            "accountcode": channel.account,
            "uniqueid": channel.uniqueid,
            "linkedid": channel.linkedid,
            "name": channel.name,
            "channeltype": channel.tech,
            "language": channel.language,
            "state": {0: "Down", 4: "Ring", 5: "Ringing", 6: "Up"}.get(channel.state, "Unknown"),
            "exten": channel.exten,
            "context": channel.context,
            "appname": channel.application,
            "appdata": channel.data,
            "musicclass": "",
        }
        return values.get(item, channel.functions.get(f"CHANNEL({item})"))

    def _builtin(self, channel: "Channel | None", name: str) -> str | None:
        if name == "EPOCH":
            return str(int(self._pbx.wall()))
        if channel is not None and (read := _OF_THE_CHANNEL.get(name)) is not None:
            return read(channel)
        return self._pbx.global_variables.get(name)


def _split(name: str) -> tuple[str, str]:
    function, _, arguments = name.partition("(")
    return function.upper(), arguments[:-1] if arguments.endswith(")") else arguments
