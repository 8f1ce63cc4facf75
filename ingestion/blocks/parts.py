"""What a block consists of, besides property columns, whose ids are positive."""

PROFILES = 0
TIMES = -1
VALUES = -2
