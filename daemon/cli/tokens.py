"""`cadran token`: create, list, revoke. Shown once; the database keeps the hash. Works while the daemon is down too."""

from __future__ import annotations

import asyncio
import re
import secrets
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from datetime import timedelta
from pathlib import Path
from typing import Annotated, TypeVar

import typer

from daemon.api.auth import hash_of, new_token
from daemon.api.tokens_api import audited
from daemon.calls.records import Agent, ApiToken, Group, Role, TokenKind
from daemon.cli.config import DEFAULT, AsJson, ConfigPath
from daemon.cli.output import as_json, fail, table
from daemon.clock import SystemClock
from daemon.ports import Store
from daemon.resources import open_database
from daemon.settings_file import load

app = typer.Typer(help="Tokens of operators and programs.", no_args_is_help=True)
T = TypeVar("T")
BY = "cadran token"
"""Who did it, in the audit log: nobody signs in for the command line."""
GROUP_CODE = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]{0,31}")
"""As over the API: the code stands in the token, which stands in a header."""


def _with_store(config: Path, work: Callable[[Store], Awaitable[T]]) -> T:
    async def main() -> T:
        async with AsyncExitStack() as stack:
            store = await open_database(load(config), SystemClock(), stack)
            await store.open()
            try:
                return await work(store)
            finally:
                await store.close()

    return asyncio.run(main())


@app.command()
def create(
    name: Annotated[str, typer.Option(help="Whose it is, or what uses it.")],
    role: Annotated[Role, typer.Option(help="What it may do.")] = Role.SUPERVISOR,
    kind: Annotated[TokenKind, typer.Option(help="What it opens.")] = TokenKind.OPERATOR,
    group: Annotated[str, typer.Option(help="Code of its group; made if there is none yet.")] = "MAIN",
    days: Annotated[int, typer.Option(help="Days until it ends; 0 = never.", min=0, max=3660)] = 365,
    agent: Annotated[int, typer.Option(help="For role agent: the agent's id.")] = 0,
    all_groups: Annotated[bool, typer.Option(help="Administrators only: every group.")] = False,
    config: ConfigPath = DEFAULT,
) -> None:
    """Make a token and print it: it is never shown again."""
    now = SystemClock().utcnow()
    if all_groups and role is not Role.ADMINISTRATOR:
        fail(f"--all-groups is for administrators, not for role {role.value}", 2)
    if role is Role.AGENT and kind is TokenKind.OPERATOR and not agent:
        fail("--agent: a token of role agent needs the agent's id", 2)
    if not GROUP_CODE.fullmatch(group):
        fail(f"--group {group}: letters without accents, digits and hyphens, 32 at most", 2)

    async def work(store: Store) -> str:
        found = await store.find(Group, code=group)
        named = await store.get(Agent, agent) if agent else None
        if agent and (named is None or not found or named.group_id != found[0].id):
            fail(f"--agent {agent}: no agent of group {group}", 2)
        row = found[0] if found else await store.create(Group(code=group, name=group.title()))
        token = new_token(kind, row.code, secrets.token_bytes)
        made = await store.create(
            ApiToken(
                group_id=row.id,
                kind=kind,
                name=name,
                role=role,
                all_groups=all_groups,
                agent_id=agent,
                sha256=hash_of(token),
                tail=token[-4:],
                created_at=now,
                expires_at=now + timedelta(days=days) if days else None,
            )
        )
        await store.note(BY, "token.created", str(made.id), audited(made))
        return token

    typer.echo(_with_store(config, work))


@app.command("list")
def list_tokens(config: ConfigPath = DEFAULT, json: AsJson = False) -> None:
    """All tokens, without their secrets."""

    async def work(store: Store) -> list[ApiToken]:
        return await store.find(ApiToken)

    rows = _with_store(config, work)
    if json:
        as_json([{"id": r.id, "name": r.name, "role": r.role, "kind": r.kind, "tail": r.tail} for r in rows])
        return
    table(
        "",
        ("id", "name", "kind", "role", "ends with", "expires", "last used", "state"),
        (
            (
                r.id,
                r.name,
                r.kind,
                r.role,
                r.tail,
                r.expires_at,
                r.last_used_at,
                "revoked" if r.disabled_at else "valid",
            )
            for r in rows
        ),
    )


@app.command()
def revoke(token_id: Annotated[int, typer.Argument(help="As shown by `list`.")], config: ConfigPath = DEFAULT) -> None:
    """End a token at once; its streams are closed by the daemon within a second."""

    async def work(store: Store) -> bool:
        row = await store.get(ApiToken, token_id)
        if row is None:
            return False
        await store.update(ApiToken, token_id, {"disabled_at": SystemClock().utcnow()}, None)
        await store.note(BY, "token.revoked", str(token_id), audited(row))
        return True

    if not _with_store(config, work):
        fail(f"no token {token_id}", 1)
    typer.echo(f"token {token_id} revoked")
