"""Hangup handlers: a dialplan routine that runs on a channel that is hung up, last pushed first."""

from fake_asterisk import rights
from fake_asterisk.apps.registry import APPLICATIONS, END
from fake_asterisk.channel import Channel, Hungup
from fake_asterisk.dialplan import substitute


def run(channel: Channel) -> None:
    """Run all handlers at once; an application that would wait is cut short, as on a dead channel."""
    if not channel.hangup_handlers:
        return
    place = (channel.context, channel.exten, channel.priority, channel.application, channel.data)
    while channel.hangup_handlers:
        handler = channel.hangup_handlers.pop()
        channel.event(rights.DIALPLAN, "HangupHandlerRun", f"Handler: {handler}\r\n")
        _gosub(channel, handler)
    channel.context, channel.exten, channel.priority, channel.application, channel.data = place
    if channel.outermost[0] and channel.far_end is not None:  # seen, but not when the far end had said goodbye
        channel.run(*channel.outermost)
        channel.publish()


def _gosub(channel: Channel, handler: str) -> None:
    context, _, rest = handler.partition(",")
    exten, _, label = rest.partition(",")
    plan = channel.pbx.dialplan
    priority = plan.label(context, exten, label.partition("(")[0] or "1")
    if priority is None:
        return
    if channel.pbx.wanted & rights.DIALPLAN:
        channel.event(rights.DIALPLAN, "VarSet", "Variable: LOCAL(ARGC)\r\nValue: 0\r\n")
    channel.context, channel.exten, channel.priority = context, exten, priority
    while (step := plan.find(channel.context, channel.exten, channel.priority)) is not None:
        data = substitute(step.data, channel.get_variable)
        channel.run(step.application, data)
        channel.publish()
        if step.application.lower() == "return":
            break
        application = APPLICATIONS.get(step.application.lower())
        if application is None or _run_at_once(application(channel, data)) == END:
            break
        channel.priority += 1
    for name in ("ARGC", "GOSUB_RETVAL"):
        if channel.pbx.wanted & rights.DIALPLAN:
            channel.event(rights.DIALPLAN, "VarSet", f"Variable: {name}\r\nValue: \r\n")


def _run_at_once(coroutine: object) -> int:
    """Step a coroutine that must not wait."""
    try:
        coroutine.send(None)  # type: ignore[attr-defined]
    except StopIteration as stop:
        return stop.value or 0
    except Hungup:
        return END
    coroutine.close()  # type: ignore[attr-defined]
    return END
