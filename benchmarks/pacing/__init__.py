"""How well pacing keeps agents talking within the law, in a simulated call centre, beside other ways to dial."""
