"""A channel that runs dialplan: step after step until an application or a hang-up ends it."""

from fake_asterisk import rights
from fake_asterisk.apps import hangup_handlers
from fake_asterisk.apps.registry import END, execute, exists
from fake_asterisk.channel import SOFTHANGUP_APPUNLOAD, Channel, Diverted, Hungup
from fake_asterisk.dialplan import substitute


async def run(channel: Channel) -> None:
    """Run from the channel's place; at the end of the dialplan the channel is hung up."""
    plan = channel.pbx.dialplan
    channel.runs_dialplan = True
    if not channel.exten:
        channel.exten, channel.priority = "s", 1
    while not channel.hung:
        step = plan.find(channel.context, channel.exten, channel.priority)
        if step is None:
            if channel.priority == 1 and plan.find(channel.context, "i", 1):
                channel.set_variable("INVALID_EXTEN", channel.exten)
                channel.exten = "i"
                continue
            break
        channel.jumped = False
        data = substitute(step.data, channel.get_variable)
        channel.run(step.application, data)
        channel.publish()
        try:
            result = await execute(channel, step.application, data) if exists(step.application) else END
        except Diverted:
            continue
        except Hungup:
            break
        if channel.diverted:
            channel.diverted = False
            continue
        if result == END:
            break
        if not channel.jumped and not channel.hung:
            channel.priority += 1
    finish(channel)


def finish(channel: Channel) -> None:
    """What follows the last step: SoftHangupRequest, hangup handlers, the end."""
    if channel.dead:
        return
    channel.stop_music()
    channel.event(rights.CALL, "SoftHangupRequest", f"Cause: {SOFTHANGUP_APPUNLOAD}\r\n")
    channel.hung = True
    hangup_handlers.run(channel)
    channel.destroy()
