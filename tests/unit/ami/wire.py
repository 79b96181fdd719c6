"""Events as Asterisk 22 writes them, short: only the headers that somebody reads."""

from __future__ import annotations

from daemon.ami.codec import AmiCodec, Message

CUSTOMER = "par-" + "a" * 32
CUSTOMER_2 = "par-" + "b" * 32
AGENT = "par-ag-7-" + "0" * 16
AGENT_2 = "par-ag-8-" + "0" * 16
FAR_HALF = "b-" + CUSTOMER
TRUNK = "1795294410.7344"


def message(name: str, /, **headers: str) -> Message:
    """One event, through our codec. `Cause_txt` stands for the header Cause-txt."""
    lines = "".join(f"{key.replace('_', '-')}: {value}\r\n" for key, value in headers.items())
    codec = AmiCodec()
    (made,) = codec.receive_data(f"Asterisk Call Manager/11.0.0\r\nEvent: {name}\r\n{lines}\r\n".encode())
    return made


def newchannel(uid: str, linked: str = "") -> Message:
    return message("Newchannel", Channel="PJSIP/x-1", ChannelState="0", Uniqueid=uid, Linkedid=linked or uid)


def newstate(uid: str, state: int) -> Message:
    return message("Newstate", Channel="PJSIP/x-1", ChannelState=str(state), Uniqueid=uid, Linkedid=uid)


def dial_state(uid: str, status: str) -> Message:
    return message("DialState", DestChannel="PJSIP/x-1", DestUniqueid=uid, DialStatus=status)


def dial_end(uid: str, status: str) -> Message:
    return message("DialEnd", DestChannel="PJSIP/x-1", DestUniqueid=uid, DialStatus=status)


def originate_response(uid: str, response: str, reason: int) -> Message:
    headers = {"Response": response, "Channel": "PJSIP/100@trunk", "Reason": str(reason), "Uniqueid": uid}
    return message("OriginateResponse", ActionID=uid, **headers)


def hangup(uid: str, cause: int, state: int = 0, tech_cause: int | None = None, text: str = "") -> Message:
    extra = {} if tech_cause is None else {"TechCause": str(tech_cause)}
    return message(
        "Hangup", Channel="PJSIP/x-1", ChannelState=str(state), Uniqueid=uid, Cause=str(cause), Cause_txt=text, **extra
    )


def agi_start(uid: str) -> Message:
    return message("AsyncAGIStart", Channel="PJSIP/x-1", ChannelState="6", Uniqueid=uid, Env="agi_request%3A")


def agi_exec(uid: str, command_id: str, result: str = "200%20result%3D0%0A") -> Message:
    return message("AsyncAGIExec", Channel="PJSIP/x-1", Uniqueid=uid, Result=result, CommandId=command_id)


def enter(uid: str, bridge: str, swap: str = "") -> Message:
    extra = {"SwapUniqueid": swap} if swap else {}
    return message("BridgeEnter", BridgeUniqueid=bridge, Channel="PJSIP/x-1", Uniqueid=uid, **extra)


def leave(uid: str, bridge: str) -> Message:
    return message("BridgeLeave", BridgeUniqueid=bridge, Channel="PJSIP/x-1", Uniqueid=uid)


def user_event(uid: str, name: str, **headers: str) -> Message:
    return message("UserEvent", Channel="PJSIP/x-1", ChannelState="6", Uniqueid=uid, UserEvent=name, **headers)
