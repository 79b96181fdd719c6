"""The whole daemon in simulated time: a virtual-time loop, an in-memory network, worlds, scenarios and checkers.

May import daemon and fake_asterisk; nothing imports it but the tests, the benchmarks and, lazily, two commands.
"""
