"""Countries to ISO 3166-1 alpha-2, languages to BCP 47; names in the many languages of pycountry's catalogues."""

import functools
import gettext
import re
import unicodedata
from collections.abc import Iterable, Iterator
from typing import Any

import pycountry

from ingestion.standardise.values.contracts import Options, Standardiser, Unreadable

_PUNCTUATION = re.compile(r"[^\w\s]|_")
_CATALOGUES = (
    "de", "fr", "es", "it", "nl", "pt", "pt_BR", "pl", "cs", "sk", "da", "sv", "nn", "nb_NO", "fi", "hu", "tr", "ro",
    "el", "bg", "uk", "ru", "ja", "zh_CN", "zh_TW", "ko", "ar", "he", "hr", "sl", "et", "lv", "lt", "ca", "vi", "id",
)  # fmt: skip

_COUNTRY_SPELLINGS = {
    "GB": "uk u.k. britain great-britain england scotland wales northern-ireland united-kingdom großbritannien",
    "US": "usa u.s. u.s.a. america united-states united-states-of-america the-states vereinigte-staaten amerika",
    "GR": "el hellas greece",
    "NL": "holland the-netherlands netherlands niederlande",
    "CZ": "czech-republic czechia tschechien tschechische-republik",
    "KR": "south-korea korea republic-of-korea südkorea",
    "KP": "north-korea nordkorea",
    "RU": "russia russian-federation russland россия",
    "TR": "turkey türkiye turkiye",
    "VN": "vietnam viet-nam",
    "IR": "iran",
    "SY": "syria",
    "LA": "laos",
    "MD": "moldova moldavia",
    "MK": "macedonia north-macedonia",
    "TW": "taiwan",
    "TZ": "tanzania",
    "VE": "venezuela",
    "BO": "bolivia",
    "BN": "brunei",
    "CI": "ivory-coast cote-d-ivoire elfenbeinküste",
    "CD": "dr-congo drc democratic-republic-of-congo",
    "CG": "republic-of-congo congo-brazzaville",
    "CV": "cape-verde",
    "SZ": "swaziland",
    "MM": "burma",
    "PS": "palestine",
    "VA": "vatican vatican-city holy-see",
    "AE": "uae u.a.e. emirates",
    "XK": "kosovo",
    "DE": "brd deutschland germany",
    "CH": "schweiz suisse svizzera svizra",
    "CN": "prc china mainland-china",
}
_LANGUAGE_SPELLINGS = {
    "de": "deutsch allemand", "en": "englisch anglais inglés inglese", "fr": "français francais französisch",
    "es": "español espanol castellano spanisch", "it": "italiano italienisch", "pt": "português portugues",
    "nl": "nederlands dutch", "pl": "polski polnisch", "cs": "čeština cesky", "sk": "slovenčina", "da": "dansk",
    "sv": "svenska", "nb": "norsk-bokmål", "no": "norsk", "nn": "nynorsk", "fi": "suomi", "hu": "magyar",
    "tr": "türkçe turkce türkisch", "ro": "română romana", "el": "ελληνικά greek griechisch", "bg": "български",
    "uk": "українська", "ru": "русский russisch", "ja": "日本語", "zh": "中文 汉语 漢語 mandarin", "ko": "한국어",
    "ar": "العربية", "he": "עברית", "hi": "हिन्दी", "vi": "tiếng-việt", "id": "bahasa-indonesia", "hr": "hrvatski",
    "sl": "slovenščina", "et": "eesti", "lv": "latviešu", "lt": "lietuvių", "ca": "català catalan valencian",
    "fa": "فارسی farsi", "th": "ไทย", "eu": "euskara", "ga": "gaeilge", "ms": "malay bahasa-melayu", "ne": "nepali",
}  # fmt: skip
_OUTDATED_LANGUAGES = {"iw": "he", "in": "id", "ji": "yi", "mo": "ro"}
_NOT_ASSIGNED = {"XK"}
_TAG = re.compile(r"([A-Za-z]{2,3})((?:[-_][A-Za-z0-9]{2,8})*)")
_NAME_AND_REGION = re.compile(r"(.+?)\s*\(([^)]+)\)")


class CountryOptions(Options, frozen=True):
    pass


def country(_options: CountryOptions) -> Standardiser:
    """`Germany`, `DEU`, `276`, `Allemagne` → `DE`."""
    return _country


def _country(value: Any) -> Any:
    if isinstance(value, bool) or not isinstance(value, str | int):
        return Unreadable("not a country")
    text = f"{value:03}" if isinstance(value, int) else value
    return _countries().get(_fold(text)) or Unreadable("not a country we know")


class LanguageOptions(Options, frozen=True):
    keep_region: bool = True
    """Whether `de-AT` stays so, or becomes `de`."""


def language(options: LanguageOptions) -> Standardiser:
    """`de_at` → `de-AT`, `German`, `ger`, `Deutsch` → `de`."""

    def standardise(value: Any) -> Any:
        if not isinstance(value, str):
            return Unreadable("not a language")
        tag = _language_tag(value.strip())
        if tag is None:
            return Unreadable("not a language we know")
        return tag if options.keep_region else tag.partition("-")[0]

    return standardise


def _language_tag(text: str) -> str | None:
    text = text.partition(".")[0].partition("@")[0].strip()  # de_DE.UTF-8, de_DE@euro
    match = _TAG.fullmatch(text)
    if match is not None and (primary := _languages().get(_fold(match[1]))):
        return _with_subtags(primary, re.split("[-_]", match[2])[1:])
    named = _NAME_AND_REGION.fullmatch(text)
    if named is None:
        return _languages().get(_fold(text))
    primary, region = _languages().get(_fold(named[1])), _countries().get(_fold(named[2]))
    return f"{primary}-{region}" if primary and region else None


def _with_subtags(primary: str, subtags: list[str]) -> str | None:
    """Script, region and variants in their canonical case (RFC 5646, 2.1.1)."""
    written = [primary]
    for subtag in subtags:
        if len(subtag) == 2:
            region = _countries().get(subtag.lower())
            if region is None:
                return None
            written.append(region)
        else:
            written.append(subtag.title() if len(subtag) == 4 and subtag.isalpha() else subtag.lower())
    return "-".join(written)


def _fold(text: str) -> str:
    """Without case, accents, punctuation and article."""
    plain = "".join(char for char in unicodedata.normalize("NFKD", text) if not unicodedata.combining(char))
    words = _PUNCTUATION.sub(" ", re.sub(r"[.'’]", "", plain.casefold())).split()
    return " ".join(words[1:] if words[:1] == ["the"] else words)


@functools.lru_cache(maxsize=1)
def _countries() -> dict[str, str]:
    """Folded spelling → alpha-2. Of a spelling that two countries have in some language, neither is meant."""
    index = {code.lower(): code for code in _NOT_ASSIGNED}
    for entry in pycountry.countries:
        for code in (entry.alpha_2, entry.alpha_3, entry.numeric):
            index[_fold(code)] = entry.alpha_2
    _add(index, ((word, code) for code, words in _COUNTRY_SPELLINGS.items() for word in _words(words)))
    _add(index, ((name, entry.alpha_2) for entry in pycountry.countries for name in _english(entry)))
    _add(index, _translated_countries())
    return index


@functools.lru_cache(maxsize=1)
def _languages() -> dict[str, str]:
    """Folded spelling → the shortest ISO 639 code."""
    index: dict[str, str] = {}
    for entry in pycountry.languages:
        short = getattr(entry, "alpha_2", entry.alpha_3)
        index[entry.alpha_3] = index[getattr(entry, "bibliographic", entry.alpha_3)] = short
    for entry in pycountry.languages:
        if hasattr(entry, "alpha_2"):
            index[entry.alpha_2] = entry.alpha_2
    index |= _OUTDATED_LANGUAGES
    _add(index, ((word, code) for code, words in _LANGUAGE_SPELLINGS.items() for word in _words(words)))
    living = [entry for entry in pycountry.languages if hasattr(entry, "alpha_2")]
    _add(index, ((_first_name(entry.name), entry.alpha_2) for entry in living))
    return index


def _words(text: str) -> Iterator[str]:
    return (word.replace("-", " ") for word in text.split())


def _first_name(name: str) -> str:
    """`Spanish; Castilian`, `Modern Greek (1453-)` as they are called."""
    return name.partition(";")[0].partition("(")[0].strip()


def _english(entry: Any) -> list[str]:
    names = [getattr(entry, field, "") for field in ("name", "official_name", "common_name")]
    return [*names, *(name.partition(",")[0] for name in names if name.count(",") == 1 and "Congo" not in name)]


def _translated_countries() -> Iterator[tuple[str, str]]:
    for locale in _CATALOGUES:
        try:
            catalogue = gettext.translation("iso3166-1", pycountry.LOCALES_DIR, languages=[locale])
        except OSError:
            continue
        for entry in pycountry.countries:
            for name in {entry.name, getattr(entry, "official_name", ""), getattr(entry, "common_name", "")} - {""}:
                yield catalogue.gettext(name), entry.alpha_2


def _add(index: dict[str, str], spellings: Iterable[tuple[str, str]]) -> None:
    """Add what is not known yet; what two of these disagree about is left out."""
    found: dict[str, str] = {}
    for name, code in spellings:
        folded = _fold(name)
        if folded and folded not in index:
            found[folded] = code if found.get(folded, code) == code else ""
    index.update({name: code for name, code in found.items() if code})
