"""The one owner of live state: reads a batch of its inbox, then ticks; decisions out as actions and facts.

Doors above use three names only: `Hub` (submit commands, read views, listen to changes), `commands` and `views`.
"""
