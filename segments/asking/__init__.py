"""Asking definitions about some profiles: what changed, and whose time has come.

`questions` says who is asked what, `table` reads it in one statement, `measures` and `trails` work out event
conditions in memory, and `answers` puts definitions together from their conditions.
"""
