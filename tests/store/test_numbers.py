"""What the site's own numbers went through, as a daemon that takes the site over asks for it, on both stores."""

from __future__ import annotations

from datetime import timedelta

from daemon.calls import facts as f
from daemon.calls.causes import Outcome
from daemon.calls.lead_records import NumberRest, ShownCall
from tests.store.world import SITE, World

LYON, PARIS = "+33424000001", "+33162000001"


async def test_calls_and_rests_of_the_site_since_an_instant(world: World) -> None:
    begin = world.clock.utcnow()
    await world.place("+33612340001", caller_id=LYON)  # too long ago
    await world.later(60)
    since = world.clock.utcnow()
    answered = await world.place("+33612340002", caller_id=LYON, at=since)
    await world.later(5)
    rested, until = world.clock.utcnow(), world.clock.utcnow() + timedelta(hours=24)
    await world.apply(
        world.ended(answered, Outcome.CONNECTED, answered_at=since + timedelta(seconds=4)),
        f.AuditFact(at=rested, site=SITE, by="engine", what="caller_id.rest", target="7",
                    detail={"number": LYON, "until": until.isoformat()}),
        f.AuditFact(at=rested, site=SITE, by="engine", what="line.set", target="7", detail={}),
    )  # fmt: skip
    await world.later(5)
    await world.place("+33612340003", caller_id="")
    await world.place("+33612340004", caller_id=PARIS)
    found = await world.store.numbers_shown(SITE, since, 10)
    assert found.calls == (
        ShownCall(caller_id=LYON, at=since, outcome="connected", answered=True),
        ShownCall(caller_id=PARIS, at=world.clock.utcnow(), outcome=None, answered=False),
    )
    assert found.rests == (NumberRest(caller_id_id=7, at=rested, until=until),)
    assert (await world.store.numbers_shown(SITE, begin, 1)).calls == found.calls[1:], "the last ones, if not all"
    elsewhere = await world.store.numbers_shown("s2", begin, 10)
    assert (elsewhere.calls, elsewhere.rests) == ((), ())
