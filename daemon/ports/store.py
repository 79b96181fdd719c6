"""The port to leads, calls, history and configuration (PostgreSQL, or memory)."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple, Protocol, TypeVar
from uuid import UUID

import msgspec

from daemon.calls.facts import NumberedFact
from daemon.calls.lead_counts import LeadCounts
from daemon.calls.lead_records import AgentStateRow, Intent, Lead, LeadDraft, Lease, NumbersShown, OpenAttempt
from daemon.calls.records import Record

R = TypeVar("R", bound=Record)


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


class ChangedRow(NamedTuple):
    """A configuration row that was created, changed or deleted; the same change always has the same stamp."""

    kind: type[Record]
    id: int
    stamp: int


class Changes(NamedTuple):
    """Configuration rows changed since a mark, some of them perhaps told before, and the mark to ask from next. One
    lower than before is of another database, or of an older copy: anything may have changed."""

    mark: int
    rows: list[ChangedRow]


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

    async def lost_sites(self, silent_s: float) -> list[str]:
        """Sites whose lease nobody has held for so long (database clock), with leads claimed or attempts open."""
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

    async def lead_counts(self, campaign_id: int, now: datetime) -> LeadCounts:
        """As `callable_counts`, and when the next lead falls due by itself where none is."""
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
    async def get_many(self, kind: type[R], ids: Sequence[int]) -> list[R]:
        """Those of these rows that there are, by id."""
        ...

    async def find(self, kind: type[R], **equals: Any) -> list[R]:
        """All rows of `kind` whose fields equal the given values, by id."""
        ...

    async def update(self, kind: type[R], id: int, changes: Mapping[str, Any], if_version: int | None) -> R:
        """Change the given fields; version + 1. StoreConflict if `if_version` is stale or a uniqueness rule refuses."""
        ...

    async def delete(self, kind: type[R], id: int, if_version: int | None) -> None: ...
    async def changes(self, since: int) -> Changes:
        """What anybody has changed of the rows that engines hold, deletions too. `since` 0: only the mark, for who
        reads all of them next."""
        ...

    # -- leads and history ----------------------------------------------------------------------------------------
    async def add_leads(self, list_id: int, drafts: Sequence[LeadDraft]) -> list[int]:
        """Insert leads in one transaction; their ids, in order."""
        ...

    async def update_lead(self, lead_id: int, changes: Mapping[str, Any]) -> bool: ...
    async def search_leads(self, group_id: int, filters: Mapping[str, Any], limit: int, after: str | None) -> Page: ...
    async def list_counts(self, group_id: int, now: datetime) -> dict[int, dict[str, int]]:
        """For each of the group's lists that has leads: its leads by what holds them, as `callable_counts`. No lead is
        read but those that have fallen due since they were last touched."""
        ...

    async def held_leads(
        self, list_ids: Sequence[int], reason: str, now: datetime, limit: int, after: str | None
    ) -> Page:
        """The leads of these lists that a count by reason counts, in order of release, those no instant frees last.
        Raises ValueError for a place (`after`) where no page of that reason ended."""
        ...

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

    async def free_leads(self, group_id: int, e164: str, reason: str) -> list[int]:
        """Leads of the group with this number that are held for `reason` are due again; their ids."""
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

    async def stale_people(
        self, before: datetime, after: int, limit: int, proof_before: datetime | None = None
    ) -> tuple[list[tuple[int, str]], int | None]:
        """(group, E.164) of those not called and not heard of since `before`, nor with a consent that ended later than
        `proof_before` (never later than `before`: its proof is kept for so long), among the `limit` leads after the id
        `after`; and where the next page begins, None = nowhere."""
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
