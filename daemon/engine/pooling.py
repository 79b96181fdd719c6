"""One abandonment ledger over several campaigns, where their rows ask for it (`pool_ledger`): those of one client.

Each keeps its own rows; the others' are laid beside them, so that windows sum over all. Called as campaigns are loaded
or changed, and after each live answer.
"""

from __future__ import annotations

from collections.abc import Iterator

from daemon.engine.live import CampaignLive, Live


def partners(live: Live, campaign: CampaignLive) -> Iterator[CampaignLive]:
    """The other campaigns whose ledger this one shares."""
    if not campaign.record.pool_ledger:
        return
    for other in live.campaigns.values():
        same = other.record.client_id == campaign.record.client_id
        if other is not campaign and same and other.record.pool_ledger:
            yield other


def join(live: Live, campaign: CampaignLive) -> None:
    """Lay this campaign's rows beside those of its partners, and theirs beside its own."""
    for other in partners(live, campaign):
        other.ledger.load(campaign.ledger.rows())
        campaign.ledger.load(other.ledger.rows())


def share(live: Live, campaign: CampaignLive) -> None:
    """A live answer was booked: partners see this hour's row as it now is."""
    row = campaign.policy.ledger_row()
    for other in partners(live, campaign):
        other.ledger.load((row,))
