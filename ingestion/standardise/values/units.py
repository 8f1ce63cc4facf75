"""Units by dimension, each by its factor (and offset) to the base unit of its dimension. Exact by definition."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Unit:
    """`value in base = (value + offset) * factor`."""

    name: str
    dimension: str
    factor: float
    spellings: tuple[str, ...] = ()
    offset: float = 0.0

    def to_base(self, value: float) -> float:
        return (value + self.offset) * self.factor

    def from_base(self, value: float) -> float:
        return value / self.factor - self.offset


UNITS = (
    Unit("mg", "mass", 0.000_001, ("milligram", "milligrams", "milligramm")),
    Unit("g", "mass", 0.001, ("gr", "gram", "grams", "gramm", "gramme", "grammes")),
    Unit("kg", "mass", 1, ("kgs", "kilo", "kilos", "kilogram", "kilograms", "kilogramm", "kilogramme", "kilogrammes")),
    Unit("t", "mass", 1_000, ("tonne", "tonnes", "tonnen")),
    Unit("oz", "mass", 0.028_349_523_125, ("ounce", "ounces", "unze", "unzen")),
    Unit("lb", "mass", 0.453_592_37, ("lbs", "pound", "pounds")),
    Unit("st", "mass", 6.350_293_18, ("stone", "stones")),
    Unit("mm", "length", 0.001, ("millimetre", "millimetres", "millimeter", "millimeters")),
    Unit("cm", "length", 0.01, ("centimetre", "centimetres", "centimeter", "centimeters", "zentimeter")),
    Unit("m", "length", 1, ("metre", "metres", "meter", "meters", "mètre", "mètres", "metro", "metros")),
    Unit("km", "length", 1_000, ("kilometre", "kilometres", "kilometer", "kilometers", "kilomètres")),
    Unit("in", "length", 0.0254, ("inch", "inches", '"', "″", "zoll", "pouce", "pouces")),
    Unit("ft", "length", 0.3048, ("foot", "feet", "'", "\u2032", "fuß", "pied", "pieds")),
    Unit("yd", "length", 0.9144, ("yard", "yards")),
    Unit("mi", "length", 1_609.344, ("mile", "miles", "meile", "meilen")),
    Unit("m2", "area", 1, ("sqm", "qm", "sq m", "square metres", "square meters", "quadratmeter")),
    Unit("ft2", "area", 0.092_903_04, ("sqft", "sq ft", "square feet")),
    Unit("ha", "area", 10_000, ("hectare", "hectares", "hektar")),
    Unit("acre", "area", 4_046.856_422_4, ("acres",)),
    Unit("km2", "area", 1_000_000, ("sq km",)),
    Unit("ml", "volume", 0.001, ("millilitre", "millilitres", "milliliter", "milliliters")),
    Unit("cl", "volume", 0.01, ("centilitre", "centilitres", "centiliter", "zentiliter")),
    Unit("l", "volume", 1, ("litre", "litres", "liter", "liters", "ltr")),
    Unit("m3", "volume", 1_000, ("cubic metres", "cubic meters", "kubikmeter", "cbm")),
    Unit("fl oz", "volume", 0.029_573_529_562_5, ("floz", "fluid ounce", "fluid ounces")),
    Unit("pt", "volume", 0.473_176_473, ("pint", "pints")),
    Unit("gal", "volume", 3.785_411_784, ("gallon", "gallons")),
    Unit("°C", "temperature", 1, ("c", "celsius", "degc", "ºc"), 273.15),
    Unit("°F", "temperature", 5 / 9, ("f", "fahrenheit", "degf", "ºf"), 459.67),
    Unit("K", "temperature", 1, ("kelvin",)),
    Unit("m/s", "speed", 1, ("mps",)),
    Unit("km/h", "speed", 1 / 3.6, ("kmh", "kph", "kmph")),
    Unit("mph", "speed", 0.447_04, ("mi/h",)),
    Unit("kn", "speed", 1_852 / 3_600, ("knot", "knots", "knoten")),
    Unit("ms", "duration", 0.001, ("msec", "millisecond", "milliseconds", "millisekunden")),
    Unit("s", "duration", 1, ("sec", "secs", "second", "seconds", "sek", "sekunde", "sekunden")),
    Unit("min", "duration", 60, ("mins", "minute", "minutes", "minuten")),
    Unit("h", "duration", 3_600, ("hr", "hrs", "hour", "hours", "std", "stunde", "stunden")),
    Unit("d", "duration", 86_400, ("day", "days", "tag", "tage")),
    Unit("week", "duration", 604_800, ("weeks", "wk", "woche", "wochen")),
    Unit("B", "data", 1, ("byte", "bytes")),
    Unit("kB", "data", 1_000, ("kilobyte", "kilobytes")),
    Unit("MB", "data", 1_000_000, ("megabyte", "megabytes")),
    Unit("GB", "data", 1_000_000_000, ("gigabyte", "gigabytes")),
    Unit("TB", "data", 1_000_000_000_000, ("terabyte", "terabytes")),
    Unit("ratio", "share", 1),
    Unit("%", "share", 0.01, ("percent", "per cent", "pct", "prozent")),
    Unit("‰", "share", 0.001, ("per mille", "promille")),
)


def find_unit(spelling: str) -> Unit | None:
    """By its symbol or name, capitals or not."""
    text = spelling.strip().rstrip(".")
    return _EXACT.get(text) or _FOLDED.get(" ".join(text.casefold().split()))


_EXACT = {unit.name: unit for unit in UNITS}
_FOLDED = {spelling.casefold(): unit for unit in reversed(UNITS) for spelling in (unit.name, *unit.spellings)}
