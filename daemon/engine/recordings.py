"""When a conversation is recorded: begun before the customer meets the agent, one file a conversation, gaps for card
numbers (RECD-01…03). What becomes of the files is daemon.tapes'.

The file's name is the attempt's id and a number, in the folder that the site's settings name; nothing in it tells who.
"""

from __future__ import annotations

from daemon.calls import events as ev
from daemon.calls.actions import MuteRecording, StartRecording, StopRecording
from daemon.calls.facts import RecordingEnded, RecordingStarted
from daemon.calls.states import CallState
from daemon.engine import commands as c
from daemon.engine.live import Call, Live
from daemon.engine.named import audit
from daemon.engine.transfers import Transfers
from daemon.errors import CommandError


class Recordings:
    """See the module's first lines."""

    def __init__(self, live: Live, transfers: Transfers) -> None:
        self._live, self._transfers = live, transfers

    @property
    def possible(self) -> bool:
        """Whether this site records at all: a folder both sides know, and the rights."""
        live = self._live
        return bool(live.site.recordings_dir) and "record" in live.link.capabilities

    @property
    def on_demand(self) -> bool:
        return self.possible and "record_on_demand" in self._live.link.capabilities

    def file_for(self, call: Call) -> str:
        """The file that the PBX itself is to begin, with the originate; empty where we begin it, or nobody does."""
        wanted = call.campaign is not None and call.campaign.record.recording
        return self._file(call, 1) if wanted and self.possible and not self.on_demand else ""

    def _file(self, call: Call, number: int) -> str:
        folder = (self._live.site.recordings_pbx_dir or self._live.site.recordings_dir).rstrip("/")
        return f"{folder}/{call.attempt_id.hex}-{number}.wav"

    def before_connect(self, call: Call) -> None:
        """The conversation is about to begin: the recording first."""
        if call.tape or call.campaign is None or not call.campaign.record.recording:
            return
        if self.on_demand:
            self._start(call, "campaign")
        elif self.possible and not call.tapes:
            self._begun(call, "campaign")  # the PBX records from the first bridge on

    def _start(self, call: Call, by: str) -> None:
        self._live.act(StartRecording(leg=call.leg, file=self._file(call, call.tapes + 1)))
        self._begun(call, by)

    def _begun(self, call: Call, by: str) -> None:
        live = self._live
        call.tapes += 1
        call.tape, call.taped_at, call.tape_gaps, call.tape_muted_at = call.tapes, live.now, [], None
        live.fact(
            RecordingStarted(
                at=call.utc(live.now),
                site=live.site.id,
                attempt_id=call.attempt_id,
                group_id=call.group_id,
                number=call.tape,
                file=f"{call.attempt_id.hex}-{call.tape}.wav",
                by=by,
            )
        )
        live.event(call, "recording", number=call.tape)
        self._shown(call)

    def _call_of(self, command: c.CallCommand) -> Call:
        call, _ = self._transfers.conversation(command)
        if not self.possible:
            raise CommandError("recording_off", {"site": self._live.site.id, "mode": self._live.link.mode})
        return call

    def _RecordCall(self, command: c.RecordCall) -> None:
        call = self._call_of(command)
        if command.on and not call.tape:
            self._transfers.need("record_on_demand")
            self._start(call, command.by)
        elif not command.on and call.tape:
            self._live.act(StopRecording(leg=call.leg))
            self._ended(call)
        audit(self._live, command.by, "recording.start" if command.on else "recording.stop", call.attempt_id)

    def _MuteRecordedCall(self, command: c.MuteRecordedCall) -> None:
        live = self._live
        call = self._call_of(command)
        if not call.tape:
            raise CommandError("recording_off", {"attempt_id": str(call.attempt_id)})
        if command.on and call.tape_muted_at is None:
            call.tape_muted_at = live.now
            live.act(MuteRecording(leg=call.leg, on=True))
        elif not command.on and call.tape_muted_at is not None:
            self._gap(call)
            live.act(MuteRecording(leg=call.leg, on=False))
        live.event(call, "recording_muted" if command.on else "recording_unmuted", number=call.tape)
        audit(self._live, command.by, "recording.mute" if command.on else "recording.unmute", call.attempt_id)
        self._shown(call)

    def _gap(self, call: Call) -> None:
        if call.tape_muted_at is not None:
            start, call.tape_muted_at = call.tape_muted_at, None
            call.tape_gaps.append((round(start - call.taped_at, 3), round(self._live.now - call.taped_at, 3)))

    def refused(self, call: Call, event: ev.ActionRefused) -> None:
        """The PBX would not record: the call goes on, and somebody is told."""
        live = self._live
        if event.action == "startrecording" and call.tape:
            live.alerts["recording"] = "recording_failed"
            live.event(call, "recording_failed", reason=event.message)
            self._ended(call, failed=True)

    def over(self, call: Call) -> None:
        """The call has ended, and its recording with it."""
        if call.tape:
            self._ended(call)
            self._live.alerts.pop("recording", None)  # the PBX records

    def _ended(self, call: Call, *, failed: bool = False) -> None:
        live = self._live
        self._gap(call)
        live.fact(
            RecordingEnded(
                at=call.utc(live.now),
                site=live.site.id,
                attempt_id=call.attempt_id,
                number=call.tape,
                duration_s=round(live.now - call.taped_at, 3),
                muted=call.tape_gaps,
                failed=failed,
            )
        )
        call.tape = 0
        self._shown(call)

    def adopted(self, call: Call) -> None:
        """After a restart: a conversation of a campaign that records is being recorded still."""
        records = call.campaign is not None and call.campaign.record.recording and self.possible
        if records and call.state is CallState.TALKING and not call.tape:
            call.tape = call.tapes = 1
            call.taped_at = call.connected_at or self._live.now

    def _shown(self, call: Call) -> None:
        if call.desk is not None:
            self._live.touch("agents", call.desk.id)
