"""The lab: the users, telephones, contexts and numbers of the recorded server, so that it can be stood in for.

The first three digits of a number choose what the far end does, for telephones as for the trunk.
"""

from random import Random

from fake_asterisk import rights
from fake_asterisk.config import Behaviour, Endpoint, FakeConfig
from fake_asterisk.rights import ManagerUser

SECRET = "s3cret"

_CAPTURE = "system,call,log,verbose,command,agent,user,config,dtmf,cdr,dialplan,originate,agi,hookresponse,cc,aoc"

USERS = (
    ManagerUser.of("dialer", SECRET, "all", "all"),
    ManagerUser.of("capture", SECRET, _CAPTURE, "all"),
    ManagerUser.of("limited", SECRET, "call", "call"),
    ManagerUser.of("basic", SECRET, "system,call,user", "originate,call"),
    ManagerUser.of("noevents", SECRET, "", "all"),
    ManagerUser.of("filtered", SECRET, "all", "all", "!Event: VarSet", "!Event: Newexten"),
)

for _user in USERS:
    _user.write_timeout_s = 5.0 if _user.name == "dialer" else 0.1

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

# Telephones whose far end stands at another number of the customers' table.
_CONTACTS = {"1006": "102", "1007": "108", "1008": "103"}

# The recorded server's own configuration, line for line where a recording shows it: its Newexten events name each
# context, priority, application and argument, so a dialplan written otherwise could not replay equal.
DIALPLAN = """
[agents]
exten => _1XXX,1,Answer()
 same => n,Wait(3600)
[cust]
exten => _0X!,1,NoOp(customer ${EXTEN})
 same => n,Wait(1)
 same => n,Answer()
 same => n,Wait(20)
 same => n,Hangup()
exten => _9X!,1,Hangup(17)
[bridge]
exten => _X!,1,Dial(Local/${EXTEN}@agents/n)
[instant]
exten => _X!,1,Answer()
 same => n,Wait(1)
 same => n,Hangup()
[outbound]
exten => _X!,1,Dial(PJSIP/${EXTEN}@trunk,60)
 same => n,Hangup()
[from-internal]
exten => _10XX,1,Dial(PJSIP/${EXTEN},30)
 same => n,Hangup()
exten => _1XXXX!,1,Dial(PJSIP/${EXTEN}@trunk,60)
 same => n,Hangup()
[from-agent]
include => from-internal
[from-trunk]
exten => _X!,1,Hangup(1)
[dialer-customer]
exten => s,1,NoOp(${DIALER_CALL})
 same => n,Set(CHANNEL(hangup_handler_push)=dialer-hangup,s,1)
 same => n,ExecIf($["${DIALER_AMD}"="1"]?AMD())
 same => n,UserEvent(DialerAnswered,Call: ${DIALER_CALL},AMD: ${AMDSTATUS})
 same => n,MusicOnHold(default,${IF($["${DIALER_HOLD}"=""]?5:${DIALER_HOLD})})
 same => n,GotoIf($["${DIALER_BRIDGED}"="1"]?done)
 same => n,UserEvent(DialerAbandoned,Call: ${DIALER_CALL})
 same => n(done),Hangup()
[dialer-agent]
exten => s,1,Answer()
 same => n(wait),UserEvent(DialerAgentReady,Agent: ${DIALER_AGENT})
 same => n,MusicOnHold(default)
 same => n,Goto(wait)
[dialer-hangup]
exten => s,1,UserEvent(DialerHangup,Call: ${DIALER_CALL},Cause: ${HANGUPCAUSE})
 same => n,Return()
"""

SOUNDS = {
    "dialer-1s": 1.0,
    "dialer-3s": 3.0,
    "beep": 0.25,
    "hello-world": 1.4,
    "tt-monkeys": 16.0,
    "demo-congrats": 30.0,
}


def behaviour_of(endpoint: str, number: str, rng: Random) -> Behaviour:
    """By the first three digits of what is dialled; a telephone's own number counts if no other is given."""
    if endpoint == "deadtrunk":
        return NUMBERS["116"]
    prefix = (number or _CONTACTS.get(endpoint, endpoint))[:3]
    if prefix in REFUSALS:
        return Behaviour(rings=None, answer_after_s=None, fail_sip=REFUSALS[prefix])
    return NUMBERS.get(prefix, _OTHERS)


def endpoints() -> dict[str, Endpoint]:
    """Two trunks and nine telephones, 1009 of them never registered."""
    found = {
        "trunk": Endpoint("trunk", "from-trunk", contact="sip:127.0.0.1:5070"),
        "deadtrunk": Endpoint("deadtrunk", "from-trunk", contact="sip:127.0.0.1:5999"),
    }
    for number in range(1001, 1010):
        name = str(number)
        caller = (name, f"Agent {name}") if number <= 1005 else ("", "")
        contact = f"sip:{_CONTACTS[name]}@127.0.0.1:5070" if name in _CONTACTS else f"sip:{name}@127.0.0.1:5071"
        found[name] = Endpoint(name, "from-agent", caller, registered=number != 1009, contact=contact)
    return found


def boot_events() -> tuple[tuple[int, str, str], ...]:
    """What the sample configuration of the recorded server tells while it boots."""
    peers = ("1001", "1002", "1003", "1004", "1005", "1006", "1007", "1008", "deadtrunk", "trunk")
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


def config() -> FakeConfig:
    """The lab's configuration."""
    return FakeConfig(
        users={user.name: user for user in USERS}, endpoints=endpoints(), behaviour_of=behaviour_of,
        dialplan=DIALPLAN, version="22.10.1+dfsg+~cs6.17.60671434-1", sounds=SOUNDS, other_sounds_s=None,
        boot_events=boot_events(), uptime_s=754.0,
        other_devices=dict.fromkeys(("MWI:1234@default", "MWI:1234@devices@myaliases", "MWI:1234@other"), "NOT_INUSE"),
    )  # fmt: skip
