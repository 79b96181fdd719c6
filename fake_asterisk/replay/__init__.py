"""Replay of recorded AMI conversations: the same steps done to a server, its answer compared with the recording.

In: a folder of `NAME.json` (what was done) and `NAME.ami` (the bytes one client received). Out: per scenario equal, or
the differences. The rules of the comparison are the ones two runs of one real server hold to: see `compare`.
Run it with `python -m fake_asterisk.replay --captures FOLDER`.
"""
