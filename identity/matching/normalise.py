"""Bring one value into the form in which it is compared, or None where it says nothing.

Every function takes any text: empty, of one letter, of ten thousand, in any script.
"""

import re
from collections.abc import Callable
from datetime import date, timedelta
from unicodedata import category as category_of

from anyascii import anyascii

from .contracts import ColumnType
from .nicknames import ROOTS

LONGEST = 120
"""Characters of a value that count: longer ones are no names, numbers or addresses, and would only cost time."""

_NO_LETTER = re.compile(r"[^a-z]+")
_NO_WORD = re.compile(r"[^a-z0-9]+")
_NO_DIGIT = re.compile(r"\D+")
_EXTENSION = re.compile(r"(?<=\d)\s*(?:x|ext|extn|#|;)", re.IGNORECASE)
_SERIAL = re.compile(r"[0-9]{5}(\.0+)?")
SHEETS_BEGIN = date(1899, 12, 30)
"""Spreadsheets count days from here."""
EPOCH = re.compile(r"-[0-9]{5,13}(\.0+)?|[0-9]{9,13}(\.0+)?")
_ISO_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
GROUPS = re.compile(r"\d+|[a-z]{3,}")
EMPTY = frozenset(
    [
        "null",
        "none",
        "nil",
        "na",
        "nan",
        "unknown",
        "undefined",
        "missing",
        "blank",
        "empty",
        "anonymous",
        "guest",
        "notavailable",
        "notapplicable",
        "notprovided",
        "noname",
        "xxx",
        "xx",
        "tbd",
        "tba",
        "withheld",
        "refused",
    ]
)
TITLES = frozenset(
    [
        "mr",
        "mrs",
        "ms",
        "miss",
        "mx",
        "dr",
        "prof",
        "professor",
        "sir",
        "dame",
        "lord",
        "lady",
        "rev",
        "reverend",
        "fr",
        "hon",
        "capt",
        "herr",
        "frau",
        "mme",
        "mlle",
        "sr",
        "sra",
        "don",
        "dona",
        "monsieur",
        "madame",
        "mister",
    ]
)
SUFFIXES = frozenset(["jr", "sr", "junior", "senior", "ii", "iii", "iv", "esq", "phd", "md"])
FORMS = frozenset(
    ["inc", "llc", "ltd", "limited", "corp", "corporation", "gmbh", "plc", "llp", "sarl", "srl", "pty", "bv"]
)
"""What a firm is by law, at the end of its name."""
MONTHS = {
    name: number
    for number, names in enumerate(
        (
            "jan januar january janvier enero",
            "feb februar february fevrier febrero",
            "mar march marz maerz mars marzo",
            "apr april avril abril",
            "may mai mayo",
            "jun june juni juin junio",
            "jul july juli juillet julio",
            "aug august aout agosto",
            "sep sept september septembre septiembre",
            "oct okt october oktober octobre octubre",
            "nov november novembre noviembre",
            "dec dez december dezember decembre diciembre",
        ),
        1,
    )
    for name in names.split()
}
ADDRESS_WORDS = {
    word: short
    for line in (
        "st street str strasse",
        "ave avenue av",
        "rd road",
        "dr drive drv",
        "ln lane",
        "ct court crt",
        "cres crescent cr crs cresc",
        "pl place",
        "blvd boulevard bvd",
        "cl close",
        "cct circuit",
        "cir circle",
        "ter terrace tce terr",
        "pde parade",
        "hwy highway",
        "pkwy parkway",
        "sq square",
        "gr grove grv",
        "way wy",
        "trl trail",
        "n north",
        "s south",
        "e east",
        "w west",
        "ne northeast",
        "nw northwest",
        "se southeast",
        "sw southwest",
        "mt mount",
        "apt apartment",
        "ste suite",
        "fl floor",
        "bldg building",
    )
    for short, *words in [line.split()]
    for word in (short, *words)
}
_LOOKALIKES = str.maketrans({"o": "0", "q": "0", "i": "1", "l": "1", "z": "2", "s": "5", "b": "8", "g": "9"})


def squeeze(value: str) -> str:
    """Lower case, Latin letters, one space between words."""
    return " ".join(_latin(value).lower().split())


def _latin(value: str) -> str:
    text = value[:LONGEST]
    if text.isascii():
        return text
    letters = "".join(char for char in text if not category_of(char).startswith("S") or char.isascii())
    return anyascii(letters)[:LONGEST]


def _words(value: str, split: re.Pattern[str]) -> list[str]:
    return split.sub(" ", squeeze(value).replace("'", "")).split()


def _known(text: str) -> str | None:
    return None if not text or text.replace(" ", "") in EMPTY else text


NOBODY = frozenset(
    [
        "respondent",
        "occupant",
        "resident",
        "owner",
        "tenant",
        "renter",
        "declined",
        "household",
        "family",
        "person",
        "adult",
        "child",
        "baby",
        "boy",
        "girl",
        "daughter",
        "son",
        "father",
        "mother",
        "wife",
        "husband",
        "spouse",
        "brother",
        "sister",
        "grandson",
        "granddaughter",
        "grandchild",
        "grandfather",
        "grandmother",
        "uncle",
        "aunt",
        "cousin",
        "niece",
        "nephew",
        "roommate",
        "boarder",
        "lodger",
        "visitor",
        "customer",
        "client",
        "patient",
        "user",
        "test",
        "tester",
        "gentleman",
        "inmate",
        "male",
        "female",
        "minor",
        "infant",
        "newborn",
    ]
)
"""What forms hold where a name should be: of somebody, but of nobody in particular."""


def _person(text: str) -> str | None:
    return None if text in NOBODY else _known(text)


def given_name(value: str) -> str | None:
    words = _words(value, _NO_LETTER)
    if len(words) > 1:
        words = [word for word in words if word not in TITLES] or words
    return _person(" ".join(words))


def surname(value: str) -> str | None:
    words = _words(value, _NO_LETTER)
    if len(words) > 1:
        words = [word for word in words if word not in SUFFIXES and word not in TITLES] or words
    while len(words) > 1 and words[-1] in FORMS:
        words = words[:-1]
    return _person(" ".join(words))


_NOT_KNOWN = re.compile(r"\bn/a\b", re.IGNORECASE)
_ONE_SCRIPT = re.compile(r"[\u4e00-\u9fff]{2,4}|[\uac00-\ud7a3]{2,4}")
LONG_FULL = 4
"""Signs of a name, in Chinese or Japanese, from which the surname is taken to have two."""


def spaced_name(value: str) -> str:
    """Chinese, Japanese and Korean names, written without a space, as `given surname`; others as they are."""
    text = value.strip()
    if not _ONE_SCRIPT.fullmatch(text):
        return value
    length = 2 if len(text) == LONG_FULL else 1
    return f"{text[length:]} {text[:length]}"


def full_name(value: str) -> str | None:
    """Given names first: `Smith, John` is turned round, and so is `王小明`. Words for nobody are left out."""
    before, comma, after = _NOT_KNOWN.sub(" ", spaced_name(value[:LONGEST])).partition(",")
    words = _words(f"{after} {before}" if comma and after.strip() else before, _NO_LETTER)
    words = [word for word in words if word not in EMPTY and word not in NOBODY]
    if len(words) > 1:
        words = [word for word in words if word not in TITLES and word not in SUFFIXES] or words
    return _known(" ".join(words))


def initial(value: str) -> str | None:
    words = _words(value, _NO_LETTER)
    return words[0][0] if words else None


def birth_date(value: str, *, day_first: bool = False, year_first: bool = True) -> str | None:
    """`YYYYMMDD`. `day_first`: read 05/08/2003 as 5 August. `year_first`: read 19800503 as 3 May 1980."""
    if _ISO_DATE.fullmatch(value):
        return value.replace("-", "")
    if EPOCH.fullmatch(value):
        return _from_epoch(value)
    if _SERIAL.fullmatch(value):
        return f"{SHEETS_BEGIN + timedelta(days=int(value[:5])):%Y%m%d}"
    text = squeeze(value)
    groups: list[str] = GROUPS.findall(text[:10] if text[10:11] == "t" else text)
    if len(groups) == 1 and len(groups[0]) != 8:
        groups = GROUPS.findall(text.replace(" ", "").translate(_LOOKALIKES))
    if len(groups) == 1 and len(groups[0]) == 8 and groups[0].isdigit():
        whole: str = groups[0]
        return whole if year_first else whole[4:] + _month_day(whole[:2], whole[2:4], day_first=day_first)
    return _from_groups(groups, day_first=day_first) if len(groups) >= 3 else None


SINCE = date(1970, 1, 1)
LARGEST_SECONDS = 10**10
"""Above it, a count since 1970 is of milliseconds."""


def _from_epoch(value: str) -> str | None:
    """A day as programs keep it: seconds, or thousandths of them, since 1970."""
    count = float(value)
    seconds = count / 1000 if abs(count) >= LARGEST_SECONDS else count
    return f"{SINCE + timedelta(days=seconds // 86_400):%Y%m%d}"


def _from_groups(groups: list[str], *, day_first: bool) -> str | None:
    parts = [str(MONTHS[group]) if group in MONTHS else group for group in groups]
    parts = [part for part in parts if part.isdigit()]
    if len(parts) < 3:
        return None
    one, two, three = parts[:3]
    if len(one) >= 3:
        return (one + two.zfill(2) + three.zfill(2))[:10]
    year = three[:5] if len(three) >= 3 else _century(three)
    if any(group in MONTHS for group in groups[:3]):
        month, day = (one, two) if groups[0] in MONTHS else (two, one)
        return f"{year}{month.zfill(2)}{day.zfill(2)}"
    return year + _month_day(one.zfill(2), two.zfill(2), day_first=day_first)


def _month_day(one: str, two: str, *, day_first: bool) -> str:
    if (day_first and int(two) <= 12) or int(one) > 12:
        one, two = two, one
    return one + two


def _century(year: str) -> str:
    """Two digits: people live now, so `30` and above is of the last century."""
    return ("19" if int(year) >= 30 else "20") + year.zfill(2)[-2:]


SHORTEST_EMAIL = 6


def email(value: str) -> str | None:
    """The address without what follows a plus; one whose @ was lost stays as it is, as long as it may be one."""
    text = "".join(_latin(value).lower().split()).removeprefix("mailto:")
    local, at, domain = text.rpartition("@")
    if not at or not local or not domain:
        return text if len(text) > SHORTEST_EMAIL and "." in text else None
    if "+" in local:
        local = local.partition("+")[0] or local
    if domain in {"gmail.com", "googlemail.com"}:
        local, domain = local.replace(".", ""), "gmail.com"
    return f"{local}@{domain}"


def phone(value: str) -> str | None:
    """The last nine digits: with and without a country's code they are the same, and without an extension."""
    if len(value) <= LONGEST and value.isdecimal():
        digits = value
    else:
        digits = _NO_DIGIT.sub("", _EXTENSION.split(value[:LONGEST], maxsplit=1)[0])
    if len(digits) < 6 or len(set(digits)) < 3 or digits in "01234567890123456789":
        return None
    return digits[-9:]


def national_id(value: str) -> str | None:
    text = _NO_WORD.sub("", squeeze(value))
    return None if len(text) < 3 or (len(text) > 3 and len(set(text)) < 2) or text in EMPTY else text


def street(value: str) -> str | None:
    words = [ADDRESS_WORDS.get(word, word) for word in _words(value, _NO_WORD)]
    return _known(" ".join(words))


def house_number(value: str) -> str | None:
    return _known("".join(_words(value, _NO_WORD)).lstrip("0"))


def postcode(value: str) -> str | None:
    text = _NO_WORD.sub("", squeeze(value))
    if len(text) == 9 and text.isdigit():
        text = text[:5]
    return _known(text.lstrip("0") if text.isdigit() else text)


def city(value: str) -> str | None:
    words = [{"saint": "st", "mount": "mt"}.get(word, word) for word in _words(value, _NO_WORD)]
    return _known(" ".join(words))


def sex(value: str) -> str | None:
    text = squeeze(value)
    if text in {"w", "woman", "girl", "weiblich", "femme", "mujer"}:
        return "f"
    if text in {"h", "homme", "hombre", "man", "boy"}:
        return "m"
    return text[:1] if text[:1] in {"m", "f"} else _known(text)


def age(value: str) -> str | None:
    """Years, or a year of birth: of that too, one apart is near."""
    digits = _NO_DIGIT.sub("", value.partition(".")[0][:LONGEST])
    if len(digits) == 4 and digits[:2] in {"18", "19", "20"}:
        return digits
    return digits.lstrip("0") or "0" if 0 < len(digits) <= 3 else None


def category(value: str) -> str | None:
    return _known(squeeze(value))


NORMALISERS: dict[ColumnType, Callable[[str], str | None]] = {
    ColumnType.GIVEN_NAME: given_name,
    ColumnType.SURNAME: surname,
    ColumnType.FULL_NAME: full_name,
    ColumnType.INITIAL: initial,
    ColumnType.BIRTH_DATE: birth_date,
    ColumnType.AGE: age,
    ColumnType.SEX: sex,
    ColumnType.EMAIL: email,
    ColumnType.PHONE: phone,
    ColumnType.NATIONAL_ID: national_id,
    ColumnType.STREET: street,
    ColumnType.ADDRESS: street,
    ColumnType.HOUSE_NUMBER: house_number,
    ColumnType.POSTCODE: postcode,
    ColumnType.CITY: city,
    ColumnType.STATE: category,
    ColumnType.CATEGORY: category,
}

_SOUNDS = tuple(
    (re.compile(pattern), sound)
    for pattern, sound in (
        (r"[^a-z]", ""),
        (r"^(kn|gn|pn)", "n"),
        (r"^wr", "r"),
        (r"^wh", "w"),
        (r"^ps", "s"),
        (r"^x", "s"),
        (r"sch|sh|ch|tch|cz|tsch", "x"),
        (r"ph|pf", "f"),
        (r"gh(?=[a-z])|gh$", ""),
        (r"dg(?=[eiy])", "j"),
        (r"c(?=[eiy])", "s"),
        (r"ck|c|q", "k"),
        (r"z", "s"),
        (r"v", "f"),
        (r"d(?=t)|dt$", "t"),
        (r"mb$", "m"),
        (r"^[aeiouy]+", "a"),
        (r"(?<=.)[aeiouyhw]+", ""),
        (r"(.)\1+", r"\1"),
    )
)


def sound(name: str) -> str | None:
    """How a name sounds, roughly: consonants, those that are often mistaken for each other made one."""
    text = name
    for pattern, replacement in _SOUNDS:
        text = pattern.sub(replacement, text)
    return text or None


def root(name: str) -> str:
    """The name that a nickname stands for; of several given names, the first."""
    first = name.partition(" ")[0]
    return ROOTS.get(first, first)
