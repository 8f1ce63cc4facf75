"""What a source says about enrichment: the part `enrich` of `SourceSettings`."""

from typing import Literal

import msgspec


class EnrichSettings(msgspec.Struct, frozen=True, omit_defaults=True):
    """`ip` is what is kept of an address once its country was looked up; `own_hosts` are parted by spaces."""

    enabled: bool = True
    ip: Literal["truncate", "drop", "keep"] = "truncate"
    own_hosts: str = ""
