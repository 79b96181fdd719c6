"""A campaign without a site of its own is dialled by every site, each with its lines, agents and pacing.

Here its views are put together: people see one campaign. Each site keeps the ceiling by itself, so all of them together
keep it too: a rate over all calls is never above the highest rate of its parts.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

import msgspec

from daemon.engine.views import AnyView, CampaignView


def together(views: Sequence[CampaignView]) -> CampaignView:
    """One view of what several sites say of a campaign: counts added up, and what binds it where it is dialled least
    freely: the first site that says so. `views` is not empty."""
    first = next((view for view in views if view.binding), views[0])
    if len(views) == 1:
        return first
    return msgspec.structs.replace(
        first,
        site="",
        since=max(view.since for view in views),
        stages=_added(view.stages for view in views),
        agents=_added(view.agents for view in views),
        outcomes=_added(view.outcomes for view in views),
        suspended=", ".join(f"{view.site}: {view.suspended}" for view in views if view.suspended),
    )


def _added(parts: Iterable[Mapping[str, int]]) -> dict[str, int]:
    total: Counter[str] = Counter()
    for part in parts:
        total.update(part)
    return dict(total)


def shared(tables: Sequence[Mapping[str, Mapping[str, AnyView]]], id: str) -> list[CampaignView]:
    """The views of campaign `id` in the sites' tables, in the order of the sites."""
    found = (views.get("campaigns", {}).get(id) for views in tables)
    return [view for view in found if isinstance(view, CampaignView)]
