"""What a source says about sessions: the part `sessions` of `SourceSettings`."""

from typing import Annotated, Literal

import msgspec

Minutes = Annotated[int, msgspec.Meta(ge=1, le=1_440)]


class SessionSettings(msgspec.Struct, frozen=True, omit_defaults=True):
    """`auto` takes what browsers and apps send, `always` whatever has an anonymous id, `never` nothing."""

    mode: Literal["auto", "always", "never"] = "auto"
    timeout_minutes: Minutes = 30
