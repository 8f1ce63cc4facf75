"""How good the data of a source is: profiles of its events, rules for their values, a score, and alerts."""
