"""Settings of any kind are taken or refused with SettingsError, which names the key; nothing else is ever raised."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import msgspec
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from daemon.errors import SettingsError
from daemon.settings import Settings
from daemon.settings_file import load, parse

TABLES = {field.name: field for field in msgspec.structs.fields(Settings)}
SCALARS = st.one_of(
    st.booleans(), st.integers(-(2**40), 2**40), st.floats(), st.text(max_size=12), st.datetimes(), st.just("PJSIP/x")
)
ANYTHING = st.recursive(
    SCALARS,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=8), inner, max_size=3)),
    max_leaves=6,
)


def _keys(name: str) -> list[str]:
    """The keys of a table of the settings, those of an array's rows too."""
    kind = TABLES[name].type
    inner = getattr(kind, "__args__", (kind,))[0]
    return [field.name for field in msgspec.structs.fields(inner)]


def _table(name: str) -> st.SearchStrategy[Any]:
    row = st.dictionaries(st.one_of(st.sampled_from(_keys(name)), st.text(max_size=5)), ANYTHING, max_size=4)
    return st.one_of(row, st.lists(row, max_size=3), ANYTHING)


@settings(max_examples=400)
@given(st.fixed_dictionaries({}, optional={name: _table(name) for name in TABLES}))
def test_tables_of_any_kind(tables: dict[str, Any]) -> None:
    try:
        found = parse(tables)
    except SettingsError:
        return
    assert isinstance(found, Settings)


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(st.one_of(st.binary(max_size=80), st.text(max_size=80).map(str.encode)))
def test_a_file_of_any_bytes(tmp_path: Path, data: bytes) -> None:
    file = tmp_path / "cadran.toml"
    file.write_bytes(data)
    try:
        load(file)
    except SettingsError:
        return
    tomllib.loads(data.decode("utf-8"))
