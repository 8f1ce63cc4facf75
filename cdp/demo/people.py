"""Synthetic people for the households of the data set, which itself names nobody.

Everything here follows from the household's number alone, so every run invents the same people. E-mail
addresses are at example.com and phone numbers in the 555-01xx range, which belong to nobody.
"""

import functools
import random
from dataclasses import dataclass
from datetime import date, datetime, timedelta

MOST_HOUSEHOLDS = 2_500
PHONES_PER_AREA = 100

FIRST_NAMES = """
Ada Adrian Alice Amara Amy Andre Anna Arjun Ben Bianca Caleb Carla Chen Clara Daniel Daria David Diego Elena Eli
Emma Erik Esther Farid Felix Fiona Grace Hana Hassan Helen Hugo Ian Ines Iris Isaac Jack Jana Jonas Joy Julia
Kai Karen Kofi Lara Leo Lena Liam Linh Lucia Maria Marcus Maya Mei Milo Mina Nadia Nina Noah Nora Olga Omar Oscar
Paula Peter Priya Quinn Rafael Rania Rosa Ruth Sam Sara Sofia Tara Theo Thomas Tomas Uma Vera Victor Wanda Yara Zoe
""".split()  # noqa: SIM905 - a page of quotes would hide the names
LAST_NAMES = """
Abbott Adams Ahmed Alvarez Andersen Baker Banerjee Becker Bell Bennett Bianchi Brooks Brown Carter Castillo Chan Clark
Cohen Cole Cooper Costa Cruz Davis Diaz Dubois Duncan Edwards Ellis Evans Fischer Flores Foster Garcia Gray Green
Gupta Hall Hansen Harris Hayes Hill Hoffman Howard Hughes Ito Jackson Jensen Johnson Jones Kaplan Keller Khan Kim
King Kowalski Kumar Lee Lewis Lopez Martin Mason Meyer Mitchell Moore Morris Murphy Nelson Nguyen Novak Okafor Olsen
Ortiz Parker Patel Perez Peterson Price Reed Reyes Rivera Rossi Russell Sanders Santos Schmidt Scott Shah Silva Singh
Smith Stone Suzuki Taylor Thompson Torres Turner Walker Wang Ward Watson Weber White Wilson Wood Wright Young
""".split()  # noqa: SIM905
AREAS = (
    ("Cincinnati", "OH", 513), ("Columbus", "OH", 614), ("Dayton", "OH", 937), ("Toledo", "OH", 419),
    ("Cleveland", "OH", 216), ("Louisville", "KY", 502), ("Lexington", "KY", 859), ("Indianapolis", "IN", 317),
    ("Fort Wayne", "IN", 260), ("Nashville", "TN", 615), ("Memphis", "TN", 901), ("Knoxville", "TN", 865),
    ("Atlanta", "GA", 404), ("Savannah", "GA", 912), ("Detroit", "MI", 313), ("Grand Rapids", "MI", 616),
    ("Lansing", "MI", 517), ("Dallas", "TX", 214), ("Houston", "TX", 713), ("Richmond", "VA", 804),
    ("Roanoke", "VA", 540), ("Charleston", "WV", 304), ("Little Rock", "AR", 501), ("Denver", "CO", 303),
    ("Phoenix", "AZ", 602),
)  # fmt: skip


@dataclass(frozen=True)
class Person:
    """Who we say lives in a household."""

    user_id: str
    first_name: str
    last_name: str
    email: str
    phone: str
    city: str
    state: str
    birthday: str

    def traits(self) -> dict[str, object]:
        return {
            "first_name": self.first_name,
            "last_name": self.last_name,
            "name": f"{self.first_name} {self.last_name}",
            "email": self.email,
            "phone": self.phone,
            "birthday": self.birthday,
            "city": self.city,
            "state": self.state,
            "country": "US",
            "synthetic": True,
        }


@dataclass(frozen=True)
class Choice:
    """One consent choice of one person, as the consent API takes it."""

    external_id: str
    purpose: str
    state: str
    happened_at: datetime


# Share of households that granted, denied, and granted but later withdrew; the rest never chose.
CHOICES = {
    "analytics": (0.0, 0.04, 0.0),
    "marketing_email": (0.58, 0.15, 0.07),
    "personalised_ads": (0.40, 0.32, 0.06),
}


def user_id(household: int) -> str:
    """The number of the household's loyalty card: the one id that the shop and the CRM share."""
    return f"loyalty-{household:04d}"


def person(household: int) -> Person:
    draw = random.Random(f"tributary person {household}")  # noqa: S311 - invents, keeps no secret
    first, last = draw.choice(FIRST_NAMES), draw.choice(LAST_NAMES)
    place = _places()[household % MOST_HOUSEHOLDS]
    city, state, area = AREAS[place // PHONES_PER_AREA]
    return Person(
        user_id=user_id(household),
        first_name=first,
        last_name=last,
        email=f"{first}.{last}.{household}@example.com".lower(),
        phone=f"+1{area}55501{place % PHONES_PER_AREA:02d}",
        city=city,
        state=state,
        birthday=_birthday(household),
    )


def _birthday(household: int) -> str:
    draw = random.Random(f"tributary birthday {household}")  # noqa: S311 - invents, keeps no secret
    return str(date(1940, 1, 1) + timedelta(days=draw.randrange(63 * 365)))


def choices(household: int, *, until: datetime) -> list[Choice]:
    """What the household chose about each purpose, in the year before `until`."""
    draw = random.Random(f"tributary consent {household}")  # noqa: S311
    made = []
    for purpose, (granted, denied, withdrawn) in CHOICES.items():
        first = until - timedelta(days=draw.uniform(120, 360))
        second = until - timedelta(days=draw.uniform(1, 90))
        lot = draw.random()
        name = f"demo-{purpose}-{household}"
        if lot < granted + withdrawn:
            made.append(Choice(f"{name}-1", purpose, "granted", first))
        elif lot < granted + withdrawn + denied:
            made.append(Choice(f"{name}-1", purpose, "denied", first))
        if lot < withdrawn:
            made.append(Choice(f"{name}-2", purpose, "withdrawn", second))
    return made


@functools.cache
def _places() -> list[int]:
    """A fixed shuffle that gives every household its own phone number, and a city with it."""
    numbers = list(range(MOST_HOUSEHOLDS))
    random.Random("tributary places").shuffle(numbers)  # noqa: S311
    return numbers
