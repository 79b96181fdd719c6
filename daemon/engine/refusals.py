"""Whether a person may be called at this instant: the group's blacklist, then the law. Asked at every door to a call.

The blacklist binds before a line, an agent or an intent is taken: an agent whose phone must ring first is not rung for
a call that can't be made.
"""

from __future__ import annotations

from datetime import timedelta

from daemon.calls.lead_records import Lead
from daemon.calls.records import Campaign
from daemon.engine.law import Refused
from daemon.engine.live import Live

BLACKLIST = "blacklist"
BLACKLIST_LOOK_S = 3600.0
"""A lead whose number is on the blacklist is looked at again after so many seconds. Who is taken off is due at once:
this is for a refusal that was still on its way to the store just then."""


def refused_lead(live: Live, lead: Lead, record: Campaign) -> Refused | None:
    """None if this lead of this campaign may be called now."""
    if (record.group_id, lead.e164) in live.blacklist:
        return Refused(BLACKLIST, BLACKLIST, live.utc + timedelta(seconds=BLACKLIST_LOOK_S))
    return live.law.refuses(lead, record, live.utc)


def refused_number(live: Live, group_id: int, e164: str, rule_set: str) -> Refused | None:
    """The same of a number without a lead; `rule_set`: "" = only what is never dialled (features D26)."""
    if (group_id, e164) in live.blacklist:
        return Refused(BLACKLIST, BLACKLIST, None)
    return live.law.refuses_number(e164, rule_set, live.utc)
