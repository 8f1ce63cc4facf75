"""What the home screen shows: how much there is, how it flows, who moved, and what to set up next."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import chain

from django.db import connection
from django.db.models import Count, Sum
from django.urls import reverse
from django.utils import timezone

from activation import queries as activation
from activation.models import Destination
from identity import queries as identities
from identity.viewing import mask_profile
from ingestion import queries as ingestion
from ingestion.dictionary.masking import Masker
from ingestion.models import EventName, Source
from segments.models import Segment, SegmentVersion

SLOW_AFTER = timedelta(seconds=10)
STUCK_AFTER = timedelta(minutes=1)
FEED_SIZE = 12
SEGMENTS_SHOWN = 6


@dataclass(frozen=True, slots=True)
class Numbers:
    profiles: int
    events_today: int
    events_this_hour: int
    segments: int
    memberships: int
    deliveries: int
    deliveries_dead: int
    inbox: int
    lag: timedelta
    quarantined: int

    @property
    def flow(self) -> str:
        """One word about the pipeline: flowing, slow or stuck."""
        if self.lag > STUCK_AFTER:
            return "stuck"
        return "slow" if self.lag > SLOW_AFTER else "flowing"


@dataclass(frozen=True, slots=True)
class SourceHealth:
    source: Source
    last_received: datetime | None
    stored: int
    quarantined: int


@dataclass(frozen=True, slots=True)
class SegmentSize:
    segment: Segment
    share: int  # percent of the largest one


@dataclass(frozen=True, slots=True)
class Movement:
    """A line of the feed: somebody entered or left a segment, or (without a profile) one was published."""

    at: datetime
    kind: str
    segment: str
    slug: str
    profile_id: int | None = None
    name: str = ""
    version: int = 0


@dataclass(frozen=True, slots=True)
class Step:
    """One step of setting up, with where to take it."""

    title: str
    text: str
    done: bool
    url: str


def read_numbers(*, now: datetime) -> Numbers:
    today = timezone.localtime(now).replace(hour=0, minute=0, second=0, microsecond=0)
    hour = now.replace(minute=0, second=0, microsecond=0)
    segments = Segment.objects.filter(state=Segment.State.LIVE).aggregate(count=Count("pk"), sum=Sum("member_count"))
    deliveries = activation.count_by_state(since=now - timedelta(days=1))
    return Numbers(
        profiles=identities.count_profiles(),
        events_today=ingestion.counts_by_outcome(since=today).get("stored", 0),
        events_this_hour=ingestion.counts_by_outcome(since=hour).get("stored", 0),
        segments=segments["count"],
        memberships=segments["sum"] or 0,
        deliveries=deliveries.get("delivered", 0),
        deliveries_dead=deliveries.get("dead", 0),
        inbox=ingestion.inbox_depth(),
        lag=ingestion.pipeline_lag(now=now),
        quarantined=ingestion.counts_by_outcome(since=now - timedelta(days=1)).get("quarantined", 0),
    )


def read_sources(*, now: datetime) -> list[SourceHealth]:
    sources = list(Source.objects.order_by("name"))
    last = ingestion.last_received(source_ids=[source.pk for source in sources])
    counts = ingestion.counts_by_source(since=now - timedelta(days=1))
    return [
        SourceHealth(
            source=source,
            last_received=last.get(source.pk),
            stored=counts.get(source.pk, {}).get("stored", 0),
            quarantined=counts.get(source.pk, {}).get("quarantined", 0),
        )
        for source in sources
    ]


def read_segments(*, limit: int = SEGMENTS_SHOWN) -> list[SegmentSize]:
    """The largest segments."""
    found = list(Segment.objects.exclude(state__in=Segment.AT_REST).order_by("-member_count", "name")[:limit])
    top = max((segment.member_count for segment in found), default=0) or 1
    return [SegmentSize(segment=segment, share=round(segment.member_count * 100 / top)) for segment in found]


# The newest of each segment by its index; a publication moves many at once and is one line of its own.
_MOVEMENTS = """
    SELECT t.at, t.kind, s.name, s.slug, t.profile_id
    FROM segments_segment s CROSS JOIN LATERAL (
        SELECT at, kind, profile_id, cause FROM transition
        WHERE segment_id = s.id ORDER BY at DESC LIMIT 200
    ) t
    WHERE t.cause <> 'definition'
    ORDER BY t.at DESC, t.profile_id LIMIT %s
"""


def read_feed(*, masker: Masker, limit: int = FEED_SIZE) -> list[Movement]:
    """The newest entries, exits and publications over all segments, newest first."""
    lines = sorted(chain(_movements(limit, masker), _publications(limit)), key=lambda line: line.at, reverse=True)
    return lines[:limit]


def _movements(limit: int, masker: Masker) -> list[Movement]:
    with connection.cursor() as cursor:
        cursor.execute(_MOVEMENTS, [limit])
        rows = cursor.fetchall()
    found = identities.get_profiles(ids={row[4] for row in rows})
    people = {id_: mask_profile(view, masker) for id_, view in found.items()}
    return [
        Movement(at, kind, segment, slug, id_, people[id_].display_name if id_ in people else f"Profile {id_}")
        for at, kind, segment, slug, id_ in rows
    ]


def _publications(limit: int) -> list[Movement]:
    versions = SegmentVersion.objects.select_related("segment").order_by("-created_at")[:limit]
    return [
        Movement(
            at=version.created_at,
            kind="published",
            segment=version.segment.name,
            slug=version.segment.slug,
            version=version.number,
        )
        for version in versions
    ]


def read_steps() -> list[Step]:
    """The way from an empty deployment to the first delivery."""
    source = Source.objects.order_by("pk").first()
    sources, segments = reverse("sources:list"), reverse("segments:list")
    return [
        Step("Create a source", "A source is where events come from. It gives you a write key.", source is not None,
             reverse("sources:create")),
        Step("Send an event", "Paste the snippet of your source into a site, an app or a terminal.",
             EventName.objects.exists(), reverse("sources:source", args=[source.slug]) if source else sources),
        Step("Build a segment", "Say who you mean; the count shows as you type.", Segment.objects.exists(), segments),
        Step("Connect a destination", "Entries and exits reach it as signed webhooks.", Destination.objects.exists(),
             reverse("destinations:list")),
    ]  # fmt: skip
