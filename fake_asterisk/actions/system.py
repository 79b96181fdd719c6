"""Actions about the server."""

from datetime import UTC, datetime

from fake_asterisk import rights
from fake_asterisk.actions.registry import action
from fake_asterisk.message import Message
from fake_asterisk.session import Session

SYSTEM, REPORTING, CONFIG = rights.SYSTEM, rights.REPORTING, rights.CONFIG


@action("CoreStatus", SYSTEM | REPORTING)
def core_status(session: Session, message: Message) -> None:
    """Start and reload times, calls now and since the start."""
    pbx = session.pbx
    started = datetime.fromtimestamp(pbx.started_wall, UTC)
    day, clock = started.strftime("%Y-%m-%d"), started.strftime("%H:%M:%S")
    session.success(
        message, None, f"CoreStartupDate: {day}", f"CoreStartupTime: {clock}", f"CoreReloadDate: {day}",
        f"CoreReloadTime: {clock}", f"CoreCurrentCalls: {len(pbx.channels)}",
        f"CoreProcessedCalls: {pbx.processed_calls}",
    )  # fmt: skip


@action("CoreSettings", SYSTEM | REPORTING)
def core_settings(session: Session, message: Message) -> None:
    """Versions and limits."""
    config = session.pbx.config
    session.success(
        message, None, f"AMIversion: {config.ami_version}", f"AsteriskVersion: {config.version}", "SystemName: ",
        "CoreMaxCalls: 0", "CoreMaxLoadAvg: 0.000000", "CoreRunUser: ", "CoreRunGroup: ", "CoreMaxFilehandles: 0",
        "CoreRealTimeEnabled: No", "CoreCDRenabled: Yes", "CoreHTTPenabled: No", "SoundsSearchCustomDir: No",
    )  # fmt: skip


@action("Command", rights.COMMAND)
def command(session: Session, message: Message) -> None:
    """A console command; the few that are known, the rest answered as unknown ones."""
    line = message.get("Command").strip()
    if not line:
        session.error(message, "No command provided")
        return
    output = session.pbx.power.console(session, message, line)
    if output is None:
        return
    found, lines = output
    if session.old is not None:
        session.send(session.old.command(message, lines))
        return
    session.respond(
        message, "Success" if found else "Error", "Command output follows", *(f"Output: {text}" for text in lines)
    )


@action("Reload", CONFIG | SYSTEM)
def reload(session: Session, message: Message) -> None:
    """Everything is as it was, but for what was added to the dialplan while running."""
    module = message.get("Module") or "All"
    if module in ("All", "pbx_config", "pbx_config.so"):
        session.pbx.dialplan.reload()
    session.success(message, "Module Reloaded")
    session.pbx.emit(SYSTEM, "Reload", f"Module: {module}\r\nStatus: 0\r\n")


@action("ModuleCheck", SYSTEM)
def module_check(session: Session, message: Message) -> None:
    """Modules whose work the fake does are there."""
    session.success(message, None, "Version: ")


@action("DialplanExtensionAdd", SYSTEM)
def dialplan_extension_add(session: Session, message: Message) -> None:
    """One step of an extension, in a context made if new; gone with the process."""
    words = {name: message.get(name) for name in ("Context", "Extension", "Priority", "Application")}
    if not all(words.values()):
        session.error(message, "Context, Extension, Priority, and Application must be defined for a new extension.")
        return
    priority = words["Priority"]
    if not priority.isdigit() or int(priority) < 1:
        session.error(message, "Priority is invalid")
        return
    added = session.pbx.dialplan.set_step(
        words["Context"], words["Extension"], int(priority), words["Application"], message.get("ApplicationData"),
        replace=message.true("Replace"),
    )  # fmt: skip
    if added:
        session.success(message, "Added requested extension")
    else:
        session.error(message, "Could not add extension")
