"""From the bytes of a request to messages. One bad message never spoils its neighbours.

Decoding is typed where we look (msgspec structs) and raw where we only pass on: properties and context reach
PostgreSQL as the bytes that came, unless PostgreSQL could not keep them (`storable_json`).
"""

from ingestion.messages.decode import FIXED_NAMES, TYPES, decode_row, outline_of
from ingestion.messages.identifiers import MAX_EXTERNAL_IDS, forget_people, person_of, renew_identifiers
from ingestion.messages.numbers import NO_NUMBERS, VALUE_PROPERTIES, numbers_of
from ingestion.messages.objects import decode_object
from ingestion.messages.refusals import MAX_MESSAGE_ID, MAX_NAME, reject, wrong_type
from ingestion.messages.storable import replace_lone_surrogates, storable_json, storable_text
from ingestion.messages.times import MINUTE
from ingestion.messages.wire import split_batch, write_key_of

__all__ = [
    "FIXED_NAMES",
    "MAX_EXTERNAL_IDS",
    "MAX_MESSAGE_ID",
    "MAX_NAME",
    "MINUTE",
    "NO_NUMBERS",
    "TYPES",
    "VALUE_PROPERTIES",
    "decode_object",
    "decode_row",
    "forget_people",
    "numbers_of",
    "outline_of",
    "person_of",
    "reject",
    "renew_identifiers",
    "replace_lone_surrogates",
    "split_batch",
    "storable_json",
    "storable_text",
    "write_key_of",
    "wrong_type",
]
