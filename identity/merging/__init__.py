"""Merging profiles by whatever cause, and taking it back. R: C2, C4

A profile consists of origins: ids under which profiles were first recorded, and which never change. Every identifier,
event, account membership and session knows its origin, and a merge is an edge between two origins. The edges in force
make a forest, since a merge joins two profiles that were apart: taking one back parts a profile into exactly two.
"""
