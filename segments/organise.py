"""Folders and tags, and finding segments among many."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.db import transaction
from django.db.models import Count, Q, QuerySet

from segments.errors import SegmentError
from segments.models import Segment
from segments.queries import sentence_of

MAX_FOLDER = 60
MAX_TAG = 40
MAX_TAGS = 20


# --- Where they lie -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Place:
    """The folder and tags of a segment, as they were: what an undo puts back."""

    folder: str
    tags: tuple[str, ...]


@transaction.atomic
def organise(
    *,
    segment_ids: Collection[int],
    folder: str | None = None,
    tags: Sequence[str] | None = None,
    add: Sequence[str] = (),
    remove: Sequence[str] = (),
) -> dict[int, Place]:
    """Move segments to a folder (none is ""), set, add and take tags; returns where each of them was."""
    folder = folder if folder is None else _folder(folder)
    added, removed = clean_tags(add), {tag.casefold() for tag in clean_tags(remove)}
    given = None if tags is None else clean_tags(tags)
    before: dict[int, Place] = {}
    for segment in Segment.objects.select_for_update(no_key=True).filter(pk__in=segment_ids).order_by("pk"):
        before[segment.pk] = Place(segment.folder, tuple(segment.tags))
        segment.folder = segment.folder if folder is None else folder
        kept = [tag for tag in (segment.tags if given is None else given) if tag.casefold() not in removed]
        segment.tags = clean_tags([*kept, *added])
        segment.save(update_fields=["folder", "tags"])
    return before


@transaction.atomic
def put_back(places: Mapping[int, Place]) -> None:
    for segment in Segment.objects.select_for_update(no_key=True).filter(pk__in=places).order_by("pk"):
        place = places[segment.pk]
        segment.folder, segment.tags = place.folder, list(place.tags)
        segment.save(update_fields=["folder", "tags"])


def clean_tags(tags: Iterable[Any]) -> list[str]:
    """Each once, whatever its capitals, in the order in which they came."""
    found: dict[str, str] = {}
    for tag in tags:
        clean = " ".join(tag.split()) if isinstance(tag, str) else ""
        if not clean or len(clean) > MAX_TAG or "\0" in clean or "," in clean:
            message = f"A tag has {MAX_TAG} characters at most, and no comma."
            raise SegmentError(message, code="invalid_tag", path="/tags")
        found.setdefault(clean.casefold(), clean)
    if len(found) > MAX_TAGS:
        raise SegmentError(f"A segment has {MAX_TAGS} tags at most.", code="too_many_tags", path="/tags")
    return list(found.values())


def _folder(folder: Any) -> str:
    clean = " ".join(folder.split()) if isinstance(folder, str) else None
    if clean is None or len(clean) > MAX_FOLDER or "\0" in clean:
        message = f"The name of a folder has {MAX_FOLDER} characters at most."
        raise SegmentError(message, code="invalid_folder", path="/folder")
    return clean


def folders() -> list[tuple[str, int]]:
    """Those in use, with how many segments lie in each, archived ones left out."""
    found = Segment.objects.exclude(folder="").exclude(state=Segment.State.ARCHIVED)
    return list(found.values_list("folder").annotate(count=Count("pk")).order_by("folder"))


def tags_in_use() -> list[str]:
    found = {tag for tags in Segment.objects.exclude(tags=[]).values_list("tags", flat=True) for tag in tags}
    return sorted(found, key=str.casefold)


# --- Found again --------------------------------------------------------------------------------------------


def find(*, text: str = "", state: str = "", folder: str | None = None, tag: str = "") -> QuerySet[Segment]:
    """Without a state, archived segments are left out; `folder` "" finds those that lie in none."""
    found = in_state(Segment.objects.all(), state) if state else Segment.objects.exclude(state=Segment.State.ARCHIVED)
    if folder is not None:
        found = found.filter(folder=folder)
    if tag:
        found = found.filter(tags__contains=[tag])
    return with_words(found, text)


def in_state(found: QuerySet[Segment], state: str) -> QuerySet[Segment]:
    """As the state is shown: with an edit in it, a draft; with a version on its way, computing."""
    on_its_way = Q(computation__isnull=False, computation__error="")
    if state == Segment.State.COMPUTING:
        return found.filter(on_its_way)
    if state == Segment.State.DRAFT:
        return found.filter(Q(state=state) | Q(draft__isnull=False))
    return found.filter(state=state).exclude(on_its_way)


def with_words(found: QuerySet[Segment], text: str) -> QuerySet[Segment]:
    """Those that have every word in their name, description, folder, tags, sentence, or a name in the definition."""
    words = text.casefold().split()
    if not words:
        return found
    rows = found.values_list("pk", "name", "slug", "description", "folder", "tags", "definition")
    return found.filter(pk__in=[pk for pk, *told in rows if _has(words, told)])


def _has(words: Sequence[str], told: Sequence[Any]) -> bool:
    *texts, tags, definition = told
    plain = "\n".join([*texts, *tags, *_texts(definition)]).casefold()
    missing = [word for word in words if word not in plain]
    if not missing:
        return True
    sentence = sentence_of(definition).casefold()
    return all(word in sentence for word in missing)


def _texts(value: Any) -> Iterable[str]:
    """The names and values in a definition."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for inner in value.values():
            yield from _texts(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _texts(inner)
