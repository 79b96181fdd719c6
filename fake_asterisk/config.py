"""What a fake PBX is made of: users, telephones, behaviour, timing. The lab and the demo each fill one."""

from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from typing import TYPE_CHECKING

from fake_asterisk.rights import ManagerUser

if TYPE_CHECKING:
    from fake_asterisk.channel import Party


@dataclass(slots=True)
class Behaviour:
    """What the far end of one call does. Times are seconds; those of answering count from the invitation."""

    rings: str | None = "ringing"  # "ringing" (180), "progress" (183 with sound), None: no provisional reply
    ring_after_s: float = 0.003
    answer_after_s: float | None = 0.5  # None: never
    fail_sip: int = 0  # final SIP status instead of an answer
    fail_after_s: float = 0.007
    hangup_after_s: float | None = None  # says goodbye this long after the answer
    patience_s: float | None = None  # says goodbye this long after the answer if nobody talks with it by then
    talk_s: float | None = None  # says goodbye this long after somebody first talks with it
    media_s: float = 0.0  # sound arrives for so long after the answer: 20 ms ticks, Local pairs optimise
    voice: str = "silent"  # "human", "machine", "fax" or "silent": what AMD, and an ear for fax tones, decide on


BehaviourOf = Callable[[str, str, Random], Behaviour]


@dataclass(frozen=True, slots=True)
class AriUser:
    """A user of ari.conf."""

    password: str
    read_only: bool = False


@dataclass(slots=True)
class Endpoint:
    """A PJSIP endpoint: a telephone, or a trunk (`PJSIP/number@name`)."""

    name: str
    context: str
    caller: "Party" = ("", "")
    registered: bool = True
    contact: str = ""


@dataclass(slots=True)
class FakeConfig:
    """Everything that can be chosen about a fake PBX. `behaviour_of(endpoint, number, rng)` decides about each call."""

    users: dict[str, ManagerUser]
    endpoints: dict[str, Endpoint]
    behaviour_of: BehaviourOf
    dialplan: str = ""
    ari_users: dict[str, AriUser] = field(default_factory=dict)
    version: str = "22.10.1"
    ami_version: str = "11.0.0"
    timestamp_events: bool = True
    sounds: dict[str, float] = field(default_factory=dict)  # length of a sound file in seconds
    other_sounds_s: float | None = 2.0  # length of a file not listed; None: such a file is missing
    permit: tuple[str, ...] = ()  # addresses that may connect; empty: all. Others are closed before the greeting
    auth_timeout_s: float = 30.0
    auth_limit: int = 50
    login_delay_s: float = 1.0  # before "Authentication failed"
    setup_delay_s: float = 0.001  # from the reply to an Originate to its Newchannel
    invite_delay_s: float = 0.001  # from Newchannel to DialBegin
    invite_timeout_s: float = 32.0  # SIP timer B: no reply at all
    agi_tick_s: float = 0.1
    agi_media_tick_s: float = 0.02
    optimise_after_s: float = 0.03
    other_devices: dict[str, str] = field(default_factory=dict)  # what DeviceStateList has besides endpoints
    uptime_s: float = 0.0  # how long the server is said to have been up already
    boot_port_s: float = 0.5  # from the start to the open port
    boot_ready_s: float = 0.5  # from the open port to FullyBooted
    rtcp: dict[str, tuple[int, int]] = field(default_factory=dict)  # endpoint → lost of 256, jitter in 1/8000 s
    recordings_folder: str = "/var/spool/asterisk/monitor"
    boot_events: tuple[tuple[int, str, str], ...] = ()  # class, name and lines of what comes before FullyBooted
