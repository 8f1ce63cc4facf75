"""People with known truth, as many as wanted and the same on every machine: what the identity benchmarks match.

Households with relatives, twins and namesakes; people who move, marry, have several e-mails and phones or share one;
nicknames, initials, typos, swapped dates and names, values that are missing and values that are junk. Names are drawn
from Faker's lists of nine languages by how frequent they are; towns and streets are made up, large and small.

    PYTHONPATH=. .venv/bin/python benchmarks/identity_people.py 1000000 people.parquet
    PYTHONPATH=. .venv/bin/python benchmarks/identity_people.py 20000 people.csv --noise heavy --layout register
"""

import argparse
import importlib
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

Ints = Any  # of NumPy
Texts = Any  # of NumPy: objects, str or None

LOCALES = {"en_US": 8, "en_GB": 4, "de_DE": 2, "fr_FR": 2, "es_ES": 2, "it_IT": 1, "nl_NL": 1, "sv_SE": 1, "tr_TR": 1}
DOMAINS = ("gmail.com", "hotmail.com", "yahoo.com", "outlook.com", "icloud.com", "aol.com", "gmx.net", "mail.com")
STREETS = ("Street", "Road", "Avenue", "Lane", "Close", "Drive", "Way", "Court", "Place", "Square")
SHORT = {"Street": "St", "Road": "Rd", "Avenue": "Ave", "Lane": "Ln", "Drive": "Dr", "Court": "Ct", "Place": "Pl"}
TOWNS = ("ton", "ham", "ford", "bury", "ville", "field", "worth", "by", "stead", "wick", " Springs", " Bay", " Park")
JUNK = {
    "given_name": ("Test", "unknown", "-", "N/A", "x", "Customer"),
    "surname": ("Test", "unknown", "-", "N/A", "x", "."),
    "birth_date": ("1900-01-01", "1900-01-01", "1970-01-01", "0000-00-00"),
    "email": ("test@test.com", "test@test.com", "none@none.com", "noemail@example.com", "a@a.com"),
    "phone": ("0000000000", "9999999999", "123456", "0"),
    "city": ("unknown", "-"),
}
NICKNAMES = {
    "Robert": ("Bob", "Rob", "Bobby"), "William": ("Bill", "Will", "Billy"), "Richard": ("Dick", "Rick", "Rich"),
    "James": ("Jim", "Jimmy"), "John": ("Jack", "Johnny"), "Michael": ("Mike", "Mick"), "Thomas": ("Tom", "Tommy"),
    "Joseph": ("Joe",), "Charles": ("Charlie", "Chuck"), "Christopher": ("Chris",), "Daniel": ("Dan", "Danny"),
    "Matthew": ("Matt",), "Anthony": ("Tony",), "Steven": ("Steve",), "Andrew": ("Andy", "Drew"),
    "Edward": ("Ed", "Ted"), "Joshua": ("Josh",), "Nicholas": ("Nick",), "Jonathan": ("Jon",), "Benjamin": ("Ben",),
    "Samuel": ("Sam",), "Gregory": ("Greg",), "Alexander": ("Alex", "Sandy"), "Patrick": ("Pat",),
    "Timothy": ("Tim",), "Ronald": ("Ron",), "Kenneth": ("Ken",), "Lawrence": ("Larry",),
    "Elizabeth": ("Liz", "Beth", "Lizzie"), "Margaret": ("Maggie", "Peggy"), "Jennifer": ("Jen", "Jenny"),
    "Patricia": ("Pat", "Trish"), "Katherine": ("Kate", "Kathy"), "Susan": ("Sue",), "Barbara": ("Barb",),
    "Jessica": ("Jess",), "Rebecca": ("Becky",), "Deborah": ("Deb", "Debbie"), "Sandra": ("Sandy",),
    "Christine": ("Chris", "Tina"), "Victoria": ("Vicky",), "Samantha": ("Sam",), "Alexandra": ("Alex",),
    "Pamela": ("Pam",), "Kimberly": ("Kim",), "Theresa": ("Terry",), "Francisco": ("Paco",), "Johannes": ("Hans",),
    "Giuseppe": ("Beppe",),
}  # fmt: skip


@dataclass(frozen=True)
class Noise:
    """Shares of values, or of people, that something happens to."""

    typos: float
    missing: float
    """Times the usual share of the column."""
    variants: float
    moved: float
    junk: float


LIGHT = Noise(typos=0.01, missing=0.5, variants=0.02, moved=0.05, junk=0.001)
USUAL = Noise(typos=0.04, missing=1.0, variants=0.06, moved=0.15, junk=0.005)
HEAVY = Noise(typos=0.12, missing=1.4, variants=0.15, moved=0.30, junk=0.02)
NOISES = {"light": LIGHT, "usual": USUAL, "heavy": HEAVY}
MISSING = {
    "given_name": 0.01, "surname": 0.01, "birth_date": 0.25, "sex": 0.3, "email": 0.3, "phone": 0.35,
    "street": 0.4, "city": 0.1, "national_id": 0.4,
}  # fmt: skip


@dataclass(frozen=True)
class People:
    """`columns` by name, one text or None a record; `types` as the matcher calls them; `truth` says who each is."""

    columns: dict[str, list[str | None]]
    types: dict[str, str]
    truth: Ints


def people(records: int, *, seed: int = 1, noise: Noise = USUAL, layout: str = "customers") -> People:
    """`customers` as a shop knows them, or `register`: full names, addresses in one line and a number of the state."""
    draw = np.random.default_rng([seed, records])
    truth = drawn_people(records, draw)
    world = World(int(truth.max()) + 1, draw=draw, moved=noise.moved)
    values = said_of(world, truth, noise=noise, draw=draw)
    columns, types = LAYOUTS[layout](values, draw)
    return People({name: column.tolist() for name, column in columns.items()}, types, truth)


def drawn_people(records: int, draw: np.random.Generator) -> Ints:
    """Whom each record is of: half of the people have one record, few have many; in no order."""
    counts = np.minimum(draw.geometric(0.5, size=records), 12)
    owners = np.repeat(np.arange(records), counts)[:records]
    draw.shuffle(owners)
    return owners


# --- Who there is ------------------------------------------------------------------------------------------
@dataclass
class Vocabulary:
    texts: Texts
    chances: Any

    def draw(self, size: int, draw: np.random.Generator) -> Ints:
        return np.searchsorted(np.cumsum(self.chances), draw.random(size) * self.chances.sum())


@cache
def names(locale: str, attribute: str) -> Vocabulary:
    """Of Faker, which knows how frequent they are for some languages; for the others they fall off by rank."""
    provider = importlib.import_module(f"faker.providers.person.{locale}").Provider
    listed = getattr(provider, attribute)
    weighed = isinstance(listed, Mapping)
    texts = np.array(list(dict.fromkeys(listed)), dtype=object)
    chances = np.array(list(listed.values())) if weighed else 1 / (np.arange(len(texts)) + 8)
    return Vocabulary(texts, chances.astype(float))


def drawn_names(attribute: str, locales: Ints, draw: np.random.Generator) -> Texts:
    result = np.empty(len(locales), dtype=object)
    for number, locale in enumerate(LOCALES):
        here = np.flatnonzero(locales == number)
        vocabulary = names(locale, attribute)
        result[here] = vocabulary.texts[vocabulary.draw(len(here), draw)]
    return result


@dataclass
class World:
    """Persons and what is true of them; `second` of something is what a part of their records say instead."""

    persons: int
    draw: np.random.Generator
    moved: float
    is_: dict[str, Any] = field(default_factory=dict)
    second: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.households()
        self.births()
        self.names()
        self.homes()
        self.contacts()
        numbers = self.draw.integers(10**8, 10**9, self.persons)
        self.is_["national_id"] = self.second["national_id"] = np.array(
            [f"{n // 1_000_000:03}-{n // 10_000 % 100:02}-{n % 10_000:04}" for n in numbers.tolist()], dtype=object
        )

    def chance(self, share: float) -> Any:
        return self.draw.random(self.persons) < share

    def households(self) -> None:
        sizes = self.draw.choice([1, 2, 3, 4, 5, 6], size=self.persons, p=[0.3, 0.3, 0.15, 0.15, 0.07, 0.03])
        self.household = np.repeat(np.arange(self.persons), sizes)[: self.persons]
        self.first = np.searchsorted(self.household, self.household)  # the oldest of each household
        self.place = np.arange(self.persons) - self.first
        self.locale = self.draw.choice(len(LOCALES), self.persons, p=shares(LOCALES.values()))[self.first]

    def births(self) -> None:
        """Days since 1970. Children are 18 to 40 years younger; some are twins."""
        born = self.draw.integers(-12_000, 11_000, self.persons)
        couple = born[self.first] + self.draw.integers(-2_500, 2_500, self.persons)
        child = born[self.first] + self.draw.integers(6_600, 14_600, self.persons)
        born = np.where(self.place == 0, born, np.where(self.place == 1, couple, child))
        twin = (self.place >= 3) & self.chance(0.05)
        born[twin] = born[np.flatnonzero(twin) - 1]
        self.is_["born"] = np.minimum(born, 20_000)
        woman = self.chance(0.5)
        partner = (self.place == 1) & self.chance(0.95)
        woman[partner] = ~woman[self.first[partner]]
        self.woman = woman
        self.is_["sex"] = self.second["sex"] = np.where(woman, "F", "M").astype(object)

    def names(self) -> None:
        given = np.where(
            self.woman,
            drawn_names("first_names_female", self.locale, self.draw),
            drawn_names("first_names_male", self.locale, self.draw),
        )
        junior = (self.place >= 2) & self.chance(0.03) & (self.woman == self.woman[self.first])
        given[junior] = given[self.first[junior]]
        own = drawn_names("last_names", self.locale, self.draw)
        keeps = (self.place == 1) & self.chance(0.3)
        surname = np.where(keeps, own, own[self.first])
        married = self.woman & (self.place < 2) & self.chance(0.12)
        double = married & self.chance(0.2)
        former = np.where(double, surname + "-" + own, drawn_names("last_names", self.locale, self.draw))
        self.is_ |= {"given_name": given, "surname": surname}
        self.second |= {"given_name": given, "surname": np.where(married, former, surname)}

    def homes(self) -> None:
        """Towns are of very different sizes; a house number is drawn for each household, a flat for some."""
        self.is_["home"] = self.household
        homes = int(self.household.max()) + 1
        moved = self.chance(self.moved)
        second = self.household.copy()
        second[moved] = homes + np.arange(int(moved.sum()))
        self.second["home"] = second
        total = homes + int(moved.sum())
        towns = max(20, self.persons // 400)
        surnames = names("en_GB", "last_names").texts
        town_names = made_up(towns, surnames, TOWNS, self.draw)
        town = zipf(total, towns, self.draw)
        street_names = made_up(
            max(200, self.persons // 40), surnames, tuple(" " + kind for kind in STREETS), self.draw
        )
        street = (town * 37 + zipf(total, 400, self.draw) * 7) % len(street_names)
        area = self.draw.integers(0, 10_000, towns)
        self.home = {
            "street": street_names[street],
            "house_number": self.draw.integers(1, 240, total).astype(str).astype(object),
            "city": town_names[town],
            "postcode": np.array(
                [f"{number:05}" for number in (area[town] * 10 + street % 10).tolist()], dtype=object
            ),
            "state": np.array(STATES, dtype=object)[town % len(STATES)],
        }

    def contacts(self) -> None:
        address = self.addresses()
        family = self.chance(0.06) & (self.place > 0)
        address[family] = address[self.first[family]]
        other = self.addresses()
        self.is_["email"] = address
        self.second["email"] = np.where(self.chance(0.35), other, address)
        mobile = 7_000_000_00 + self.draw.integers(0, 99_999_999, self.persons)
        landline = (2_000_000_00 + self.draw.integers(0, 99_999_999, self.persons))[self.first]
        shared = self.chance(0.15)
        self.is_["phone"] = phone_texts(np.where(shared, landline, mobile))
        changed = 7_000_000_00 + self.draw.integers(0, 99_999_999, self.persons)
        second = np.where(self.chance(0.25), changed, np.where(self.chance(0.3), landline, mobile))
        self.second["phone"] = phone_texts(second)

    def addresses(self) -> Texts:
        given, surname = plain(self.is_["given_name"]), plain(self.is_["surname"])
        number = self.draw.integers(1, 999, self.persons).astype(str).astype(object)
        number[self.draw.random(self.persons) < 0.3] = ""
        initial = np.array([name[:1] for name in given.tolist()], dtype=object)
        style = self.draw.integers(0, 5, self.persons)
        local = np.select(
            [style == 0, style == 1, style == 2, style == 3],
            [given + "." + surname, initial + surname, given + "_" + surname, surname + given],
            given,
        )
        domain = np.array(DOMAINS, dtype=object)[zipf(self.persons, len(DOMAINS), self.draw)]
        work = self.chance(0.15)
        domain[work] = surname[self.draw.permutation(self.persons)][work] + ".com"
        return local + number + "@" + domain


STATES = ("NW", "NE", "SW", "SE", "WA", "QL", "VI", "TA")


def shares(weights: Any) -> Any:
    array = np.array(list(weights), dtype=float)
    return array / array.sum()


def zipf(size: int, among: int, draw: np.random.Generator) -> Ints:
    chances = 1 / (np.arange(among) + 3)
    return np.searchsorted(np.cumsum(chances), draw.random(size) * chances.sum())


def made_up(count: int, stems: Texts, endings: Sequence[str], draw: np.random.Generator) -> Texts:
    return (
        stems[draw.integers(0, len(stems), count)]
        + np.array(endings, dtype=object)[draw.integers(0, len(endings), count)]
    )


def plain(texts: Texts) -> Texts:
    """As one writes it in an e-mail: small letters without accents."""
    known = {
        text: "".join(c for c in unicodedata.normalize("NFD", text.lower()) if c.isascii() and c.isalpha()) or "x"
        for text in set(texts.tolist())
    }
    return np.array([known[text] for text in texts.tolist()], dtype=object)


def phone_texts(numbers: Ints) -> Texts:
    return np.array([f"0{number}" for number in numbers.tolist()], dtype=object)


# --- What records say of them ------------------------------------------------------------------------------
def said_of(world: World, truth: Ints, *, noise: Noise, draw: np.random.Generator) -> dict[str, Texts]:
    size = len(truth)

    def some(share: float) -> Ints:
        return np.flatnonzero(draw.random(size) < share)

    def either(name: str) -> Any:
        return np.where(draw.random(size) < 0.5, world.is_[name][truth], world.second[name][truth])

    values = {name: either(name) for name in ("given_name", "surname", "sex", "email", "phone", "national_id")}
    home = either("home")
    values |= {name: column[home] for name, column in world.home.items()}
    born = (np.datetime64("1970-01-01") + world.is_["born"][truth].astype("timedelta64[D]")).astype(str)
    values["birth_date"] = born.astype(object)
    values["sex"][some(noise.typos / 4)] = "M"
    vary(values, some, share=noise.variants, draw=draw)
    for name in ("given_name", "surname", "birth_date", "email", "phone", "street", "city", "national_id"):
        rewrite(values[name], some(noise.typos if name != "email" else noise.typos / 2), mistyped, draw)
    for name in ("house_number", "postcode"):
        rewrite(values[name], some(noise.typos / 2), mistyped, draw)
    for name, junk in JUNK.items():
        hit = some(noise.junk * (4 if name == "birth_date" else 1))
        values[name][hit] = np.array(junk, dtype=object)[draw.integers(0, len(junk), len(hit))]
    for name, share in MISSING.items():
        for together in {"street": ("street", "house_number"), "city": ("city", "postcode", "state")}.get(
            name, (name,)
        ):
            values[together][hit := some(share * noise.missing) if together == name else hit] = None
    return values


def vary(values: dict[str, Texts], some: Callable[[float], Ints], *, share: float, draw: np.random.Generator) -> None:
    """What is not wrong but different: nicknames, initials, swapped names and days, abbreviations, other spelling."""
    given, surname, born = values["given_name"], values["surname"], values["birth_date"]
    for row in some(4 * share).tolist():
        if known := NICKNAMES.get(given[row]):
            given[row] = known[int(draw.integers(len(known)))]
    rewrite(given, some(share / 3), lambda text, _: text[:1], draw)
    swapped = some(share / 5)
    given[swapped], surname[swapped] = surname[swapped], given[swapped]
    rewrite(
        born, some(share / 3), lambda text, _: f"{text[:5]}{text[8:]}-{text[5:7]}" if text[8:] <= "12" else text, draw
    )
    rewrite(values["street"], some(4 * share), lambda text, _: shortened(text), draw)
    rewrite(values["phone"], some(4 * share), lambda text, _: f"+44 {text[1:4]} {text[4:7]} {text[7:]}", draw)
    rewrite(values["email"], some(share), lambda text, _: text.upper(), draw)
    rewrite(surname, some(share), lambda text, _: text.upper(), draw)


def shortened(street: str) -> str:
    stem, _, kind = street.rpartition(" ")
    return f"{stem} {SHORT.get(kind, kind)}"


def rewrite(column: Texts, rows: Ints, change: Callable[[str, int], str], draw: np.random.Generator) -> None:
    luck = draw.integers(0, 2**31, len(rows)).tolist()
    column[rows] = [change(text, number) for text, number in zip(column[rows].tolist(), luck, strict=True)]


NEIGHBOURS = {
    **{a: b for row in ("qwertyuiop", "asdfghjkl", "zxcvbnm") for a, b in zip(row, row[1:] + row[-2], strict=True)},
    **{str(digit): str((digit + 1) % 10) for digit in range(10)},
}


def mistyped(text: str, luck: int) -> str:
    """One letter wrong, doubled, left out or swapped with the next."""
    if len(text) < 2:
        return text
    at, kind = luck // 4 % (len(text) - 1), luck % 4
    if kind == 0:
        return text[:at] + NEIGHBOURS.get(text[at].lower(), "e") + text[at + 1 :]
    if kind == 1:
        return text[: at + 1] + text[at:]
    if kind == 2:
        return text[:at] + text[at + 1 :]
    return text[:at] + text[at + 1] + text[at] + text[at + 2 :]


# --- How a source lays them out ----------------------------------------------------------------------------
def customers(values: dict[str, Texts], _draw: np.random.Generator) -> tuple[dict[str, Texts], dict[str, str]]:
    order = (
        "given_name",
        "surname",
        "birth_date",
        "sex",
        "email",
        "phone",
        "street",
        "house_number",
        "postcode",
        "city",
    )
    return {name: values[name] for name in order}, {name: name for name in order}


def register(values: dict[str, Texts], draw: np.random.Generator) -> tuple[dict[str, Texts], dict[str, str]]:
    reverse = (draw.random(len(values["surname"])) < 0.2).tolist()
    columns = {
        "name": [
            (f"{s}, {g}" if turned else f"{g} {s}") if g and s else g or s
            for g, s, turned in zip(values["given_name"].tolist(), values["surname"].tolist(), reverse, strict=True)
        ],
        "date_of_birth": [
            f"{text[8:]}/{text[5:7]}/{text[:4]}" if text and len(text) == 10 else text
            for text in values["birth_date"].tolist()
        ],
        "address": [
            f"{number} {street}" if number and street else street
            for number, street in zip(values["house_number"].tolist(), values["street"].tolist(), strict=True)
        ],
        "town": values["city"].tolist(),
        "state": values["state"].tolist(),
        "social_security_number": values["national_id"].tolist(),
    }
    types = {
        "name": "full_name", "date_of_birth": "birth_date", "address": "address", "town": "city", "state": "state",
        "social_security_number": "national_id",
    }  # fmt: skip
    return {name: np.array(column, dtype=object) for name, column in columns.items()}, types


LAYOUTS = {"customers": customers, "register": register}


def write(made: People, path: Path) -> None:
    import pyarrow as pa
    import pyarrow.csv
    import pyarrow.parquet

    table = pa.table({**made.columns, "truth": made.truth})
    if path.suffix == ".parquet":
        pyarrow.parquet.write_table(table, path)
    else:
        pyarrow.csv.write_csv(table, path)


def main() -> None:
    parser = argparse.ArgumentParser(description="Write people with known truth to a .parquet or .csv file.")
    parser.add_argument("records", type=int)
    parser.add_argument("out", type=Path)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--noise", choices=NOISES, default="usual")
    parser.add_argument("--layout", choices=LAYOUTS, default="customers")
    given = parser.parse_args()
    write(people(given.records, seed=given.seed, noise=NOISES[given.noise], layout=given.layout), given.out)


if __name__ == "__main__":
    main()
