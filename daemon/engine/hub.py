"""All sites together, as the doors see them: routes commands, merges views, tells listeners. Implements EngineDoor."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from daemon.bounds import Bound, Spread
from daemon.engine import commands as c
from daemon.engine.runner import SiteRunner
from daemon.engine.spanning import shared, together
from daemon.engine.views import TABLES, AnyView, Changes, ImportView, SystemView
from daemon.errors import CommandError
from daemon.works import Works

_EVERY_SITE = (c.StopAllCalls, c.ConfigChanged, c.LeadsChanged, c.Drain)


class Hub:
    """See the module's first lines. `deadline_s` bounds each command."""

    def __init__(self, deadline_s: float, works: Works) -> None:
        self._deadline_s, self._works = deadline_s, works
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
                return await self._submit_to(self._runners_of(command), command)
        except TimeoutError as error:
            raise CommandError("engine_busy", {"deadline_s": self._deadline_s}) from error

    async def _submit_all(self, command: c.AnyCommand) -> dict[str, object]:
        """A site that can't take it keeps it from no other."""
        leading = [runner for runner in self.runners.values() if runner.leading]
        if len(leading) < 2:
            return await self._submit_to(leading, command)
        answers = await asyncio.gather(*(self._submit_to([one], command) for one in leading), return_exceptions=True)
        results: dict[str, Any] = {}
        for answer in answers:
            if isinstance(answer, BaseException):
                raise answer
            _add(results, answer)
        return results

    async def _submit_to(self, runners: Sequence[SiteRunner], command: c.AnyCommand) -> dict[str, object]:
        """To each of them; a site that stands by is passed over if others can take it."""
        leading = [runner for runner in runners if runner.leading]
        results: dict[str, Any] = {}
        for runner in leading or runners:
            _add(results, await runner.submit(command))
        return results

    def _runners_of(self, command: c.AnyCommand) -> list[SiteRunner]:
        """The sites whom it is about: several for a campaign that spans them, the agent's own where there is one."""
        site = getattr(command, "site", None)
        if site is not None:
            return [self._known(site)]
        for name, table in (("agent_id", "desks"), ("campaign_id", "campaigns"), ("line_id", "lines")):
            id = getattr(command, name, 0)
            if id:
                found = [r for r in self.runners.values() if id in _table(r, table)]
                if found:
                    return found
                raise CommandError(f"{name.removesuffix('_id')}_unknown", {name: id})
        if isinstance(command, c.HangUpCall | c.CallCommand):
            for runner in self.runners.values():
                if command.attempt_id in runner.core.live.calls:
                    return [runner]
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

    def times(self) -> Iterable[tuple[str, str, Spread]]:
        """See daemon.bounds."""
        for runner in self.runners.values():
            yield from runner.times()

    def view(self) -> Mapping[str, Mapping[str, AnyView]]:
        """See EngineDoor.view."""
        merged: dict[str, dict[str, AnyView]] = {}
        for runner in self.runners.values():
            runner.core.publisher.refresh(self.followed)
            for table, views in runner.core.publisher.views.items():
                merged.setdefault(table, {}).update(views)
        for id in self._spanning(merged.get("campaigns", {})):
            merged["campaigns"][id] = together(shared(self._tables(), id))
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
        """Called by runners after each batch that changed something. A listener that fails ends neither the batch nor
        what others hear."""
        if spanning := self._spanning(changes.get("campaigns", {})):
            one = {id: together(shared(self._tables(), id)) for id in spanning}
            changes = {**changes, "campaigns": {**changes["campaigns"], **one}}
        for listener, _ in list(self._listeners):
            self._works.call(f"listener {listener.__qualname__}", listener, changes)

    def _tables(self) -> list[Mapping[str, Mapping[str, AnyView]]]:
        return [runner.core.publisher.views for runner in self.runners.values()]

    def _spanning(self, ids: Iterable[str]) -> list[str]:
        """Those campaigns of `ids` that several sites dial."""
        if len(self.runners) < 2:
            return []
        tables = self._tables()
        return [id for id in ids if len(shared(tables, id)) > 1]

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


def _add(results: dict[str, Any], answer: Mapping[str, Any]) -> None:
    """One site's answer to those of the others: counts are added up."""
    for key, value in answer.items():
        results[key] = results.get(key, 0) + value if isinstance(value, int) else value


def _table(runner: SiteRunner, table: str) -> Mapping[int, object]:
    live = runner.core.live
    if table == "lines":
        return live.pool.lines
    return live.campaigns if table == "campaigns" else live.desks
