"""People by seed: who answers, how long it rings, how long they talk, and agents with telephones.

`config(...)` gives the generic PBX of the demo, the load tests and the simulations.
"""

import tomllib
from dataclasses import dataclass, field, fields
from random import Random

from fake_asterisk import lab
from fake_asterisk.config import AriUser, Behaviour, Endpoint, FakeConfig
from fake_asterisk.rights import ManagerUser


@dataclass(slots=True)
class People:
    """Chances of what a called number does; those of not answering are shares of the rest."""

    answer_chance: float = 0.35
    machine_share: float = 0.15  # of those that answer
    busy_share: float = 0.15  # of those that do not answer
    unallocated_share: float = 0.05
    congestion_share: float = 0.02
    ring_mean_s: float = 9.0  # time to answer, log-normal
    ring_spread: float = 0.5
    talk_mean_s: float = 60.0  # from the answer to the customer's hanging up, exponential
    patience_mean_s: float | None = (
        None  # set: who waits hangs up after so long (exponential), talk counts from the talk
    )
    speaks: bool = True  # sound arrives: 20 ms ticks, Local pairs optimise, AMD decides
    fixed: dict[str, Behaviour] = field(default_factory=dict)  # whole numbers or prefixes

    def behaviour(self, number: str, rng: Random) -> Behaviour:
        """What the person behind a number does this time."""
        for prefix, behaviour in self.fixed.items():
            if number.startswith(prefix):
                return behaviour
        draw, kind = rng.random(), rng.random()
        ring = 0.05 + rng.random() * 0.3
        if draw >= self.answer_chance:
            for share, status in (
                (self.busy_share, 486),
                (self.unallocated_share, 404),
                (self.congestion_share, 503),
            ):
                if kind < share:
                    return Behaviour(rings=None, answer_after_s=None, fail_sip=status, fail_after_s=ring)
                kind -= share
            return Behaviour(ring_after_s=ring, answer_after_s=None)
        answer = ring + rng.lognormvariate(0.0, self.ring_spread) * self.ring_mean_s
        machine = rng.random() < self.machine_share
        talk = 2.0 + rng.expovariate(1.0 / self.talk_mean_s)
        if self.patience_mean_s is not None and not machine:
            patience = 1.0 + rng.expovariate(1.0 / self.patience_mean_s)
            return Behaviour(
                ring_after_s=ring, answer_after_s=answer, patience_s=patience, talk_s=talk,
                media_s=1e9 if self.speaks else 0.0, voice="human" if self.speaks else "silent",
            )  # fmt: skip
        return Behaviour(
            ring_after_s=ring, answer_after_s=answer, hangup_after_s=30.0 if machine else talk,
            media_s=1e9 if self.speaks else 0.0,
            voice="machine" if machine else "human" if self.speaks else "silent",
        )  # fmt: skip


@dataclass(slots=True)
class Phones:
    """Agents' telephones: how they ring and whether they decline."""

    answer_mean_s: float = 1.0
    decline_chance: float = 0.0
    speaks: bool = True

    def behaviour(self, rng: Random) -> Behaviour:
        """What an agent's telephone does this time."""
        if rng.random() < self.decline_chance:
            return Behaviour(rings="ringing", answer_after_s=None, fail_sip=603, fail_after_s=0.5)
        answer = 0.1 + rng.random() * 2 * self.answer_mean_s
        return Behaviour(ring_after_s=0.02, answer_after_s=answer, media_s=1e9 if self.speaks else 0.0)


def from_toml(text: str) -> FakeConfig:
    """A configuration from TOML: tables `pbx` (agents, first_extension, trunks, timing and other plain settings of
    FakeConfig), `people`, `phones`, `sounds` (name = seconds), `users` (name, secret, read, write, eventfilters) and
    `ari_users` (name, password, read_only).
    Raises ValueError for what is not known."""
    source = tomllib.loads(text)
    pbx = source.pop("pbx", {})
    known = {key: pbx.pop(key) for key in ("agents", "first_extension", "dialplan") if key in pbx}
    if "trunks" in pbx:
        known["trunks"] = tuple(pbx.pop("trunks"))
    if "users" in source:
        known["users"] = tuple(
            ManagerUser.of(
                u["name"], u["secret"], u.get("read", "all"), u.get("write", "all"), *u.get("eventfilters", ())
            )
            for u in source.pop("users")
        )
    try:
        known["people"], known["phones"] = People(**source.pop("people", {})), Phones(**source.pop("phones", {}))
        found = config(**known)
    except TypeError as error:
        raise ValueError(str(error)) from error
    found.sounds.update(source.pop("sounds", {}))
    for user in source.pop("ari_users", ()):
        found.ari_users[user["name"]] = AriUser(user["password"], user.get("read_only", False))
    for key, value in pbx.items():
        if key not in _PLAIN:
            raise ValueError(f"pbx.{key} is not known")
        setattr(found, key, tuple(value) if isinstance(value, list) else value)
    if source:
        raise ValueError(f"{', '.join(source)}: not known")
    return found


_PLAIN = {f.name for f in fields(FakeConfig)} - {
    "users",
    "ari_users",
    "endpoints",
    "behaviour_of",
    "dialplan",
    "sounds",
    "boot_events",
}

OUTBOUND_ROUTE = """
[Sortant_General]
exten => _0.,1,Dial(PJSIP/${EXTEN}@trunk,60)
 same => n,Hangup()
"""


def config(
    *, agents: int = 10, first_extension: int = 1001, people: People | None = None, phones: Phones | None = None,
    trunks: tuple[str, ...] = ("trunk",), users: tuple[ManagerUser, ...] = lab.USERS, dialplan: str | None = None,
) -> FakeConfig:  # fmt: skip
    """A PBX with so many agents' extensions and trunks. `dialplan` replaces the lab's contexts, the route stays."""
    crowd, desk = people or People(), phones or Phones()
    endpoints = {name: Endpoint(name, "from-trunk") for name in trunks}
    for number in range(first_extension, first_extension + agents):
        endpoints[str(number)] = Endpoint(str(number), "from-agent", (str(number), f"Agent {number}"))

    def behaviour_of(endpoint: str, number: str, rng: Random) -> Behaviour:
        return crowd.behaviour(number, rng) if endpoint in trunks else desk.behaviour(rng)

    return FakeConfig(
        users={user.name: user for user in users}, endpoints=endpoints, behaviour_of=behaviour_of,
        dialplan=(lab.DIALPLAN if dialplan is None else dialplan) + OUTBOUND_ROUTE,
    )  # fmt: skip
