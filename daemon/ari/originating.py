"""What ARI is asked for to start a leg: the body of POST /channels."""

from __future__ import annotations

import math
from typing import Any

from daemon.ari.legs import CUSTOMER_RANK
from daemon.calls.actions import OriginateAgent, OriginateCustomer, OriginateThird, Spy
from daemon.calls.dialling import SiteTemplates, agents_caller, caller_of
from daemon.calls.ids import agent_of, rank_of

Originating = OriginateCustomer | OriginateAgent | OriginateThird | Spy


def request_of(action: Originating, app: str, templates: SiteTemplates) -> dict[str, Any]:
    """The body of POST /channels. Raises FieldRefused."""
    variables = {"__DIALER_CALL": action.leg}
    if isinstance(action, OriginateCustomer):
        channel = templates.customer(action.number, action.trunk)
        caller = caller_of(action.caller_id)
        variables["CHANNEL(userfield)"] = action.number
        if action.account:
            variables["CHANNEL(accountcode)"] = action.account
    elif isinstance(action, OriginateThird) and action.number:
        channel = templates.customer(action.number, action.trunk)
        caller = caller_of(action.caller_id)
        variables["CHANNEL(userfield)"] = action.number
    else:
        channel = templates.agent(action.extension)
        number = getattr(action, "caller_id", "") or action.extension
        caller = agents_caller(action.caller_name, number)
        if (agent := agent_of(action.leg)) is not None:
            variables = {"__DIALER_AGENT": str(agent)}
    body = {
        "endpoint": channel,
        "app": app,
        "appArgs": "customer" if rank_of(action.leg) == CUSTOMER_RANK else "agent",
        "channelId": action.leg,
        "timeout": max(1, math.ceil(action.ring_timeout_s)),
        "variables": variables,
    }
    if caller:
        body["callerId"] = caller
    if channel.startswith("Local/"):
        # Never optimised away: a channel that Asterisk puts in the place of another would be a stranger to us.
        body["endpoint"] = channel if channel.endswith("/n") else f"{channel}/n"
        body["otherChannelId"] = f"b-{action.leg}"
    return body
