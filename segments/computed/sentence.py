"""A computed trait in plain words."""

from typing import assert_never

from segments.computed.definition import Definition, Lifecycle, Measured, Rfm, Take, Tiers
from segments.sentence import events_phrase, length_phrase, path_phrase, window_phrase

TAKEN = {
    Take.COUNT: "How often",
    Take.SUM: "Sum of {of} of",
    Take.AVG: "Average {of} of",
    Take.MIN: "Lowest {of} of",
    Take.MAX: "Highest {of} of",
    Take.DISTINCT: "Number of different {of} of",
    Take.DAYS: "Number of days with",
    Take.FIRST: "First {of} of",
    Take.LAST: "Last {of} of",
    Take.MOST_FREQUENT: "Most frequent {of} of",
    Take.FIRST_AT: "When first",
    Take.LAST_AT: "When last",
}


def describe(definition: Definition) -> str:
    match definition:
        case Measured(take, events):
            of = path_phrase(events.of.text) if events.of else ""
            return f"{TAKEN[take].format(of=of)} {events_phrase(events)}{window_phrase(events.window)}"
        case Rfm(events):
            of = path_phrase(events.of.text) if events.of else ""
            asked = f"{events_phrase(events)}{window_phrase(events.window)}"
            return f"How recently, how often and how much ({of}) {asked}, each scored 1 to 5 among everybody"
        case Lifecycle(events, new, active, dormant):
            return (
                f"New for {length_phrase(new)} after the first {events_phrase(events)}, then active for"
                f" {length_phrase(active)} after the newest one, dormant until {length_phrase(dormant)}, then churned"
            )
        case Tiers(trait, tiers, otherwise):
            steps = ", ".join(f"{label} from {bound:g}" for bound, label in tiers)
            return f"By {path_phrase(trait.text)}: {steps}" + (f", else {otherwise}" if otherwise else "")
        case _:
            assert_never(definition)
