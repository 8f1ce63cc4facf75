"""People some of whom are there twice, as the matcher keeps them, and what somebody said of pairs."""

import msgspec
from django.utils import timezone

from identity.candidates.models import Label, MatchRecord
from tests.factories.candidates import make_person

GIVEN = (
    "Adele",
    "Bruno",
    "Carmen",
    "Derek",
    "Edith",
    "Felipe",
    "Gloria",
    "Henrik",
    "Ingrid",
    "Jerome",
    "Katya",
    "Lionel",
)
FAMILY = ("Abernathy", "Blackwood", "Castellano", "Drummond", "Eisenhower", "Fairweather", "Goldberg", "Hargreaves")


def make_people(count: int, *, twice: int) -> list[int]:
    """Profile ids; the last `twice` are the first ones once more, with a letter missing in the surname."""
    return [make_one(number % count, again=number >= count) for number in range(count + twice)]


def make_one(number: int, *, again: bool = False) -> int:
    traits = {
        "firstName": GIVEN[number % len(GIVEN)],
        "lastName": FAMILY[number // len(GIVEN) % len(FAMILY)] + "s" * (not again),
        "birthday": f"{1940 + number % 60}-{1 + number % 12:02}-{1 + number % 27:02}",
    }
    email = f"{traits['firstName'].lower()}.{number}@example.org"
    name = f"p-{number}" + "-again" * again
    id_ = make_person(traits, user_id=name, email=f"second.{email}" if again else email)
    record = {
        "given_name": [traits["firstName"]],
        "surname": [traits["lastName"]],
        "birth_date": [traits["birthday"]],
        "email": [f"second.{email}" if again else email],
    }
    MatchRecord.objects.create(profile_id=id_, origin_id=id_, record=msgspec.json.encode(record).decode())
    return id_


def make_label(one: int, other: int, *, same: bool, **fields: object) -> Label:
    """With the records as the matcher keeps them now."""
    records = {
        row.origin_id: msgspec.json.decode(row.record)
        for row in MatchRecord.objects.filter(origin_id__in=[one, other])
    }
    values = {"one": records[one], "other": records[other], "labelled_at": timezone.now()}
    return Label.objects.create(one_id=one, other_id=other, same=same, **(values | fields))
