"""Writes of this room: merge two profiles, take a merge back, say that two are one person or never will be.

Profile ids given may be absorbed ones: they are origins, and a merge ties the very origins that it was given.
"""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import connection, transaction

import identity.operations
from cdp.kernel.access.models import User
from identity import homes
from identity.contracts import Resolution
from identity.merging import constraints, graph, listeners, record
from identity.merging.contracts import MergePreview, Parting, UndoPreview
from identity.merging.errors import MergeRefusedError, NothingSaidError, UnknownMergeError, UnknownProfileError
from identity.merging.judge import Judgement, judge
from identity.merging.move import absorb, release
from identity.merging.preview import look_at_merge, look_at_parting
from identity.merging.queries import get_merge, leading, origins_of
from identity.models import Constraint, Merge
from identity.parts import parts_of
from identity.traits import load_state
from ingestion.sessions import operations as sessions
from ingestion.sessions.part import part_shared

ATTEMPTS = 5


def merge_profiles(
    *, one: int, other: int, cause: Merge.Cause, evidence: dict[str, Any], actor: User | None = None, now: datetime
) -> Merge:
    """Make two profiles one; the older id stays, the other leads to it.

    A person may join up to `identity.kinds.STATED_LIMIT` identifiers of a kind; any other cause keeps the limits.

    Raises:
        MergeRefusedError: with the code `same_profile`, `not_found`, `never_linked` or `limit_reached`.
    """
    with transaction.atomic():
        pair = _hold_pair(one, other)
        _require_allowed(judge(pair.keep, pair.give, stated=cause == Merge.Cause.PERSON))
        moved = absorb({pair.give: pair.keep}, now=now)
        identity.operations.write_traits(
            [], resolution=Resolution(absorbed={pair.give: pair.keep}, inherited=moved.parts), now=now
        )
        sessions.join_met([pair.keep])
        made = record.Made(
            survivor_id=pair.keep,
            absorbed_id=pair.give,
            one_origin=one,
            other_origin=other,
            cause=cause,
            evidence=evidence,
            moved=moved.counts[pair.give],
            actor_id=None if actor is None else actor.pk,
        )
        (merge_id,) = record.keep([made], now=now)
        listeners.tell({pair.keep, pair.give}, now=now)
        return Merge.objects.get(pk=merge_id)


def undo_merge(
    *,
    merge_id: int,
    actor: User | None = None,
    now: datetime,
    never_again: bool = True,
    overruling: bool = True,
    reason: str = "",
) -> Parting:
    """Take a merge back: what either side was recorded for goes to that side, with all that came since.

    What is undone is the one merge, wherever its profile has gone meanwhile. With `never_again` nothing merges the two
    origins again until that word is lifted. What was said of the very two before is overruled, unless `overruling` is
    false: then a word that they are one for certain forbids it, and any word stays. A `reason` is kept beside the
    evidence, as `undone_because`.

    Raises:
        MergeRefusedError: with the code `not_found`, `already_undone`, `gone` or `must_linked`.
    """
    with transaction.atomic():
        merge, parting = _hold_parting(merge_id)
        require_not_must(parting, besides=(merge.one_origin, merge.other_origin) if overruling else None)
        part(parting, now=now)
        evidence = merge.evidence | {"undone_because": reason} if reason else merge.evidence
        Merge.objects.filter(pk=merge_id).update(undone_at=now, undone_by=actor, evidence=evidence)
        if never_again:
            constraints.put(
                one=merge.one_origin,
                other=merge.other_origin,
                kind=Constraint.Kind.NEVER,
                reason="The merge was undone.",
                actor=actor,
                now=now,
            )
        elif overruling:
            constraints.remove(one=merge.one_origin, other=merge.other_origin)
        announce(parting, now=now)
        return parting


def forbid(*, one: int, other: int, actor: User | None, reason: str = "", now: datetime) -> Constraint:
    """Say that two are never one person. Where they are one profile already, the merge is to be undone instead.

    Raises:
        MergeRefusedError: with the code `same_profile` or `not_found`.
    """
    with transaction.atomic():
        _hold_pair(one, other)
        return constraints.put(one=one, other=other, kind=Constraint.Kind.NEVER, reason=reason, actor=actor, now=now)


def require(*, one: int, other: int, actor: User | None, reason: str = "", now: datetime) -> Constraint:
    """Say that two are one person, for certain; merges them unless they are one profile already.

    Raises:
        MergeRefusedError: as `merge_profiles` does.
    """
    if one == other:
        raise MergeRefusedError("This is one and the same profile.", code="same_profile")
    with transaction.atomic():
        leads = leading([one, other])
        if leads[one] != leads[other]:
            evidence = {"reason": reason} if reason else {}
            merge_profiles(one=one, other=other, cause=Merge.Cause.PERSON, evidence=evidence, actor=actor, now=now)
        return constraints.put(one=one, other=other, kind=Constraint.Kind.MUST, reason=reason, actor=actor, now=now)


def lift(*, one: int, other: int) -> None:
    """Take back what was said of two origins. Nothing is merged or parted by it.

    Raises:
        MergeRefusedError: with the code `not_found` where nothing was said.
    """
    if not constraints.remove(one=one, other=other):
        raise NothingSaidError("Nothing was said of these two.")


def preview_merge(*, one: int, other: int) -> MergePreview:
    """What merging these two would do, as far as identity knows. Changes nothing.

    Raises:
        UnknownProfileError: when one of them does not exist.
    """
    return look_at_merge(one=one, other=other)


def preview_undo(*, merge_id: int) -> UndoPreview:
    """What taking back this merge would do. Changes nothing.

    Raises:
        MergeRefusedError: with the code `not_found`, `already_undone` or `gone`.
    """
    merge = get_merge(merge_id)
    if merge is None:
        raise UnknownMergeError("There is no such merge.")
    parting = _find_parting(Merge.objects.get(pk=merge_id))
    musts = _musts_across(parting, besides=(merge.one_origin, merge.other_origin))
    return look_at_parting(merge, parting, refusals={"must_linked": _MUST} if musts else {})


# --- What a merge holds ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Pair:
    """Two leading profiles, locked; the older one is kept."""

    keep: int
    give: int


def _hold_pair(one: int, other: int) -> _Pair:
    """Lock what two ids lead to, in the order of the ids; whoever merges one of them meanwhile has us look again."""
    for _ in range(ATTEMPTS):
        leads = leading([one, other])
        keep, give = sorted((leads[one], leads[other]))
        if keep == give:
            raise MergeRefusedError("These are one profile already.", code="same_profile")
        if _lock([keep, give]) and leading([one, other]) == leads:
            return _Pair(keep, give)
        if leading([one, other]) == leads:
            raise UnknownProfileError("One of these profiles does not exist.")
    raise MergeRefusedError("Others are merging these profiles just now. Try again.", code="contended")


def hold_profile(profile_id: int) -> int:
    """Lock the profile that this id leads to, and return its id."""
    for _ in range(ATTEMPTS):
        leads = leading([profile_id])[profile_id]
        if _lock([leads]) and leading([profile_id])[profile_id] == leads:
            return leads
        if leading([profile_id])[profile_id] == leads:
            raise UnknownProfileError("There is no such profile.")
    raise MergeRefusedError("Others are changing this profile just now. Try again.", code="contended")


def _lock(ids: Collection[int]) -> bool:
    with connection.cursor() as cursor:
        cursor.execute("SELECT id FROM profile WHERE id = ANY(%s) ORDER BY id FOR UPDATE", [sorted(ids)])
        return len(cursor.fetchall()) == len(ids)


def _require_allowed(judgement: Judgement) -> None:
    for code, message in judgement.refusals.items():
        raise MergeRefusedError(message, code=code)


# --- What an undo parts ---------------------------------------------------------------------------------------

_MUST = "A person has said that two on either side are one for certain. Lift that first."


def _hold_parting(merge_id: int) -> tuple[Merge, Parting]:
    """Lock the merge and its profile, and see how that would part."""
    merge = Merge.objects.select_for_update().filter(pk=merge_id).first()
    if merge is None:
        raise UnknownMergeError("There is no such merge.")
    for _ in range(ATTEMPTS):
        parting = _find_parting(merge)
        if _lock([parting.profile_id]) and _find_parting(merge) == parting:
            return merge, parting
    raise MergeRefusedError("Others are changing this profile just now. Try again.", code="contended")


def _find_parting(merge: Merge) -> Parting:
    """How the profile falls apart without this merge. Merges in force are a forest: into exactly two."""
    if merge.undone_at is not None:
        raise MergeRefusedError("This merge was taken back already.", code="already_undone")
    leads = leading([merge.one_origin, merge.other_origin])
    profile_id = leads[merge.one_origin]
    if profile_id != leads[merge.other_origin]:
        raise MergeRefusedError("What this merge joined is no longer one profile.", code="gone")
    origins = origins_of([profile_id])[profile_id]
    edges = [edge for id_, edge in edges_among(origins).items() if id_ != merge.pk]
    one, other = (graph.component(origin, edges) for origin in (merge.one_origin, merge.other_origin))
    leaving = one if profile_id in other else other
    if profile_id in leaving or profile_id not in one | other:
        raise MergeRefusedError("What this merge joined is no longer there.", code="gone")
    return Parting(profile_id, min(leaving), leaving)


def edges_among(origins: Collection[int]) -> dict[int, graph.Edge]:
    """The merges in force between these origins, by id."""
    rows = Merge.objects.filter(one_origin__in=origins, other_origin__in=origins, undone_at=None)
    return {id_: (one, other) for id_, one, other in rows.values_list("pk", "one_origin", "other_origin")}


def part(parting: Parting, *, now: datetime) -> dict[str, int]:
    """Move what belongs to the leaving origins; the caller has locked the profile. Returns how much moved."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT traits, provenance, parts, created_at FROM profile WHERE id = %s", [parting.profile_id])
        traits, stamps, stored, created = cursor.fetchone()
    parts = parts_of(
        profile_id=parting.profile_id, state=load_state(traits, stamps), created_at=created, stored=stored
    )
    counts = release(
        profile_id=parting.profile_id,
        restored_id=parting.restored_id,
        origins=parting.origins,
        parts=parts,
        now=now,
    )
    part_shared([parting.profile_id, parting.restored_id])
    return counts


def announce(parting: Parting, *, now: datetime) -> None:
    """Have segments ask about both, and every worker forget where identifiers led. The last thing to do."""
    listeners.tell({parting.profile_id, parting.restored_id}, now=now)
    homes.begin_epoch()


def require_not_must(parting: Parting, *, besides: graph.Edge | None = None) -> None:
    """
    Raises:
        MergeRefusedError: where a person has said that two on either side are one; `besides` is no such pair.
    """
    if _musts_across(parting, besides=besides):
        raise MergeRefusedError(_MUST, code="must_linked")


def _musts_across(parting: Parting, *, besides: graph.Edge | None) -> list[Constraint]:
    staying = origins_of([parting.profile_id])[parting.profile_id] - parting.origins
    return [
        one
        for one in constraints.between(parting.origins, staying)
        if one.kind == Constraint.Kind.MUST and {one.one_origin, one.other_origin} != set(besides or ())
    ]
