"""The Cadran daemon: between an Asterisk, its agents and lists of people to call.

Six floors, imports only downwards (see docs/architecture.md): cli, app, doors (api, leads, crm),
engine and drivers (engine, store, ami, ari), pure decisions (dialer, pool, agents, compliance, ports),
and the ground (calls, settings, clock, errors).
"""

__version__ = "0.1.0"
