"""How many calls to originate now: estimates, risk, the abandonment ledger and the pacing policy. No I/O, no clock."""
