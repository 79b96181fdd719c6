"""The two ports: Pbx (drivers: AMI in three modes, ARI) and Store (postgres, memory). Protocol classes only.

The engine talks to these; it never knows which implementation is behind. Every await is bounded by the implementation's
own deadline settings and ends in one of the errors named. `driver` is not a port: it is what both PBX drivers share.
"""

from daemon.ports.pbx import Pbx, PbxStatus
from daemon.ports.staging import ImportCounts, ImportTarget, LeadSink, LeadStaging, StagedLead
from daemon.ports.store import ChangedRow, Changes, ConsentRules, Page, Pseudonyms, Store
from daemon.ports.tapes import TapeStore
from daemon.ports.telling import CrmKey, CrmStore, OutboxKey, WebhookStore

__all__ = [
    "ChangedRow",
    "Changes",
    "ConsentRules",
    "CrmKey",
    "CrmStore",
    "ImportCounts",
    "ImportTarget",
    "LeadSink",
    "LeadStaging",
    "OutboxKey",
    "Page",
    "Pbx",
    "PbxStatus",
    "Pseudonyms",
    "StagedLead",
    "Store",
    "TapeStore",
    "WebhookStore",
]
