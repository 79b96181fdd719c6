"""What operators and programs ask of the engine. The engine validates and applies, or raises CommandError(code).

`by` names the operator for the audit. All commands are idempotent: asking for what is already so succeeds.
"""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

import msgspec


class Command(msgspec.Struct, frozen=True, kw_only=True):
    """Base of all commands."""

    by: str = ""


class StartCampaign(Command, frozen=True, kw_only=True):
    """Run: dials as soon as everything else allows. Errors: campaign_unknown, caller_id_forbidden, mode_impossible."""

    campaign_id: int


class PauseCampaign(Command, frozen=True, kw_only=True):
    """No new calls from here on; those under way finish by themselves and nobody is signed out."""

    campaign_id: int


class StopCampaign(Command, frozen=True, kw_only=True):
    """Pause, and release the agents when their call ends. `hang_up_ringing`: also end what is not answered yet."""

    campaign_id: int
    hang_up_ringing: bool = False


class TuneCampaign(Command, frozen=True, kw_only=True):
    """Live change of mode, level or speed. `from_speed`: refuse with `changed_meanwhile` if the speed moved since."""

    campaign_id: int
    mode: str | None = None
    level: int | None = None
    speed: int | None = None
    from_speed: int | None = None


class StopAllCalls(Command, frozen=True, kw_only=True):
    """Pause every running campaign (of the group; 0 = all; of those named, if any are). `hang_up_ringing` as in
    StopCampaign."""

    group_id: int = 0
    campaign_ids: tuple[int, ...] = ()
    hang_up_ringing: bool = False


class SignIn(Command, frozen=True, kw_only=True):
    """An agent starts work on campaigns, paused or ready. Errors: agent_unknown, extension_unregistered."""

    agent_id: int
    campaign_ids: tuple[int, ...]
    ready: bool = False


class SignOut(Command, frozen=True, kw_only=True):
    """An agent leaves; in a call, after its end (and wrap-up by default disposition)."""

    agent_id: int


class SetReady(Command, frozen=True, kw_only=True):
    """Errors: agent_signed_out, extension_unregistered, disposition_required."""

    agent_id: int


class SetPaused(Command, frozen=True, kw_only=True):
    """Pause now, or after the call in progress. Errors: pause_code_required, pause_code_refused, pause_code_unknown."""

    agent_id: int
    code: str = ""


class Dispose(Command, frozen=True, kw_only=True):
    """The status code of the agent's last call (may be set while talking). `then`: ready | paused.

    Errors: status_unknown, call_gone, callback_required, agent_not_in_call.
    """

    agent_id: int
    attempt_id: UUID
    code: str
    notes: str = ""
    callback_at: datetime | None = None
    callback_mine: bool = True
    do_not_call: bool = False
    then: str = "ready"
    pause_code: str = ""


class DialNumber(Command, frozen=True, kw_only=True):
    """A manual call by an agent (MANUEL): the number is E.164; `lead_id` 0 = none.

    Errors: agent_busy, call_forbidden (details rule, clause, until), line_unavailable, pbx_unreachable.
    """

    agent_id: int
    campaign_id: int
    e164: str
    lead_id: int = 0


class NextContact(Command, frozen=True, kw_only=True):
    """The best due lead of the agent's campaigns: dialled agent first (S100-12), or offered if PREVIEW."""

    agent_id: int


class PreviewDial(Command, frozen=True, kw_only=True):
    """Accept the lead under preview."""

    agent_id: int


class ExtendTime(Command, frozen=True, kw_only=True):
    """More time, once a wrap-up or preview, if the campaign allows it. Errors: no_more_time."""

    agent_id: int


class PreviewSkip(Command, frozen=True, kw_only=True):
    """Give the lead under preview back."""

    agent_id: int
    reason: str = ""


class HangUpCall(Command, frozen=True, kw_only=True):
    """End a call by attempt id. Errors: call_gone."""

    attempt_id: UUID


class CallExtension(Command, frozen=True, kw_only=True):
    """Click-to-call: ring `extension`, then dial `e164`, then connect (S100-01). No agent session needed.

    The attempt id is made by the caller so that the request can be followed. `line_id` 0 = chosen from the pool of the
    group's trunk lines. Errors: line_unavailable, call_forbidden, pbx_unreachable, extension_busy.
    """

    attempt_id: UUID
    site: str
    group_id: int
    extension: str
    e164: str
    line_id: int = 0
    caller_id: str = ""
    client_id: int = 0
    rule_set: str = ""
    kind: str = "click2call"


# -- what is done with a call in progress: by agent, or by attempt (click-to-call). Errors of all: agent_not_in_call,
# call_gone, not_possible_here (these rights), pbx_unreachable.


class CallCommand(Command, frozen=True, kw_only=True):
    """Base of these. `agent_id` 0: the call is named by `attempt_id`."""

    agent_id: int = 0
    attempt_id: UUID | None = None


class HoldCall(CallCommand, frozen=True, kw_only=True):
    """The customer waits with music."""


class ResumeCall(CallCommand, frozen=True, kw_only=True):
    """The customer comes back to the agent; a third party who is being asked is let go."""


class MuteAgent(CallCommand, frozen=True, kw_only=True):
    """The customer does not hear the agent while `on`."""

    on: bool


class SendDtmf(CallCommand, frozen=True, kw_only=True):
    """Digits to the customer's side (a menu of theirs)."""

    digits: str


class Consult(CallCommand, frozen=True, kw_only=True):
    """Hold the customer and ask somebody: an `extension`, or an outside number `e164`. Errors: third_there_already,
    call_forbidden, line_unavailable."""

    extension: str = ""
    e164: str = ""


class TransferCall(Consult, frozen=True, kw_only=True):
    """Give the customer to somebody without asking first. If nobody answers there, the customer comes back to the agent
    or, if that one is busy, to the next who is ready."""


class CompleteTransfer(CallCommand, frozen=True, kw_only=True):
    """Give the customer to the third party who is being asked. Errors: third_not_there."""


class Conference(CallCommand, frozen=True, kw_only=True):
    """Customer, agent and third party together. Errors: third_not_there."""


class LeaveConference(CallCommand, frozen=True, kw_only=True):
    """The agent leaves, the two others go on."""


class RecordCall(CallCommand, frozen=True, kw_only=True):
    """Start or stop recording this conversation (RECD-01). Errors: recording_off."""

    on: bool


class MuteRecordedCall(CallCommand, frozen=True, kw_only=True):
    """While `on`, silence is recorded: card numbers (RECD-02). Errors: recording_off."""

    on: bool


class Supervise(CallCommand, frozen=True, kw_only=True):
    """Ring `extension` and let it hear the agent's conversation: listen, whisper or barge (SUPV-01); asked again by the
    same person, only the mode changes."""

    extension: str
    mode: str = "listen"


class StopSupervising(CallCommand, frozen=True, kw_only=True):
    """The supervisor `by` hears this agent no longer."""


class TakeOver(CallCommand, frozen=True, kw_only=True):
    """The supervisor gets the customer, the agent is free. The phone that listens already, else `extension` rings."""

    extension: str = ""


class SetLine(Command, frozen=True, kw_only=True):
    """Switch a line on or off, or end its rest; effective on the next allocation."""

    line_id: int
    enabled: bool


class ConfigChanged(Command, frozen=True, kw_only=True):
    """Rows of a table were created, changed or deleted: read them again. `table`: the record class' name."""

    table: str
    ids: tuple[int, ...] = ()


class LeadsChanged(Command, frozen=True, kw_only=True):
    """Leads were added, edited, red-listed or switched off: what is queued of them is dropped and claimed anew.

    Empty `lead_ids`: all queued leads of `list_ids`; both empty: look for new leads at once (LEAD-06).
    """

    lead_ids: tuple[int, ...] = ()
    list_ids: tuple[int, ...] = ()
    campaign_id: int = 0
    e164s: tuple[str, ...] = ()


class DatabaseReconciled(Command, frozen=True, kw_only=True):
    """What a restored, older database lacks has been seen to (a list of who was called meanwhile): dial again.

    Errors: journal_full (the confirmation can't be kept).
    """

    site: str


class Drain(Command, frozen=True, kw_only=True):
    """No new calls; finish those in progress within `bound_s`, then the engine reports itself drained."""

    bound_s: float = 30.0


AnyCommand = (
    StartCampaign
    | PauseCampaign
    | StopCampaign
    | TuneCampaign
    | StopAllCalls
    | SignIn
    | SignOut
    | SetReady
    | SetPaused
    | Dispose
    | DialNumber
    | NextContact
    | PreviewDial
    | PreviewSkip
    | ExtendTime
    | HangUpCall
    | CallExtension
    | CallCommand
    | HoldCall
    | ResumeCall
    | MuteAgent
    | SendDtmf
    | Consult
    | TransferCall
    | CompleteTransfer
    | Conference
    | LeaveConference
    | RecordCall
    | MuteRecordedCall
    | Supervise
    | StopSupervising
    | TakeOver
    | SetLine
    | ConfigChanged
    | LeadsChanged
    | DatabaseReconciled
    | Drain
)
