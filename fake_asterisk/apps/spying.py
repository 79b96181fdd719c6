"""ChanSpy: listening to another channel. It notices the end of that channel only when a frame flows there."""

from fake_asterisk import rights
from fake_asterisk.apps.registry import application, arguments
from fake_asterisk.channel import Channel, Hungup
from fake_asterisk.local import media_flows

_START_S = 0.1  # seen between the answer and ChanSpyStart


@application("ChanSpy")
async def chan_spy(channel: Channel, data: str) -> None:
    """Spy on the channels whose name begins so; with option E the spy leaves when the one it hears is gone."""
    prefix, options = arguments(data, 2)
    pbx = channel.pbx
    pbx.answer(channel)
    await channel.sleep(_START_S)
    while True:
        spied = next(
            (c for n, c in pbx.by_name.items() if n.startswith(prefix) and c is not channel and c.state == 6), None
        )
        if spied is None:
            if "S" in options or "E" in options:
                return
            await channel.sleep(0.5)
            continue
        _event(channel, spied, "ChanSpyStart")
        spied.frame_hooks.append(channel)
        if spied.bridge is not None:
            spied.bridge.hooked()
        try:
            flowed = True
            while not spied.dead:
                flowed = _sound(spied)
                await channel.pause(0.1)
            while not flowed:
                await channel.pause()
        except Hungup:
            _event(channel, spied, "ChanSpyStop")
            raise
        finally:
            if channel in spied.frame_hooks:
                spied.frame_hooks.remove(channel)
        _event(channel, spied, "ChanSpyStop")
        if "E" in options:
            return


def _sound(spied: Channel) -> bool:
    """Frames flow on a channel if its own far end speaks, or one it is bridged with does."""
    peers = spied.bridge.channels if spied.bridge is not None else []
    return media_flows(spied) or any(media_flows(peer) for peer in peers)


def _event(spy: Channel, spied: Channel, name: str) -> None:
    if spy.pbx.wanted & rights.CALL:
        spy.pbx.emit(rights.CALL, name, spy.snapshot("Spyer") + spied.snapshot("Spyee"))
