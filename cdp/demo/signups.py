"""Cards filled in at the till: some of the people whom the CRM knows, as they write themselves. All of it is made up.

Nobody scanned a loyalty card, so that a sign-up leads to no known customer by its identifiers. Most are of somebody in
the CRM, with the slips that people make on paper; some are of others who only share a name. That is what matching is
for, and where a person has to look.
"""

import random
from collections.abc import Iterator, Sequence
from datetime import date, timedelta

import numpy as np

from cdp.demo.complete_journey import DATA_BEGINS_AT, Batch, Message, pack
from cdp.demo.people import AREAS, LAST_NAMES, Person, person

EVERY, FIRST = 17, 5  # of the households
SOURCE = "signups"
NICKNAMES = {
    "Alice": "Ali", "Andre": "Andy", "Daniel": "Dan", "David": "Dave", "Elena": "Leni", "Isaac": "Ike", "Jonas": "Jon",
    "Julia": "Jules", "Karen": "Kaz", "Lucia": "Lucy", "Marcus": "Marc", "Maria": "Mia", "Nadia": "Nadja",
    "Oscar": "Ozzy", "Peter": "Pete", "Rafael": "Rafa", "Sam": "Samuel", "Thomas": "Tom", "Victor": "Vic",
}  # fmt: skip


def signups(households: Sequence[int]) -> list[tuple[int, dict[str, object]]]:
    """Traits by household, the same in every run."""
    return [(household, _written(person(household))) for household in households if household % EVERY == FIRST]


def batches(households: Sequence[int], *, shift: timedelta) -> Iterator[Batch]:
    at = f"{np.datetime_as_string((DATA_BEGINS_AT + shift).to_datetime64(), unit='s')}Z"
    messages = [
        Message("identify", f"signup-{household}", "", at, anonymousId=f"till-card-{household}", traits=traits)
        for household, traits in signups(households)
    ]
    yield from pack(SOURCE, messages)


def _written(who: Person) -> dict[str, object]:
    """As somebody fills in a card: in nine of ten cases `who`, else another person of the same name."""
    draw = random.Random(f"tributary signup {who.user_id}")  # noqa: S311 - invents, keeps no secret
    first, last, city, state, born = who.first_name, who.last_name, who.city, who.state, who.birthday
    lot = draw.random()
    if lot < 0.25:
        first = NICKNAMES.get(first, _slip(first, draw))
    elif lot < 0.5:
        last = _slip(last, draw)
    elif lot < 0.65:
        city, state, _ = draw.choice(AREAS)
    elif lot < 0.75:
        last = draw.choice(LAST_NAMES)
    elif lot < 0.9:
        born = _misread(born)
    else:
        born = str(date.fromisoformat(born) + timedelta(days=draw.randint(400, 9_000)))
    written: dict[str, object] = {"first_name": first, "last_name": last, "city": city, "state": state}
    if draw.random() < 0.8:
        written["birthday"] = born
    if draw.random() < 0.5:
        written["email"] = f"{first}{last}{draw.randint(10, 99)}@example.com".lower()
    return written | {"country": "US", "synthetic": True}


def _slip(name: str, draw: random.Random) -> str:
    """A letter forgotten, or two in the wrong order."""
    place = draw.randrange(1, len(name) - 1)
    if draw.random() < 0.5:
        return name[:place] + name[place + 1 :]
    return name[:place] + name[place + 1] + name[place] + name[place + 2 :]


def _misread(born: str) -> str:
    """Day and month in the wrong order, where both can be a month; else a neighbouring day."""
    day = date.fromisoformat(born)
    if day.day <= 12:
        return f"{day.year}-{day.day:02}-{day.month:02}"
    return str(day - timedelta(days=1))
