"""The law, as decisions: may this person be called now, by which rule not, and until when. Pure; rules are data."""

from daemon.compliance.facts import CampaignRules, LeadFacts, facts_of, rules_of
from daemon.compliance.gates import Problem, caller_id_allowed, campaign_problems, may_play_message
from daemon.compliance.law import (
    Rule,
    Verdict,
    calling_spans,
    eligibility,
    may_call,
    next_call_window,
    open_groups,
)
from daemon.compliance.numbers import Number, NumberKind, NumberRefusal, classify, dial_string, normalise
from daemon.compliance.rules import RuleSet, load_rule_sets
from daemon.compliance.schedule import Opening
from daemon.compliance.zones import tz_group, tzdata_version

__all__ = [
    "CampaignRules",
    "LeadFacts",
    "Number",
    "NumberKind",
    "NumberRefusal",
    "Opening",
    "Problem",
    "Rule",
    "RuleSet",
    "Verdict",
    "caller_id_allowed",
    "calling_spans",
    "campaign_problems",
    "classify",
    "dial_string",
    "eligibility",
    "facts_of",
    "load_rule_sets",
    "may_call",
    "may_play_message",
    "next_call_window",
    "normalise",
    "open_groups",
    "rules_of",
    "tz_group",
    "tzdata_version",
]
