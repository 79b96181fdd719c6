"""Templates that come with the daemon (config/crm/*.xml): examples that work, to be used or copied."""

from __future__ import annotations

from importlib.resources import files


def shipped_templates() -> dict[str, bytes]:
    """File name without .xml → its bytes, by name."""
    folder = files("daemon").joinpath("config").joinpath("crm")
    found = [entry for entry in folder.iterdir() if entry.name.endswith(".xml")]
    return {entry.name.removesuffix(".xml"): entry.read_bytes() for entry in sorted(found, key=lambda each: each.name)}
