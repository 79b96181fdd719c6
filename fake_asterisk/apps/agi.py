"""AsyncAGI: a channel parked under the control of AMI, its command queue and its tick.

The loop wakes when a frame arrives (20 ms while sound flows) or every 100 ms; commands that are queued while one
runs are run right after it. Nothing withdraws a queued command but the end of the channel, or losing the channel
to a bridge: then commands are accepted and never run.
"""

from collections import deque
from urllib.parse import quote_from_bytes

from fake_asterisk import rights
from fake_asterisk.apps.registry import END, application, execute, exists
from fake_asterisk.channel import SOFTHANGUP_EXPLICIT, Channel, Diverted, Hungup
from fake_asterisk.dialplan import substitute
from fake_asterisk.local import media_flows

_USAGE = "520-Invalid command syntax.  Proper usage follows:\nSee the manual.\n520 End of proper usage."
_COMMAND = "AGI command"  # mailbox token


_ENCODED = {byte: quote_from_bytes(bytes([byte]), safe="!'()*") for byte in range(256)}


def encode(text: str) -> str:
    """URL encoding as in `Env` and `Result`."""
    return text.encode("utf-8", "surrogateescape").decode("latin-1").translate(_ENCODED)


@application("AGI", "EAGI")
async def agi(channel: Channel, data: str) -> int:
    """`agi:async`; anything else would start a program, which this PBX has not."""
    if data.partition(",")[0].lower() != "agi:async":
        channel.set_variable("AGISTATUS", "NOTFOUND")
        return 0
    if channel.agi_queue is None:  # a call coming in is not answered by it (seen)
        channel.agi_queue = deque()
    loop = AsyncAgi(channel)
    channel.agi_loop = loop
    try:
        status = await loop.run()
    except Diverted:
        loop.ended()
        channel.set_variable("AGISTATUS", "HANGUP")
        raise
    finally:
        channel.agi_loop = None
    loop.ended()
    channel.set_variable("AGISTATUS", status)
    return END if channel.hung else 0


def add_command(channel: Channel, command: str, command_id: str) -> None:
    """Queue a command; a parked channel sees it at its next tick."""
    if channel.agi_queue is None:
        channel.agi_queue = deque()
    channel.agi_queue.append((command, command_id))
    if isinstance(channel.agi_loop, AsyncAgi):
        channel.agi_loop.notice()


class AsyncAgi:
    """The loop of one stay in AsyncAGI."""

    def __init__(self, channel: Channel) -> None:
        self.channel = channel
        self._waiting = False
        self._noticed = False
        self._woke_at = channel.pbx.now()

    def ended(self) -> None:
        """Tell that AMI no longer controls the channel."""
        self.channel.event(rights.AGI, "AsyncAGIEnd")

    async def run(self) -> str:
        """Serve commands until the channel ends (HANGUP) or ASYNCAGI BREAK (SUCCESS)."""
        channel = self.channel
        channel.event(rights.AGI, "AsyncAGIStart", f"Env: {encode(self._environment())}\r\n")
        assert channel.agi_queue is not None
        try:
            while True:
                while channel.agi_queue and not channel.hung:
                    command, command_id = channel.agi_queue.popleft()
                    if (status := await self._execute(command, command_id)) is not None:
                        return status
                self._woke_at = channel.pbx.now()
                self._waiting = True
                await channel.pause()
                self._waiting = self._noticed = False
        except Hungup:
            return "HANGUP"

    def notice(self) -> None:
        """A command was queued: wake at the next tick."""
        if not self._waiting or self._noticed:
            return
        self._noticed = True
        pbx, channel = self.channel.pbx, self.channel
        tick = pbx.config.agi_media_tick_s if media_flows(channel) else pbx.config.agi_tick_s
        delay = tick - (pbx.now() - self._woke_at) % tick
        fiber = channel.fiber
        if fiber is not None:
            pbx.loop.call_later(delay, lambda: fiber.wake(_COMMAND) if not fiber.done else None)

    def _environment(self) -> str:
        c = self.channel
        presentation = "0" if any(c.caller) else "67"
        values = {
            "request": "async", "channel": c.name, "language": c.language, "type": c.tech, "uniqueid": c.uniqueid,
            "version": c.pbx.config.version, "callerid": c.caller[0] or "unknown",
            "calleridname": c.caller[1] or "unknown", "callingpres": presentation, "callingani2": "0",
            "callington": "0", "callingtns": "0", "dnid": "unknown", "rdnis": "unknown", "context": c.context,
            "extension": c.exten,
            "priority": str(c.priority), "enhanced": "0.0", "accountcode": c.account,
            "threadid": str(140000000000000 + c.number * 4096),
        }  # fmt: skip
        return "".join(f"agi_{name}: {value}\n" for name, value in values.items()) + "\n"

    async def _execute(self, command: str, command_id: str) -> str | None:
        """Run one command; AGISTATUS if it ends the loop."""
        channel = self.channel
        number = channel.pbx.rng.getrandbits(31)
        head = f"CommandId: {number}\r\nCommand: {command}\r\n"
        channel.event(rights.AGI, "AGIExecStart", head)
        diverted: Diverted | None = None
        try:
            code, result, text = await run_command(channel, command)
        except Hungup:
            code, result, text = 200, "result=-1", "Unknown Result"
        except Diverted as error:
            code, result, text, diverted = 200, "result=0", "Success", error
        channel.event(rights.AGI, "AGIExecEnd", f"{head}ResultCode: {code}\r\nResult: {text}\r\n")
        answer = encode(f"{_USAGE if code == 520 else f'{200 if code < 0 else code} {result}'}\n")
        id_line = f"CommandId: {command_id}\r\n" if command_id else ""
        channel.event(rights.AGI, "AsyncAGIExec", f"Result: {answer}\r\n{id_line}")
        if diverted is not None:
            raise diverted
        if code < 0:
            return "FAILURE"
        return "SUCCESS" if command.strip().upper() == "ASYNCAGI BREAK" else None


def _words(command: str) -> list[str]:
    """Words between blanks; double quotes hold blanks together, a backslash takes the next character as it is."""
    words, word, quoted, escaped, begun = [], "", False, False, False
    for character in command:
        if escaped:
            word, escaped = word + character, False
        elif character == "\\":
            escaped = begun = True
        elif character == '"':
            quoted, begun = not quoted, True
        elif character in " \t" and not quoted:
            if begun:
                words.append(word)
            word, begun = "", False
        else:
            word, begun = word + character, True
    return [*words, word] if begun else words


_TAKES_MORE = ("GET VARIABLE", "SET VARIABLE", "STREAM FILE", "SET MUSIC", "SET CONTEXT", "WAIT FOR")


async def run_command(channel: Channel, command: str) -> tuple[int, str, str]:
    """Code, result and AGIExecEnd's word for an AGI command. Raises Hungup if the channel ended during it."""
    words = _words(command)
    verbs = [w.upper() for w in words[:3]] + ["", "", ""]
    first, two = verbs[0], f"{verbs[0]} {verbs[1]}"
    if first == "EXEC" and len(words) > 1:
        return await _exec(channel, words[1], words[2] if len(words) > 2 else "")
    if two == "GET VARIABLE" and len(words) > 2:
        value = channel.get_variable(words[2])
        return _success("result=0" if value is None else f"result=1 ({value})")
    if two == "GET FULL" and len(words) > 3:
        return _success(f"result=1 ({substitute(words[3], channel.get_variable)})")
    if two == "SET VARIABLE" and len(words) > 3:
        channel.set_variable(words[2], words[3])
        return _success("result=1")
    if two == "SET CONTEXT" and len(words) > 2:
        channel.context = words[2]
        return _success("result=0")
    if two == "SET MUSIC" and len(words) > 2:
        if words[2].lower() in ("on", "yes", "true", "1"):
            channel.start_music(words[3] if len(words) > 3 else "default")
        else:
            channel.stop_music()
        return _success("result=0")
    if two == "STREAM FILE" and len(words) > 2:
        length = channel.pbx.config.sounds.get(words[2], channel.pbx.config.other_sounds_s)
        if length is None:
            return -1, "result=-1 endpos=0", "Failure"
        await execute(channel, "Playback", words[2])
        return _success(f"result=0 endpos={int(length * 8000)}")
    if two == "CHANNEL STATUS":
        return _success(f"result={channel.state}")
    if two == "SET CALLERID" and len(words) > 2:
        channel.caller = (words[2], "")
        channel.publish()
        return _success("result=1")
    if two == "WAIT FOR":
        await channel.sleep(int(words[3]) / 1000 if len(words) > 3 and words[3].isdigit() else 0.0)
        return _success("result=0")
    if first == "HANGUP":
        channel.event(rights.CALL, "SoftHangupRequest", f"Cause: {SOFTHANGUP_EXPLICIT}\r\n")
        channel.soft_hangup()
        return _success("result=1")
    if first == "ANSWER":
        channel.pbx.answer(channel)
        return _success("result=0")
    if first == "VERBOSE":
        return _success("result=1")
    if first in ("NOOP",) or two == "ASYNCAGI BREAK":
        return _success("result=0")
    if first == "EXEC" or two in _TAKES_MORE:
        return 520, "", "Usage"
    return 510, "Invalid or unknown command", "Invalid or unknown command"


def _success(result: str) -> tuple[int, str, str]:
    return 200, result, "Success"


async def _exec(channel: Channel, name: str, data: str) -> tuple[int, str, str]:
    """EXEC App arguments: no substitution, and the arguments end at the first blank that is not quoted."""
    if not exists(name):
        return 200, "result=-2", "Unknown Result"
    channel.run(name, data)
    try:
        result = await execute(channel, name, data)
    finally:
        if not channel.dead:
            channel.run("AGI", "agi:async")
    if result == END:
        return 200, "result=-1", "Unknown Result"
    return _success("result=0")
