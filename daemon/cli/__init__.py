"""The command `cadran`. Exit codes: 0 done, 1 refused, 2 bad usage, 3 bad settings, 4 no daemon or database."""
