"""All sites together, as the doors see them: routes commands, merges views, tells listeners. Implements EngineDoor."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from daemon.bounds import Bound
from daemon.engine import commands as c
from daemon.engine.runner import SiteRunner
from daemon.engine.views import TABLES, AnyView, Changes, ImportView, SystemView
from daemon.errors import CommandError

_EVERY_SITE = (c.StopAllCalls, c.ConfigChanged, c.LeadsChanged, c.Drain)


class Hub:
    """See the module's first lines. `deadline_s` bounds each command."""

    def __init__(self, deadline_s: float) -> None:
        self._deadline_s = deadline_s
        self.runners: dict[str, SiteRunner] = {}
        self._listeners: list[tuple[Callable[[Changes], None], Sequence[str]]] = []
        self.followed: frozenset[str] = frozenset()
        """Tables that somebody listens to; the views of others are made when asked for."""
        self._system: SystemView | None = None
        self._imports: dict[str, ImportView] = {}

    def add(self, runner: SiteRunner) -> None:
        """One more site."""
        self.runners[runner.site] = runner

    async def submit(self, command: c.AnyCommand) -> dict[str, object]:
        """See EngineDoor.submit."""
        try:
            async with asyncio.timeout(self._deadline_s):
                if isinstance(command, _EVERY_SITE):
                    return await self._submit_all(command)
                return await self._runner_of(command).submit(command)
        except TimeoutError as error:
            raise CommandError("engine_busy", {"deadline_s": self._deadline_s}) from error

    async def _submit_all(self, command: c.AnyCommand) -> dict[str, object]:
        results: dict[str, Any] = {}
        for runner in self.runners.values():
            if not runner.leading:
                continue
            for key, value in (await runner.submit(command)).items():
                results[key] = results.get(key, 0) + value if isinstance(value, int) else value
        return results

    def _runner_of(self, command: c.AnyCommand) -> SiteRunner:
        site = getattr(command, "site", None)
        if site is not None:
            return self._known(site)
        for name, table in (("campaign_id", "campaigns"), ("agent_id", "desks"), ("line_id", "lines")):
            id = getattr(command, name, 0)
            if id:
                found = [r for r in self.runners.values() if id in _table(r, table)]
                if found:
                    return found[0]
                raise CommandError(f"{name.removesuffix('_id')}_unknown", {name: id})
        if isinstance(command, c.HangUpCall | c.CallCommand):
            for runner in self.runners.values():
                if command.attempt_id in runner.core.live.calls:
                    return runner
            raise CommandError("call_gone", {"attempt_id": str(command.attempt_id)})
        raise CommandError("command_unknown", {"command": type(command).__name__})

    def _known(self, site: str) -> SiteRunner:
        runner = self.runners.get(site)
        if runner is None:
            raise CommandError("site_unknown", {"site": site, "allowed": sorted(self.runners)})
        return runner

    def bounds(self) -> Iterable[Bound]:
        """See daemon.bounds."""
        for runner in self.runners.values():
            for bound in runner.bounds():
                yield bound._replace(site=runner.site)

    def counts(self) -> Iterable[tuple[str, str, int]]:
        """See daemon.bounds."""
        for runner in self.runners.values():
            yield from runner.counts()

    def view(self) -> Mapping[str, Mapping[str, AnyView]]:
        """See EngineDoor.view."""
        merged: dict[str, dict[str, AnyView]] = {}
        for runner in self.runners.values():
            runner.core.publisher.refresh(self.followed)
            for table, views in runner.core.publisher.views.items():
                merged.setdefault(table, {}).update(views)
        if self._imports:
            merged["imports"] = dict(self._imports)
        if self._system is not None:
            merged.setdefault("system", {})["daemon"] = self._system
        return merged

    def listen(self, listener: Callable[[Changes], None], tables: Sequence[str] = TABLES) -> Callable[[], None]:
        """See EngineDoor.listen."""
        self.view()  # what changed before is no news to it
        entry = (listener, tables)
        self._listeners.append(entry)
        self._follow()

        def remove() -> None:
            if entry in self._listeners:
                self._listeners.remove(entry)
                self._follow()

        return remove

    def _follow(self) -> None:
        self.followed = frozenset(table for _, tables in self._listeners for table in tables)

    def publish(self, changes: Changes) -> None:
        """Called by runners after each batch that changed something."""
        for listener, _ in list(self._listeners):
            listener(changes)

    def set_import(self, id: str, view: ImportView | None) -> None:
        """How far an import is; None when it is forgotten."""
        if view is None:
            self._imports.pop(id, None)
        else:
            self._imports[id] = view
        self.publish({"imports": {id: view}})

    def set_system(self, view: SystemView) -> None:
        """The daemon's own state; published if it changed."""
        before, self._system = self._system, view
        if before != view:
            self.publish({"system": {"daemon": view}})


def _table(runner: SiteRunner, table: str) -> Mapping[int, object]:
    live = runner.core.live
    if table == "lines":
        return live.pool.lines
    return live.campaigns if table == "campaigns" else live.desks
