"""The two ports: Pbx (drivers: AMI in three modes, ARI) and Store (postgres, memory). Protocol classes only.

The engine talks to these; it never knows which implementation is behind. Every await is bounded by the implementation's
own deadline settings and ends in one of the errors named.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, Protocol, TypeVar, runtime_checkable
from uuid import UUID

import msgspec

from daemon.calls.actions import AnyAction
from daemon.calls.events import LegSeen, PbxEvent
from daemon.calls.facts import NumberedFact
from daemon.calls.records import AgentStateRow, Intent, Lead, LeadDraft, Lease, NumbersShown, OpenAttempt, Record

R = TypeVar("R", bound=Record)


class PbxStatus(msgspec.Struct, frozen=True, kw_only=True):
    """What the status endpoint and `cadran doctor` say of a link. Never contains a secret."""

    site: str
    driver: str
    up: bool
    since: datetime | None = None
    mode: str = ""
    mode_reason: str = ""
    version: str = ""
    capabilities: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    error_code: str = ""
    error: str = ""
    next_try_in_s: float | None = None
    extensions: tuple[str, ...] = ()
    figures: Mapping[str, float] = {}


class Pbx(Protocol):
    """A PBX behind one of the control modes. One instance a site."""

    site: str

    async def run(self, deliver: Callable[[PbxEvent], None]) -> None:
        """Keep the link up for ever (connect, log in, probe, resync, read), until cancelled.

        `deliver` takes each event at once, in order, and never blocks. After each login: LinkUp, then the
        ExtensionChanged/TrunkChanged it knows, then one PbxSnapshot; after each loss: LinkDown.
        """
        ...

    def perform(self, action: AnyAction) -> None:
        """Send an action; returns at once. What becomes of it arrives as events (LegFailed, ConnectFailed,
        ActionInDoubt, …). With the link down: LegFailed for originates, ActionInDoubt for the rest."""
        ...

    def status(self) -> PbxStatus:
        """The link as it is now."""
        ...

    async def audit(self) -> tuple[LegSeen, ...] | None:
        """Our legs as they are now, asked beside the events; None if the link or the rights can't tell."""
        ...

    async def probe_sound(self, sound: str) -> bool | None:
        """Whether the PBX has this sound file; None if these rights can't tell."""
        ...


class Pseudonyms(Protocol):
    """Numbers to pseudonyms, one way, under a key kept outside the database."""

    def of(self, e164: str) -> str: ...
    @property
    def fingerprint(self) -> str: ...


class ConsentRules(msgspec.Struct, frozen=True, kw_only=True):
    """Names of rule sets: those that need a consent, and of these, those that take instead the campaign's word that it
    calls companies, or a running contract."""

    required: frozenset[str] = frozenset()
    business: frozenset[str] = frozenset()
    contract: frozenset[str] = frozenset()


class Page(msgspec.Struct, frozen=True, kw_only=True):
    """One keyset page; `next_after` is None on the last."""

    rows: list[Any]
    next_after: str | None = None


class Store(Protocol):
    """Leads, calls and history; configuration; the site lease. Two implementations under one contract suite.

    Raises StoreUnavailable (retry; nothing was done, or a replay is idempotent) and StoreConflict.
    """

    async def open(self) -> None: ...
    async def close(self) -> None: ...
    async def ping(self) -> None:
        """Answers within the statement deadline, or StoreUnavailable."""
        ...

    # -- lease and recovery ---------------------------------------------------------------------------------------
    async def acquire_lease(self, site: str, holder: str, ttl_s: float, above: int = 0) -> Lease | None:
        """The site's lease with a new fence, higher than any it had and than `above` (fences that a restored database
        may have forgotten); None while another holder's is valid (database clock)."""
        ...

    async def renew_lease(self, lease: Lease) -> bool:
        """Extend by the ttl; False if the fence is no longer ours."""
        ...

    async def release_lease(self, lease: Lease) -> None: ...
    async def last_n(self, site: str, fence: int) -> int:
        """The highest applied fact number of (site, fence); 0 if none."""
        ...

    async def open_attempts(self, site: str) -> list[OpenAttempt]: ...
    async def agent_states(self, site: str) -> list[AgentStateRow]: ...
    async def numbers_shown(self, site: str, since: datetime, count: int) -> NumbersShown:
        """The site's last `count` attempts that showed a number of ours, and the rests of such numbers, both from
        `since` on: what caller-ID health is made of after a restart."""
        ...

    async def release_claims(self, site: str) -> int:
        """Give back every lead claimed for `site` that has no open attempt (a dead daemon's hopper). Count."""
        ...

    # -- the dialler's path ---------------------------------------------------------------------------------------
    async def claim_leads(
        self, campaign_id: int, count: int, now: datetime, open_tz_groups: Sequence[str], site: str, fence: int
    ) -> list[Lead]:
        """Up to `count` eligible leads of the campaign's active lists in its order, marked claimed by (site, fence)."""
        ...

    async def lead_facts(self, lead_id: int) -> Lead | None:
        """The lead as it is now, with attempt times of the last 31 days for (client, E.164), consent, DNC."""
        ...

    async def callable_counts(self, campaign_id: int, now: datetime) -> dict[str, int]:
        """All leads of the campaign by what holds them: `due`, and one entry a blocking reason. Sums to all leads."""
        ...

    async def tz_groups(self, campaign_id: int) -> list[str]:
        """The distinct tz groups of the campaign's leads (an index-only read; asked every few seconds)."""
        ...

    async def commit_intents(self, intents: Sequence[Intent], lease: Lease) -> dict[UUID, int]:
        """Insert what the fence, the legal limit and "one live attempt a person" allow, in one transaction.

        Returns {attempt_id: attempt number} of the rows inserted; the others were refused (their leads stay claimed).
        """
        ...

    async def apply_facts(self, facts: Sequence[NumberedFact]) -> None:
        """Apply in order, in one transaction, each once; already applied ones are passed over."""
        ...

    # -- configuration --------------------------------------------------------------------------------------------
    async def create(self, record: R) -> R:
        """Insert; the row with its id and version 1. StoreConflict(field) on a uniqueness rule."""
        ...

    async def get(self, kind: type[R], id: int) -> R | None: ...
    async def find(self, kind: type[R], **equals: Any) -> list[R]:
        """All rows of `kind` whose fields equal the given values, by id."""
        ...

    async def update(self, kind: type[R], id: int, changes: Mapping[str, Any], if_version: int | None) -> R:
        """Change the given fields; version + 1. StoreConflict if `if_version` is stale or a uniqueness rule refuses."""
        ...

    async def delete(self, kind: type[R], id: int, if_version: int | None) -> None: ...

    # -- leads and history ----------------------------------------------------------------------------------------
    async def add_leads(self, list_id: int, drafts: Sequence[LeadDraft]) -> list[int]:
        """Insert leads in one transaction; their ids, in order."""
        ...

    async def update_lead(self, lead_id: int, changes: Mapping[str, Any]) -> bool: ...
    async def search_leads(self, group_id: int, filters: Mapping[str, Any], limit: int, after: str | None) -> Page: ...
    async def lead_history(self, lead_id: int) -> list[dict[str, Any]]: ...
    async def search_attempts(
        self, group_id: int | None, filters: Mapping[str, Any], limit: int, after: str | None
    ) -> Page: ...
    async def attempt(self, key: UUID | int) -> dict[str, Any] | None:
        """One attempt by id or by number, with its events."""
        ...

    async def keep_draft(self, agent_id: int, attempt_id: UUID, body: dict[str, Any], now: datetime) -> None:
        """What an agent is typing about a call, in place of what was kept; drafts a day old go."""
        ...

    async def draft_of(self, agent_id: int) -> dict[str, Any] | None:
        """The body last kept, with its `attempt_id` and `saved_at`."""
        ...

    async def drop_draft(self, agent_id: int, attempt_id: UUID | None = None) -> None:
        """Forget an agent's draft; only if it is of that call, if one is named."""
        ...

    async def set_dnc(self, client_id: int, e164: str, on: bool, by: str, source: str) -> list[int]:
        """Add to or take from the client's red list; ids of the leads it touches."""
        ...

    async def add_dnc(self, client_id: int, e164s: Sequence[str], by: str, source: str) -> tuple[int, int]:
        """Add many numbers at once: (how many were not there before, how many leads are held for it)."""
        ...

    async def add_consent(self, client_id: int, e164: str, consent: Mapping[str, Any]) -> list[int]:
        """Record a consent (`at`, `until`, `source`, `text_version`, `proof`, flags); ids of the leads it touches."""
        ...

    async def revoke_consent(self, client_id: int, e164: str, at: datetime) -> list[int]: ...
    def use_consent_rules(self, rules: ConsentRules) -> None:
        """Which campaigns need a consent: leads that have none are held (`consent`) as they come into their lists."""
        ...

    async def review_consent(self, limit: int) -> list[int]:
        """Look through the next `limit` leads of a list whose campaigns' rules have changed: hold or lift. The list
        looked through; [] when none waits."""
        ...

    async def call_sums(
        self,
        group_id: int | None,
        filters: Mapping[str, Any],
        by: str,
        zone: str,
        digits: int,
        increments: Sequence[int],
    ) -> list[dict[str, Any]]:
        """Calls in sums by `key` (the dimension `by`; hours, days and weeks of `zone`) and `prefix` (the first `digits`
        characters of the number): calls, answered, no_answer, busy, failed, in_progress, talk_s, talked (calls with
        talk), billed_s (answer to end, one sum an increment, rounded up call by call)."""
        ...

    def stream_attempts(self, group_id: int | None, filters: Mapping[str, Any]) -> AsyncIterator[dict[str, Any]]:
        """As `search_attempts`, all of them, row by row."""
        ...

    # -- a person's rights (RGPD-01) ------------------------------------------------------------------------------
    async def use_pseudonyms(self, pseudonyms: Pseudonyms) -> None:
        """How erased numbers are written from now on. SettingsError if others were erased with another key."""
        ...

    async def person(self, group_id: int, e164: str) -> dict[str, Any]:
        """All rows of the group that name the number, by table, and under `erased` what is left of an erasure."""
        ...

    async def number_history(self, group_id: int, e164: str) -> dict[str, list[dict[str, Any]]]:
        """`attempts`, `consents` and `red_list` rows of a number, those of its pseudonym included: what a call to it
        that no lead stands for must be judged by."""
        ...

    async def on_red_list(self, client_id: int, e164: str) -> bool:
        """Whether the number, or its pseudonym, is on the client's red list."""
        ...

    async def erase_person(self, group_id: int, e164: str) -> dict[str, Any]:
        """Forget the number and what was noted with it; attempts and red lists stay under its pseudonym, and bind again
        when the number comes back. `counts` by table, `files` to delete, `pseudonym`. StoreConflict `open` while a call
        to it is in progress, `pseudonym_key` without a key."""
        ...

    async def stale_people(self, before: datetime, after: int, limit: int) -> tuple[list[tuple[int, str]], int | None]:
        """(group, E.164) of those not called and not heard of since `before`, nor holding a consent later than it,
        among the `limit` leads after the id `after`; and where the next page begins, None = nowhere."""
        ...

    async def purge_steps(self, before: datetime) -> dict[str, int]:
        """Drop steps of calls (whole UTC days), pacing decisions and the log of API calls older than `before`; how
        many of each: `days_of_steps`, `pacing_decisions`, `api_calls`."""
        ...

    async def note(self, by: str, what: str, target: str, detail: dict[str, Any]) -> None:
        """Append to the audit log what no engine did."""
        ...

    async def ledger_rows(self, campaign_id: int, since: datetime) -> list[dict[str, Any]]: ...
    async def report(self, name: str, **parameters: Any) -> list[dict[str, Any]]:
        """Run a named report (store/sql/<name>.sql); rows as dictionaries."""
        ...

    def stream(self, name: str, **parameters: Any) -> AsyncIterator[dict[str, Any]]:
        """A named report row by row, for exports of any size."""
        ...

    async def log_api_call(self, row: Mapping[str, Any]) -> None:
        """Append to `api_call_logs` (C2C-10)."""
        ...

    async def log_api_calls(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """The same for several, in one transaction: all or none. They name the same columns."""
        ...


# -- webhooks ---------------------------------------------------------------------------------------------------------

OutboxKey = tuple[int, str, int, int]
"""(webhook id, site, fence, n): the fact a row tells of, to whom."""


@runtime_checkable
class WebhookStore(Protocol):
    """What webhooks have still to be told (CRMI-03). Rows of calls are put in by `apply_facts`."""

    async def outbox_due(
        self, webhook_id: int, sites: Sequence[str], now: datetime, limit: int
    ) -> list[dict[str, Any]]:
        """Undelivered rows whose time has come, oldest first, at most one a call, so that a call's steps arrive in
        order; only those of `sites`, so that of several daemons one alone sends them."""
        ...

    async def outbox_done(self, keys: Sequence[OutboxKey]) -> None:
        """Delivered."""
        ...

    async def outbox_failed(self, key: OutboxKey, next_at: datetime | None, error: str, now: datetime) -> None:
        """Try again at `next_at`; None puts it among the dead letters."""
        ...

    async def outbox_add(
        self,
        group_id: int,
        topic: str,
        payload: Mapping[str, Any],
        at: datetime,
        key: tuple[str, int, int],
        only: int = 0,
    ) -> int:
        """Tell the group's webhooks of what is no step of a call; `only` names one, whatever its topics. How many."""
        ...

    async def outbox_dead(
        self, webhook_id: int, after: tuple[datetime, int, int] | None, limit: int
    ) -> list[dict[str, Any]]:
        """Dead letters by (at, fence, n)."""
        ...

    async def outbox_replay(
        self, webhook_id: int, ids: Sequence[str] | None, now: datetime, expires_at: datetime
    ) -> int:
        """Make dead letters due again: those of the ids `site-fence-n`, None = all. How many."""
        ...

    async def outbox_figures(self, webhook_ids: Sequence[int]) -> dict[int, dict[str, Any]]:
        """`pending`, `dead`, `oldest_at` (of what is pending) by webhook; those with no row are left out."""
        ...

    async def outbox_sweep(self, now: datetime, dead_before: datetime) -> int:
        """What nobody could deliver in its time becomes a dead letter (how many); old dead letters go."""
        ...


# -- CRM journals -----------------------------------------------------------------------------------------------------

CrmKey = tuple[int, UUID, int]
"""(integration, attempt, agent): one journal a call and user."""


@runtime_checkable
class CrmStore(Protocol):
    """Finished calls that integrations are to be told of (YPS-11). Rows are put in by `apply_facts`; `state`: pending,
    sending, done, doubt (it may have arrived), dead, skipped (nobody to tell it for)."""

    async def crm_due(
        self, integration_id: int, sites: Sequence[str], now: datetime, limit: int
    ) -> list[dict[str, Any]]:
        """Pending and doubtful rows whose time has come, with the attempt, its agent and its lead; oldest first."""
        ...

    async def crm_mark(
        self,
        key: CrmKey,
        expected: Sequence[str],
        state: str,
        now: datetime,
        *,
        tried: bool = False,
        next_at: datetime | None = None,
        error: str = "",
        journal_id: str = "",
    ) -> bool:
        """Change a row's state if it is one of `expected`; False otherwise, and nothing is changed."""
        ...

    async def crm_lost(self, sites: Sequence[str], now: datetime) -> int:
        """What an ended daemon was sending is in doubt now. Count."""
        ...

    async def crm_replay(
        self, integration_id: int, states: Sequence[str], attempt_ids: Sequence[UUID] | None, now: datetime
    ) -> int:
        """Back to pending, as someone decided; all of these states if `attempt_ids` is None. Count."""
        ...

    async def crm_figures(self, integration_ids: Sequence[int]) -> dict[int, dict[str, dict[str, Any]]]:
        """By integration and state: `count`, `oldest_at`."""
        ...

    async def crm_rows(self, integration_id: int, state: str, before: int, limit: int) -> list[dict[str, Any]]:
        """Rows, newest call first, with numbers below `before` (0: all); `state` "" = any."""
        ...

    async def crm_trim(self, before: datetime) -> int:
        """Forget what was settled before. Count."""
        ...


# -- leads import -----------------------------------------------------------------------------------------------------


class ImportTarget(msgspec.Struct, frozen=True, kw_only=True):
    """Where an import goes and what a duplicate is. `keys`: any of phone, email, name; empty = nothing is a duplicate.

    `duplicates`: skip (the row is left out), replace (its values take the place of the old lead's, empty ones too) or
    merge (its filled values do; an empty one never erases). Red list, consents, attempts, refusals, callbacks and the
    lead's id are always kept. `scope`: leads of the whole group ("group") or of the target list only ("list").
    """

    list_id: int
    group_id: int
    duplicates: str = "skip"
    keys: tuple[str, ...] = ("phone",)
    scope: str = "group"


class StagedLead(msgspec.Struct, frozen=True, kw_only=True):
    """A checked row of a file. `row`: its number there (rising). `root`: the first row of the file that is the same
    person, itself if there is none; only with replace and merge do rows with another root come. `email_key`,
    `name_key`: folded for comparison ("" = don't compare): e-mail in lower case; last and first name, NFD without
    combining marks, lower case, joined by one space."""

    row: int
    root: int
    draft: LeadDraft
    email_key: str = ""
    name_key: str = ""


class ImportCounts(msgspec.Struct, frozen=True, kw_only=True):
    """What `LeadStaging.finish` did, in leads; `skipped` were duplicates of leads in the base, policy skip."""

    inserted: int = 0
    updated: int = 0
    skipped: int = 0


class LeadStaging(Protocol):
    """One import under way: rows go to a place of its own, and become leads all at once or not at all."""

    async def stage(self, rows: Sequence[StagedLead]) -> None:
        """Take the next rows (a few thousand). Raises StoreUnavailable; then `discard`."""
        ...

    def matches(self) -> AsyncIterator[tuple[int, int]]:
        """(row, lead id) of each staged root that is a lead of the base by one of the keys; the lowest id, by row."""
        ...

    async def finish(self, at: datetime) -> ImportCounts:
        """Make the leads, in one transaction, created `at`; the staging is gone after it, and after a failure too."""
        ...

    async def discard(self) -> None:
        """Drop the staging; nothing is left. Idempotent."""
        ...


@runtime_checkable
class LeadSink(Protocol):
    """Where checked leads go in bulk; PostgreSQL by COPY into a staging table, memory by a list."""

    async def open_staging(self, target: ImportTarget) -> LeadStaging: ...


# -- recordings -------------------------------------------------------------------------------------------------------


@runtime_checkable
class TapeStore(Protocol):
    """Recordings' rows (facts make them): `state` is recording, waiting (its file is to be taken in), kept, purged,
    missing or failed; `file` its name in the PBX's folder, `path` where it is kept."""

    async def search_recordings(
        self, group_id: int | None, filters: Mapping[str, Any], limit: int, after: str | None
    ) -> Page:
        """Newest first. Filters: start, end, campaign_id, agent_id, lead_id, number (E.164), attempt_id, disposition,
        state, duration_min."""
        ...

    async def missed_calls(self, group_id: int | None, *, done: bool, limit: int) -> list[dict[str, Any]]:
        """Callers whom nobody talked with, oldest first, with their number (`e164`) and whom they dialled (`did`)."""
        ...

    async def missed_call_done(self, attempt_id: UUID, at: datetime, by: str) -> bool:
        """Tick a task off; False if it was, or there is none."""
        ...

    async def recording(self, id: int) -> dict[str, Any] | None: ...
    async def set_recording(self, id: int, changes: Mapping[str, Any]) -> None:
        """Change path, bytes, state, purged_at."""
        ...

    async def recordings_in(self, states: Sequence[str], before: datetime, limit: int) -> list[dict[str, Any]]:
        """Rows in one of these states that began before that, oldest first."""
        ...
