"""A second copy of the event log, in columns: what questions about everybody read. R: D1"""
