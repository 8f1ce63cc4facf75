"""Writes of this room: change a trait's policy, or try one without changing anything."""

from collections.abc import Sequence
from datetime import datetime

from django.db import transaction

from cdp.kernel.tasks import send_on_commit
from identity.models import Profile
from identity.survivorship.errors import PolicyError
from identity.survivorship.models import PolicyRun, TraitPolicy
from identity.survivorship.policies import hold_policies
from identity.traits import Policy, Rule
from ingestion.models import Source

MAX_TRAIT = 200
MAX_SOURCES = 200


def change_policy(*, trait: str, rule: str, sources: Sequence[int] = (), by: str, now: datetime) -> PolicyRun:
    """Let a trait go by another rule: from the next message on for what comes, and by a pass over what is there.

    `sources` are ids, the best first. A pass that is still at an earlier policy of the trait ends.

    Raises:
        PolicyError: with the path of what is wrong.
    """
    name, policy = check_policy(trait=trait, rule=rule, sources=sources)
    with transaction.atomic():
        hold_policies()
        _require_told(name)
        PolicyRun.objects.filter(trait=name, state=PolicyRun.State.RUNNING).update(state=PolicyRun.State.REPLACED)
        if policy.rule is Rule.NEWEST:
            TraitPolicy.objects.filter(trait=name).delete()
        else:
            TraitPolicy.objects.update_or_create(
                trait=name,
                defaults={
                    "rule": policy.rule.value,
                    "sources": list(policy.sources),
                    "changed_at": now,
                    "changed_by": by,
                },
            )
        return _start(PolicyRun.Kind.APPLY, name, policy, by=by, now=now)


def preview_policy(*, trait: str, rule: str, sources: Sequence[int] = (), by: str, now: datetime) -> PolicyRun:
    """Count, in the background, the profiles whose value another rule would change."""
    name, policy = check_policy(trait=trait, rule=rule, sources=sources)
    _require_told(name)
    with transaction.atomic():
        earlier = PolicyRun.objects.filter(trait=name, kind=PolicyRun.Kind.PREVIEW, state=PolicyRun.State.RUNNING)
        earlier.update(state=PolicyRun.State.REPLACED)
        return _start(PolicyRun.Kind.PREVIEW, name, policy, by=by, now=now)


def check_policy(*, trait: str, rule: str, sources: Sequence[int] = ()) -> tuple[str, Policy]:
    """The name and policy as they are kept: only the rule by source has sources."""
    name = trait.strip()
    if not name or len(name) > MAX_TRAIT or not name.isprintable():
        raise PolicyError(f"Name a trait, in at most {MAX_TRAIT} characters.", code="trait_invalid", path="/trait")
    known = [one.value for one in Rule if one is not Rule.COMPUTED]
    if rule not in known:
        raise PolicyError(f"The rule is one of: {', '.join(known)}.", code="rule_unknown", path="/rule")
    chosen = Rule(rule)
    return name, Policy(chosen, _checked_sources(sources) if chosen is Rule.PRIORITY else ())


def reserve_trait(*, trait: str, by: str, now: datetime) -> None:
    """From the next chunk on, no source tells this trait: it is written by `identity.operations.write_computed`."""
    with transaction.atomic():
        hold_policies()
        PolicyRun.objects.filter(trait=trait, state=PolicyRun.State.RUNNING).update(state=PolicyRun.State.REPLACED)
        TraitPolicy.objects.update_or_create(
            trait=trait,
            defaults={"rule": Rule.COMPUTED.value, "sources": [], "changed_at": now, "changed_by": by[:150]},
        )


def release_trait(*, trait: str) -> None:
    """Sources may tell it again."""
    with transaction.atomic():
        hold_policies()
        TraitPolicy.objects.filter(trait=trait, rule=Rule.COMPUTED.value).delete()


def _require_told(trait: str) -> None:
    if TraitPolicy.objects.filter(trait=trait, rule=Rule.COMPUTED.value).exists():
        raise PolicyError(f"{trait} is computed: no source tells it.", code="trait_computed", path="/trait")


def _checked_sources(sources: Sequence[int]) -> tuple[int, ...]:
    if not sources or len(sources) > MAX_SOURCES:
        raise PolicyError("Name the sources, the best first.", code="sources_missing", path="/sources")
    known = set(Source.objects.filter(pk__in=sources).values_list("pk", flat=True))
    for place, source in enumerate(sources):
        if source not in known:
            raise PolicyError("There is no such source.", code="source_unknown", path=f"/sources/{place}")
        if source in sources[:place]:
            raise PolicyError("This source is named twice.", code="source_repeated", path=f"/sources/{place}")
    return tuple(sources)


def _start(kind: PolicyRun.Kind, trait: str, policy: Policy, *, by: str, now: datetime) -> PolicyRun:
    newest = Profile.objects.order_by("-pk").values_list("pk", flat=True).first()
    run = PolicyRun.objects.create(
        kind=kind,
        trait=trait,
        rule=policy.rule.value,
        sources=list(policy.sources),
        until_id=newest or 0,
        created_at=now,
        created_by=by,
        updated_at=now,
    )
    send_on_commit("cdp.decide_traits", run.pk)
    return run
