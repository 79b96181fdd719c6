"""The lab: a small PBX whose far ends do what the number called says, for tests and to try things by hand.

The first three digits of a number choose what the far end does, for telephones as for the trunk. `config()` is a PBX of
our own; `config(FOLDER)` has the users, telephones and contexts of the configuration files there, so that it can stand
where their server stood: the recorded one, whose folder is `recorded()`.
"""

from pathlib import Path
from random import Random

from fake_asterisk import conf, rights
from fake_asterisk.config import Behaviour, BehaviourOf, Endpoint, FakeConfig
from fake_asterisk.rights import ManagerUser

SECRET = "s3cret"
QUIET = ",".join(name for name in rights.NAMES if name not in ("reporting", "test", "security", "message"))
"""Every class but those that tell nothing of calls."""

USERS = (
    ManagerUser.of("dialer", SECRET, "all", "all"),
    ManagerUser.of("capture", SECRET, QUIET, "all"),
    ManagerUser.of("limited", SECRET, "call", "call"),
    ManagerUser.of("basic", SECRET, "system,call,user", "originate,call"),
    ManagerUser.of("noevents", SECRET, "", "all"),
    ManagerUser.of("filtered", SECRET, "all", "all", "!Event: VarSet", "!Event: Newexten"),
)
for _user in USERS[1:]:
    _user.write_timeout_s = conf.WRITE_TIMEOUT_MS / 1000

# Number prefix -> what the far end does.
NUMBERS = {
    "100": Behaviour(answer_after_s=0.505),
    "101": Behaviour(rings=None, answer_after_s=0.005),
    "102": Behaviour(answer_after_s=None),
    "109": Behaviour(rings="progress", ring_after_s=0.012, answer_after_s=0.31),
    "110": Behaviour(answer_after_s=0.508, hangup_after_s=2.005),
    "111": Behaviour(rings="progress", ring_after_s=0.012, answer_after_s=None, fail_sip=404, fail_after_s=1.51),
    "116": Behaviour(rings=None, answer_after_s=None),
    "120": Behaviour(ring_after_s=0.022, answer_after_s=0.33, media_s=6.8, voice="human"),
    "121": Behaviour(ring_after_s=0.022, answer_after_s=0.33, media_s=11.6, voice="machine"),
    "122": Behaviour(answer_after_s=0.31, hangup_after_s=0.055),
    "123": Behaviour(answer_after_s=0.31),
    "124": Behaviour(answer_after_s=6.005),
}
REFUSALS = {
    "103": 486, "104": 404, "105": 403, "106": 480, "107": 503, "108": 603, "112": 488, "113": 484, "114": 408,
    "115": 500, "117": 410, "118": 502, "119": 600,
}  # fmt: skip
_OTHERS = Behaviour(answer_after_s=0.305)
_NOBODY_THERE = NUMBERS["116"]

FAR_ENDS = ("127.0.0.1:5070", "127.0.0.1:5071")
"""Where somebody listens: customers, telephones. At other contacts an invitation is lost."""

# Telephones whose far end stands at another number of the customers' table.
_ELSEWHERE = {"1006": "102", "1007": "108", "1008": "103"}

# Telephones reach one another, and whoever else through the route; who calls in from outside is told that nobody has
# that number. What a site needs for campaigns is Cadran's own include, which those add who want it.
DIALPLAN = """
[from-agent]
exten => _ZXXX,1,Dial(PJSIP/${EXTEN},45)
exten => _ZXXX,2,Hangup()
include => route
[route]
exten => _XXX!,1,Dial(PJSIP/${EXTEN}@trunk,90)
exten => _XXX!,2,Hangup()
[from-trunk]
exten => _[0-9].,1,Hangup(1)
"""

SOUNDS = {
    "dialer-1s": 1.0,
    "dialer-3s": 3.0,
    "beep": 0.25,
    "hello-world": 1.4,
    "tt-monkeys": 16.0,
    "demo-congrats": 30.0,
}


def recorded() -> Path | None:
    """The recorded server's configuration, where it lies beside this checkout."""
    folder = Path(__file__).resolve().parents[2] / "shared" / "asterisk" / "lab" / "conf"
    return folder if folder.is_dir() else None


def behaviour_by(endpoints: dict[str, Endpoint]) -> BehaviourOf:
    """By the first three digits of what is dialled; of a telephone's contact if it is called by its name."""

    def behaviour_of(endpoint: str, number: str, rng: Random) -> Behaviour:
        user, _, address = endpoints[endpoint].contact.removeprefix("sip:").rpartition("@")
        if address not in FAR_ENDS:
            return _NOBODY_THERE
        prefix = (number or user)[:3]
        if prefix in REFUSALS:
            return Behaviour(rings=None, answer_after_s=None, fail_sip=REFUSALS[prefix])
        return NUMBERS.get(prefix, _OTHERS)

    return behaviour_of


def endpoints() -> dict[str, Endpoint]:
    """Two trunks, at one of which nobody listens, and nine telephones, 1009 of them never registered."""
    customers, telephones = FAR_ENDS
    found = {
        "trunk": Endpoint("trunk", "from-trunk", contact=f"sip:{customers}"),
        "deadtrunk": Endpoint("deadtrunk", "from-trunk", contact="sip:127.0.0.1:5999"),
    }
    for name in map(str, range(1001, 1010)):
        contact = f"sip:{_ELSEWHERE[name]}@{customers}" if name in _ELSEWHERE else f"sip:{name}@{telephones}"
        found[name] = Endpoint(name, "from-agent", (name, f"Agent {name}"), registered=name != "1009", contact=contact)
    return found


def boot_events(endpoints: dict[str, Endpoint]) -> tuple[tuple[int, str, str], ...]:
    """What a server with these endpoints, and the mailboxes and hints of Asterisk's samples, tells while it boots."""
    peers = sorted(name for name, endpoint in endpoints.items() if endpoint.registered)
    events = [
        (rights.SYSTEM, "PeerStatus", f"ChannelType: PJSIP\r\nPeer: PJSIP/{p}\r\nPeerStatus: Reachable\r\n")
        for p in peers
    ]
    mailboxes = ("1234@default", "1234@devices@myaliases", "1234@other")
    waiting = [
        (rights.CALL, "MessageWaiting", f"Mailbox: {box}\r\nWaiting: 0\r\nNew: 0\r\nOld: 0\r\n") for box in mailboxes
    ]
    hints = (("1000", "demo", ""), ("1001", "demo", ""), ("1234", "default", ""))
    told = (("1001", "demo", "SIP/1001"), ("1000", "demo", "SIP/1000"), ("1234", "default", "SIP/1234"))
    again = (told[2], told[1], told[0])
    variables = (("CONSOLE-AEL", '\\"Console/dsp\\"'), ("OUTBOUND-TRUNK", '\\"Zap/g2\\"'), ("OUTBOUND-TRUNKMSD", "1"))
    sets = [
        (rights.DIALPLAN, "VarSet", f"Channel: none\r\nUniqueid: none\r\nVariable: {name}\r\nValue: {value}\r\n")
        for name, value in variables
    ]
    return (
        *events, *waiting, *map(_hint, hints), *map(_hint, told), *waiting, *sets, *map(_hint, again),
    )  # fmt: skip


def _hint(hint: tuple[str, str, str]) -> tuple[int, str, str]:
    exten, context, device = hint
    body = f"Exten: {exten}\r\nContext: {context}\r\nHint: {device}\r\nStatus: 4\r\nStatusText: Unavailable\r\n"
    return rights.CALL, "ExtensionStatus", body


def config(folder: Path | None = None) -> FakeConfig:
    """The lab of our own, or one configured by manager.conf, pjsip.conf and extensions.conf in `folder`. Raises OSError
    for a file that can't be read and ValueError for one that can't be understood."""
    if folder is None:
        users, phones, plan, time_stamped = {user.name: user for user in USERS}, endpoints(), DIALPLAN, True
    else:
        manager = folder / "manager.conf"
        users, time_stamped = conf.users(manager), conf.time_stamped(manager)
        phones, plan = conf.endpoints(folder / "pjsip.conf"), conf.dialplan(folder / "extensions.conf")
    return FakeConfig(
        users=users, endpoints=phones, behaviour_of=behaviour_by(phones), dialplan=plan,
        timestamp_events=time_stamped, sounds=SOUNDS, other_sounds_s=None, boot_events=boot_events(phones),
        uptime_s=754.0,
        other_devices=dict.fromkeys(("MWI:1234@default", "MWI:1234@devices@myaliases", "MWI:1234@other"), "NOT_INUSE"),
    )  # fmt: skip
