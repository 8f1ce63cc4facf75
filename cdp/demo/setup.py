"""Make what the blueprint names, where it is missing. Every function may be repeated."""

import contextlib
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from django.conf import settings
from django.contrib.auth.models import Group
from django.db import connection, transaction

import activation.operations
import ingestion.plans.operations
import segments.lifecycle
from activation.egress import is_allow_listed
from activation.models import Destination
from cdp.demo import blueprint
from cdp.demo.keyring import Keyring
from cdp.demo.receiver.server import HOOK
from cdp.kernel import env
from cdp.kernel.access.models import ApiToken, User
from cdp.kernel.access.roles import Role, Scope
from consent.models import Purpose
from ingestion import keys
from ingestion.models import Source
from ingestion.operations import change_settings, create_source, rotate_write_key
from ingestion.plans.models import PlanVersion
from segments.computed import gallery
from segments.computed.errors import NameTakenError
from segments.computed.models import ComputedTrait
from segments.computed.operations import create_computed
from segments.models import Segment

TOKEN_NAME = "Demo loader"  # noqa: S105 - a name
STAFF = {Role.ADMIN, Role.PRIVACY_OFFICER}


@dataclass(frozen=True)
class Login:
    """`password` is None where somebody has since chosen another."""

    username: str
    password: str | None
    role: str
    does: str


def receiver_port() -> int:
    return env.integer("CDP_RECEIVER_PORT", settings.PORT + 1)


def ensure_purposes() -> dict[str, Purpose]:
    made = {}
    for wanted in blueprint.PURPOSES:
        defaults = {
            "name": wanted.name,
            "kind": wanted.kind,
            "requires_opt_in": wanted.requires_opt_in,
            "description": wanted.description,
        }
        made[wanted.slug], _ = Purpose.objects.get_or_create(slug=wanted.slug, defaults=defaults)
    return made


def ensure_sources(keyring: Keyring, *, purposes: Mapping[str, Purpose], now: datetime) -> dict[str, Source]:
    """The sources, each with a live write key on the keyring."""
    found = Source.objects.in_bulk([wanted.slug for wanted in blueprint.SOURCES], field_name="slug")
    for wanted in blueprint.SOURCES:
        source = found.get(wanted.slug)
        if source is None:
            found[wanted.slug], keyring.write_keys[wanted.slug] = create_source(
                slug=wanted.slug,
                name=wanted.name,
                description=wanted.description,
                purpose=purposes[wanted.purpose] if wanted.purpose else None,
                now=now,
            )
            change_settings(source=found[wanted.slug], settings=wanted.settings)
        elif not _opens(keyring.write_keys.get(wanted.slug, ""), source):
            keyring.write_keys[wanted.slug] = rotate_write_key(source=source, now=now)
    return found


@transaction.atomic
def ensure_plan(sources: Mapping[str, Source], *, now: datetime) -> None:
    """The website's tracking plan, live. One that is there, or was there, stays as it is."""
    source = sources[blueprint.WEBSITE]
    if not PlanVersion.objects.filter(plan__source=source).exists():
        author = User.objects.filter(username="erin").first()
        ingestion.plans.operations.save_draft(source=source, document=blueprint.WEBSITE_PLAN, user=author, now=now)
        ingestion.plans.operations.publish(source=source, user=author, note="As the shop's team agreed it", now=now)


def _opens(key: str, source: Source) -> bool:
    sender = keys.sender_of(key)
    return sender is not None and sender.source_id == source.pk


def ensure_token(keyring: Keyring) -> None:
    """A token that may record consent; a new one where the keyring's is not known here."""
    live = ApiToken.objects.filter(name=TOKEN_NAME, revoked_at=None).first()
    if live is None or live.digest != ApiToken.digest_of(keyring.token):
        ApiToken.objects.filter(name=TOKEN_NAME).delete()
        _row, keyring.token = ApiToken.issue(name=TOKEN_NAME, scopes=[Scope.CONSENT_WRITE.value])


def ensure_users(keyring: Keyring) -> list[Login]:
    """One person per role. CDP_DEMO_PASSWORD sets their password; otherwise it is drawn once per deployment."""
    given = env.text("CDP_DEMO_PASSWORD")
    keyring.password = given or keyring.password or f"demo-{secrets.token_hex(4)}"
    return [_ensure_user(wanted, keyring.password, reset=bool(given)) for wanted in blueprint.USERS]


def _ensure_user(wanted: blueprint.DemoUser, password: str, *, reset: bool) -> Login:
    user = User.objects.filter(username=wanted.username).first()
    if user is None:
        user = User.objects.create_user(
            wanted.username,
            email=f"{wanted.username}@example.com",
            password=password,
            first_name=wanted.first_name,
            last_name=wanted.last_name,
            is_staff=wanted.role in STAFF,
            is_superuser=wanted.role is Role.ADMIN,
        )
        user.groups.add(Group.objects.get(name=wanted.role.value))
    known = user.check_password(password)
    if reset and not known:
        user.set_password(password)
        user.save(update_fields=["password"])
        known = True
    return Login(wanted.username, password if known else None, wanted.role.value, wanted.does)


def ensure_segments(*, now: datetime) -> list[Segment]:
    """Missing ones are made; what somebody changed stays as they left it."""
    author = User.objects.filter(username="maya").first()
    found = Segment.objects.in_bulk([wanted.slug for wanted in blueprint.SEGMENTS], field_name="slug")
    for wanted in blueprint.SEGMENTS:
        if wanted.slug not in found:
            found[wanted.slug] = segments.lifecycle.create(
                slug=wanted.slug,
                name=wanted.name,
                description=wanted.description,
                definition=wanted.definition,
                folder=wanted.folder,
                tags=wanted.tags,
                user=author,
                now=now,
            )
    return [found[wanted.slug] for wanted in blueprint.SEGMENTS]


def refresh_statistics() -> None:
    """A year of events came in a minute: do not wait for the planner to hear of them by itself."""
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE event, profile")


def ensure_computed(*, now: datetime) -> None:
    """Computed traits of the gallery; a name that is taken already stays with whoever has it."""
    author = User.objects.filter(username="maya").first()
    taken = set(ComputedTrait.objects.values_list("name", flat=True))
    for name in blueprint.COMPUTED:
        ready = gallery.find(name)
        if ready is not None and name not in taken:
            with contextlib.suppress(NameTakenError):
                create_computed(
                    name=name,
                    label=ready.label,
                    description=ready.why,
                    definition=ready.definition,
                    user=author,
                    now=now,
                )


def receiver_is_allowed() -> bool:
    """Whether this deployment may send to the receiver, which is on this machine."""
    return is_allow_listed("127.0.0.1", receiver_port(), entries=settings.EGRESS_ALLOWED_HOSTS)


def receiver_is_connected() -> bool:
    return Destination.objects.filter(slug=blueprint.WEBHOOK_SLUG).exists()


@transaction.atomic
def ensure_webhook(keyring: Keyring, *, purposes: Mapping[str, Purpose], now: datetime) -> Destination:
    """The receiver as a destination that listens to the segments. One that is there keeps what was changed on it."""
    destination = Destination.objects.filter(slug=blueprint.WEBHOOK_SLUG).first()
    if destination is None:
        destination, keyring.signing_secret = activation.operations.create_destination(
            slug=blueprint.WEBHOOK_SLUG,
            name=blueprint.WEBHOOK_NAME,
            config={"url": f"http://127.0.0.1:{receiver_port()}{HOOK}"},
        )
        _subscribe(destination, purposes)
    elif not keyring.signing_secret:
        secrets_now = activation.operations.reveal_secrets(destination=destination, now=now, actor=TOKEN_NAME)
        keyring.signing_secret = secrets_now[0].text
    return destination


def _subscribe(destination: Destination, purposes: Mapping[str, Purpose]) -> None:
    listened = Segment.objects.in_bulk([wanted.slug for wanted in blueprint.SEGMENTS], field_name="slug")
    for wanted in blueprint.SEGMENTS:
        if wanted.purpose:
            activation.operations.subscribe(
                destination=destination,
                segment=listened[wanted.slug],
                on_enter=True,
                on_exit=True,
                purpose=purposes[wanted.purpose],
            )
