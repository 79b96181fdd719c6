"""How long `decide` takes: a steady centre of 50 agents, and one of 1,000 with 3,000 calls in flight."""

from __future__ import annotations

import random
import time

from daemon.dialer import events as ev
from daemon.dialer.modes import PacingSettings
from daemon.dialer.pacing import PacingPolicy


def measure(agents: int, calls: int, decisions: int = 3000, seed: int = 7) -> tuple[float, float]:
    """(median, 99th percentile) of one decision in microseconds of processor time, events in between not counted."""
    chance = random.Random(seed)
    policy = PacingPolicy(PacingSettings(ring_timeout_s=25.0))
    now, number = 1000.0, 0
    for agent in range(agents):
        policy.observe(ev.AgentTalking(f"a{agent}", now - chance.expovariate(1 / 120)))
    live: list[str] = []
    took: list[float] = []
    snapshot = ev.PacingSnapshot(ready=1, hour="2026-11-23T10+0100")
    for step in range(decisions + 300):
        now += 0.05
        while len(live) < calls:
            number += 1
            live.append(f"c{number}")
            policy.observe(ev.CallPlaced(live[-1], now - chance.uniform(0, 20) * (step == 0)))
        for _ in range(max(1, calls // 300)):
            ended = live.pop(chance.randrange(len(live)))
            if chance.random() < 0.3:
                policy.observe(ev.Connected(ended, f"a{chance.randrange(agents)}", now))
            else:
                policy.observe(ev.CallEnded(ended, now, "no_answer"))
        agent = f"a{chance.randrange(agents)}"
        policy.observe(ev.AgentWrapUp(agent, now) if step % 2 else ev.AgentReady(agent, now))
        started = time.thread_time()
        policy.decide(snapshot, now)
        if step >= 300:
            took.append(time.thread_time() - started)
    took.sort()
    return took[len(took) // 2] * 1e6, took[int(len(took) * 0.99)] * 1e6


def report() -> str:
    """One line for the benchmark's output."""
    small, large = measure(50, 150), measure(1000, 3000)
    return (
        f"decide: 50 agents, 150 calls: median {small[0]:.0f} µs (goal 100), p99 {small[1]:.0f} µs; "
        f"1,000 agents, 3,000 calls: median {large[0]:.0f} µs, p99 {large[1]:.0f} µs (goal 1,000)"
    )
