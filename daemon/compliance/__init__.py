"""The law, as decisions: may this person be called now, by which rule not, and until when. Pure; rules are data."""
