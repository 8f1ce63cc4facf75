"""What the page of one profile shows, gathered from every room."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from consent.contracts import Choice, Decision, State
from consent.models import ConsentState, Purpose
from consent.policy import decide
from consent.subjects import subject_hash
from identity.accounts.contracts import AccountView
from identity.contracts import ProfileView
from identity.kinds.queries import other_spellings
from identity.models import ProfileIdentifier
from identity.survivorship.queries import Past, Said, TraitView, moment
from identity.traits import COMPUTED_SOURCE, Statement, TraitState, is_disputed
from ingestion.contracts import TimelineEvent
from ingestion.models import Source
from ingestion.sessions.operations import ENDED, STARTED
from ingestion.sessions.queries import told_of
from ingestion.sessions.words import origin_text, session_text

IDENTIFIER_ICONS = {
    "user_id": "id",
    "email": "mail",
    "phone": "phone",
    "anonymous_id": "cookie",
}

EVENT_ICONS = {
    "Order Completed": "shopping-bag",
    "Product Viewed": "eye",
    "Product Added": "shopping-cart-plus",
    "Product Removed": "shopping-cart-minus",
    "Cart Viewed": "shopping-cart",
    "Checkout Started": "credit-card",
    "Campaign Received": "speakerphone",
    "Coupon Redeemed": "ticket",
    "Products Searched": "search",
    "Signed In": "login",
    "Logged In": "login",
    "Signed Up": "user-plus",
}
TYPE_ICONS = {
    "page": "browser",
    "screen": "device-mobile",
    "identify": "id-badge-2",
    "group": "building",
    "alias": "arrows-join-2",
}

# Of an event's properties, those that tell most in one line.
_TELLING_OF_PAGES = ("path", "url", "name", "title")
_TELLING = ("name", "title", "product_name", "category", "path", "query", "campaign", "coupon", "order_id")
_AMOUNTS = ("revenue", "total", "price", "value")


@dataclass(frozen=True, slots=True)
class Trait:
    name: str
    value: Any
    at: datetime | None
    source: str
    disputed: bool = False


@dataclass(frozen=True, slots=True)
class SaidLine:
    """What a source says, with its name."""

    said: Said
    source: str


@dataclass(frozen=True, slots=True)
class TraitLine:
    """A trait of a profile's page; `anchor` is where it stands there."""

    view: TraitView
    source: str
    said: list[SaidLine]
    anchor: str


@dataclass(frozen=True, slots=True)
class PastLine:
    past: Past
    source: str


@dataclass(frozen=True, slots=True)
class Answer:
    """What a person said about a purpose, and what follows."""

    purpose: Purpose
    decision: Decision

    @property
    def state(self) -> str:
        return "allowed" if self.decision.allowed else "refused"

    @property
    def reason(self) -> str:
        return _REASONS[self.decision.reason]


_REASONS = {
    "granted": "Agreed",
    "not_objected": "Did not object",
    "denied": "Said no",
    "withdrawn": "Took it back",
    "expired": "The consent has expired",
    "no_choice": "Has not been asked",
    "unknown_person": "Has no identifier",
    "unknown_purpose": "The purpose is gone",
}


@dataclass(frozen=True, slots=True)
class EventLine:
    """An event of the timeline, ready to be read."""

    event: TimelineEvent
    icon: str
    summary: str
    amount: float | None
    currency: str
    source: str
    origin: str = ""
    session: str = ""
    heading: "SessionHeading | None" = None


@dataclass(frozen=True, slots=True)
class SessionHeading:
    """What stands above the events of a session: `text` says it in a line, `told` are all its properties."""

    text: str
    told: dict[str, Any]


def source_names() -> dict[int, str]:
    return dict(Source.objects.values_list("pk", "name"))


def list_traits(*, profile: ProfileView | AccountView, sources: dict[int, str]) -> list[Trait]:
    """Every trait with the time and source that set it, by name."""
    state = TraitState(profile.traits, profile.provenance)
    return [_trait(name, value, state.statements(name), sources) for name, value in sorted(profile.traits.items())]


def _trait(name: str, value: Any, statements: list[Statement], sources: dict[int, str]) -> Trait:
    if not statements:
        return Trait(name=name, value=value, at=None, source="")
    at, source_id, _, _ = statements[0]
    return Trait(
        name=name,
        value=value,
        at=moment(at),
        source=_source(source_id, sources),
        disputed=is_disputed(statements),
    )


def list_trait_lines(views: Iterable[TraitView], *, sources: dict[int, str]) -> list[TraitLine]:
    return [
        TraitLine(
            view=view,
            source=_source(view.source_id, sources),
            said=[SaidLine(one, _source(one.source_id, sources)) for one in view.said],
            anchor=f"trait-{place}",
        )
        for place, view in enumerate(views, start=1)
    ]


def list_pasts(pasts: Iterable[Past], *, sources: dict[int, str]) -> list[PastLine]:
    return [PastLine(past, _source(past.source_id, sources)) for past in pasts]


def _source(source_id: int | None, sources: dict[int, str]) -> str:
    return "computed" if source_id == COMPUTED_SOURCE else sources.get(source_id or 0, "a deleted source")


def list_answers(*, profile_id: int, now: datetime) -> list[Answer]:
    """What the consent policy says for every purpose, from all identifiers of the profile; four queries."""
    identifiers = ProfileIdentifier.objects.filter(profile_id=profile_id)
    held = list(identifiers.values_list("kind", "value", "first_seen_at"))
    spellings = other_spellings({(kind, value) for kind, value, _ in held})
    known = {
        subject_hash(kind, said): at for kind, value, at in held for said in (value, *spellings.get((kind, value), ()))
    }
    choices: dict[int, list[Choice]] = {}
    for state in ConsentState.objects.filter(subject__in=list(known)):
        choice = Choice(
            State(state.state), state.happened_at, state.expires_at, state.record_id, known.get(state.subject)
        )
        choices.setdefault(state.purpose_id, []).append(choice)
    return [
        Answer(purpose, decide(choices.get(purpose.pk, []), requires_opt_in=purpose.requires_opt_in, now=now))
        for purpose in Purpose.objects.order_by("kind", "name")
    ]


def read_event(event: TimelineEvent, *, sources: dict[int, str]) -> EventLine:
    properties = event.properties
    wanted = _TELLING_OF_PAGES if event.type == "page" else _TELLING
    telling = [properties[key] for key in wanted if isinstance(properties.get(key), str) and properties[key]]
    products = _products(properties.get("products"))
    currency = properties.get("currency")
    amounts = [properties[key] for key in _AMOUNTS if isinstance(properties.get(key), int | float)]
    return EventLine(
        event=event,
        icon=EVENT_ICONS.get(event.name) or TYPE_ICONS.get(event.type, "bolt"),
        summary=products or " · ".join(telling[: 1 if event.type == "page" else 2]),
        amount=amounts[0] if amounts else None,
        currency=currency if isinstance(currency, str) else "",
        source=sources.get(event.source_id, ""),
        origin=origin_text(event.context.get("enriched")),
        session=_session_of(event),
    )


def _session_of(event: TimelineEvent) -> str:
    found = event.properties.get("session_id")
    return found if isinstance(found, str) else ""


def group_by_session(lines: list[EventLine], *, profile_id: int) -> list[EventLine]:
    """Put a heading above every run of lines of one session, in place of the events that tell of it.

    A `session_id` that nothing is told of is a sender's own, and heads nothing.
    """
    if not lines:
        return []
    ids = {line.session for line in lines if line.session}
    told = told_of(profile_id=profile_id, ids=ids, since=lines[-1].event.ts)
    grouped: list[EventLine] = []
    above = ""
    for line in lines:
        session = line.session if line.session in told else ""
        if line.event.name in {STARTED, ENDED} and session:
            continue
        heading = SessionHeading(session_text(told[session]), told[session]) if session and session != above else None
        grouped.append(replace(line, session=session, heading=heading))
        above = session
    return grouped


def last_seen(lines: list[EventLine]) -> EventLine | None:
    """The newest event that tells where from and with what somebody was here."""
    return next((line for line in lines if line.origin), None)


def _products(products: Any) -> str:
    """`Oat milk, Bread and 3 more`, of the list that commerce events carry."""
    if not isinstance(products, list):
        return ""
    items = [product for product in products if isinstance(product, dict)]
    named = [str(item.get("name") or item.get("category") or "") for item in items]
    shown = list(dict.fromkeys(name for name in named if name))
    more = len(items) - len(shown[:2])
    if not shown:
        return ""
    return ", ".join(shown[:2]) + (f" and {more} more" if more > 0 else "")
