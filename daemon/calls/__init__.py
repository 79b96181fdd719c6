"""The vocabulary of calls: ids, typed events, actions, facts, records, the transition table, causes and outcomes.

Pure: no I/O, no clock, no randomness of its own. Everything above speaks these types.
"""
