"""Identifier kinds as configuration: how a value is spelt, which values mean nobody, who decides, how many are enough.

The names that the drain needs stand here; they load no models.
"""

from identity.kinds.contracts import Kind, Period
from identity.kinds.rules import PREVIOUS, STATED_LIMIT, kind_of

__all__ = ["PREVIOUS", "STATED_LIMIT", "Kind", "Period", "kind_of"]
