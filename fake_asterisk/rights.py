"""AMI classes: the rights of a manager user, and the masks that events are filtered by."""

from dataclasses import dataclass, field

SYSTEM, CALL, LOG, VERBOSE, COMMAND, AGENT, USER, CONFIG, DTMF, REPORTING = (1 << n for n in range(10))
CDR, DIALPLAN, ORIGINATE, AGI, HOOKRESPONSE, CC, AOC, TEST, SECURITY, MESSAGE = (1 << n for n in range(10, 20))
ALL = (1 << 20) - 1

NAMES = {
    "system": SYSTEM,
    "call": CALL,
    "log": LOG,
    "verbose": VERBOSE,
    "command": COMMAND,
    "agent": AGENT,
    "user": USER,
    "config": CONFIG,
    "dtmf": DTMF,
    "reporting": REPORTING,
    "cdr": CDR,
    "dialplan": DIALPLAN,
    "originate": ORIGINATE,
    "agi": AGI,
    "hookresponse": HOOKRESPONSE,
    "cc": CC,
    "aoc": AOC,
    "test": TEST,
    "security": SECURITY,
    "message": MESSAGE,
}


def class_text(mask: int) -> str:
    """As in `Privilege:` and in ListCommands: `call,all`; `<none>` for a mask of nothing."""
    names = [name for name, bit in NAMES.items() if mask & bit]
    return ",".join([*names, "all"]) if names else "<none>"


def parse_classes(text: str) -> int:
    """A comma list of classes. Names nobody knows count for nothing, silently, as seen."""
    mask = 0
    for word in text.split(","):
        word = word.strip().lower()
        mask |= ALL if word in ("all", "-1") else 0 if word == "none" else NAMES.get(word, 0)
    return mask


def parse_event_mask(text: str) -> int:
    """Value of Login's `Events` or of `EventMask`: on, off, a number or a list of classes."""
    word = text.strip().lower()
    if not word or word in ("on", "true", "yes", "y", "t", "1"):
        return ALL
    if word in ("off", "false", "no", "n", "f", "0", "-1"):
        return 0
    if word.isdigit():
        return int(word) & ALL
    return parse_classes(text)


@dataclass(slots=True)
class ManagerUser:
    """One user of manager.conf. `eventfilters` are regular expressions over a whole event, `!` in front excludes."""

    name: str
    secret: str
    read: int = ALL
    write: int = ALL
    eventfilters: list[str] = field(default_factory=list)
    write_timeout_s: float = 5.0  # a reader who blocks our writing for so long is cut off (`writetimeout`)

    @classmethod
    def of(cls, name: str, secret: str, read: str, write: str, *eventfilters: str) -> "ManagerUser":
        """The user as manager.conf would write it."""
        return cls(name, secret, parse_classes(read), parse_classes(write), list(eventfilters))
