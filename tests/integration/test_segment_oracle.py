"""The compiler and the three ways of evaluation against the slow oracle, on seeded random worlds. R: D2

Full recompute, evaluation of changes and evaluation by time have to agree with the oracle at every instant, and
the transitions have to replay to the membership.
"""

import os
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.db import connection

from identity.accounts.models import Account, AccountMember
from segments import computations, operations, queries
from segments.asking import answers
from segments.ast import dump, parse
from segments.changes import note_account_changes
from segments.computations import Lease
from segments.manual.operations import Named, add_members, create_manual, remove_members
from segments.models import Due, Membership, Segment, Transition
from segments.publishing import Staging
from tests.factories import segments as make
from tests.factories.consent import PurposeFactory
from tests.oracles import segments as oracle
from tests.oracles.segment_worlds import EARLIEST, LATEST, PURPOSES, START, VALUE_PROPERTY, World

SEEDS = range(int(os.environ.get("CDP_ORACLE_WORLDS", "40")))  # `make oracle` tries many more
PEOPLE = 12
DEFINITIONS = 6
STEPS = 7


@pytest.fixture(scope="module", autouse=True)
def _months(django_db_setup: None, django_db_blocker: Any) -> None:
    with django_db_blocker.unblock():
        make.ensure_months(EARLIEST.date(), LATEST.date())


@dataclass
class Edit:
    segment_id: int
    definition: dict[str, Any]
    lease: Lease
    staging: Staging


@dataclass
class Merged:
    """A merge that can be taken back: who was absorbed, and what the survivor had before."""

    absorbed_id: int
    survivor_id: int
    gone: oracle.Person
    kept_given: set[str]
    later_known: datetime | None


class Replica:
    """The same people in the database and in plain lists."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.now = START
        for name, value_property in VALUE_PROPERTY.items():
            make.make_event_name(name, value_property=value_property)
        for slug in PURPOSES:
            PurposeFactory(slug=slug)
        self.accounts = [
            make.make_account(traits, group_id=f"g-{number}") for number, traits in enumerate(world.accounts)
        ]
        self.people: dict[int, oracle.Person] = {}
        self.first_known: dict[str, datetime] = {}  # identifiers, whatever has merged since
        for _ in range(PEOPLE):
            self.add_person(world.person())
        make.record_choices(world.ledger, now=START)
        operations.follow_consents()
        self.segments: dict[int, str] = {}  # their slugs
        self.edit: Edit | None = None  # on its way, half computed
        self.manual = create_manual(name="Manual", now=self.now)
        operations.recompute(segment_id=self.manual.pk, now=self.now)
        self.world.segments[self.manual.slug] = self.manual.definition
        self.world.nameable = [self.manual.slug]
        self.unclaimed = world.identifier()
        self.later_known: dict[int, datetime] = {}  # by a merge; of its people, nothing is known as theirs from before
        self.merges: list[Merged] = []

    def add_person(self, person: oracle.Person) -> int:
        profile_id = make.make_profile(person.traits)
        self.people[profile_id] = person
        self._store(profile_id, person.events)
        for account_id, traits in zip(self.accounts, self.world.accounts, strict=True):
            if any(each is traits for each in person.accounts):
                make.join_account(profile_id, account_id)
        for identifier, since in person.identifiers.items():
            make.link(profile_id, identifier, since=since)
            self.first_known[identifier] = since
        return profile_id

    @staticmethod
    def _store(profile_id: int, events: list[oracle.Happening]) -> None:
        make.make_events((profile_id, each.name, each.ts, each.properties, each.id, each.context) for each in events)

    def add_segment(self, definition: dict[str, Any]) -> None:
        segment = operations.create_segment(name="Random", definition=definition, now=self.now)
        operations.recompute(segment_id=segment.pk, now=self.now)
        self.segments[segment.pk] = segment.slug
        self.world.segments[segment.slug] = definition
        self.world.nameable = [self.manual.slug, *self.segments.values()]

    # --- What can happen --------------------------------------------------------------------------------------

    def step(self) -> None:
        self.world.random.choice(
            (self.let_time_pass, self.let_time_pass, self.let_time_pass, self.new_events, self.new_events,
             self.new_traits, self.new_person, self.merge, self.merge, self.undo, self.undo, self.new_definition,
             self.begin_edit, self.end_edit,
             self.give, self.new_account_traits, self.new_account, self.new_choices, self.new_choices,
             self.new_identifier)
        )()  # fmt: skip

    def let_time_pass(self) -> None:
        """To the next due instant, to the microsecond before it, or somewhere."""
        due = self.next_due()
        somewhere = self.now + timedelta(seconds=self.world.random.choice((1, 600, 3_600, 30_000, 90_000, 700_000)))
        choices = [due, due - timedelta(microseconds=1), somewhere] if due else [somewhere]
        self.now = max(self.now, min(self.world.random.choice(choices), LATEST))
        self.evaluate()

    def next_due(self) -> datetime | None:
        return Due.objects.order_by("at").values_list("at", flat=True).first()

    def new_events(self) -> None:
        for _ in range(self.world.random.choice((1, 3))):
            profile_id = self.anybody()
            event = self.world.happening(self.now)
            self.people[profile_id].events.append(event)
            self._store(profile_id, [event])
            make.note_change(profile_id, events=[event.name])
        self.evaluate()

    def new_traits(self) -> None:
        profile_id = self.anybody()
        before, after = self.people[profile_id].traits, self.world.properties()
        self.people[profile_id].traits = after
        make.set_traits(profile_id, after)
        make.note_change(profile_id, traits=before.keys() | after.keys())
        self.evaluate()

    def new_person(self) -> None:
        known = len(self.world.ledger)
        person = self.world.random.choice((oracle.Person(ledger=self.world.ledger), self.world.person()))
        make.record_choices(self.world.ledger[known:], now=self.now)
        profile_id = self.add_person(person)
        names = {event.name for event in person.events}
        make.note_change(profile_id, events=names, traits=person.traits, created=True)
        make.note_account_joined(profile_id)
        self.evaluate()

    def merge(self) -> None:
        absorbed, survivor = self.world.random.sample(list(self.people), 2)
        gone, kept = self.people.pop(absorbed), self.people[survivor]
        self.merges = [each for each in self.merges if not {absorbed, survivor} & {each.survivor_id}]
        if absorbed not in self.later_known:
            before = Merged(absorbed, survivor, gone, set(kept.given), self.later_known.get(survivor))
            self.merges.append(before)
        kept.events += gone.events
        kept.given |= gone.given
        kept.accounts += [each for each in gone.accounts if not any(each is other for other in kept.accounts)]
        kept.identifiers |= gone.identifiers
        self.later_known[survivor] = self.now
        self.know(survivor)
        make.absorb(absorbed, into=survivor, now=self.now)
        self.evaluate()

    def undo(self) -> None:
        """Take a merge back, of which neither side has merged since; what has come since is the survivor's."""
        if not self.merges:
            return
        merged = self.merges.pop()
        gone, kept = merged.gone, self.people[merged.survivor_id]
        self.people[merged.absorbed_id] = gone
        kept.events = [each for each in kept.events if not any(each is other for other in gone.events)]
        kept.given = merged.kept_given
        kept.identifiers = {name: at for name, at in kept.identifiers.items() if name not in gone.identifiers}
        if merged.later_known:
            self.later_known[merged.survivor_id] = merged.later_known
        else:
            self.later_known.pop(merged.survivor_id)
        make.part(
            merged.absorbed_id,
            of=merged.survivor_id,
            traits=gone.traits,
            events=[each.id for each in gone.events],
            values=gone.identifiers,
            now=self.now,
        )
        for profile_id in (merged.absorbed_id, merged.survivor_id):
            self.know(profile_id)
            self.people[profile_id].accounts = self.accounts_of(profile_id)
        self.evaluate()

    def know(self, profile_id: int) -> None:
        """Since when identifiers are known as this person's: not from before a merge."""
        identifiers = self.people[profile_id].identifiers
        for identifier in identifiers:
            since = self.first_known[identifier]
            identifiers[identifier] = max(since, self.later_known.get(profile_id, since))

    def accounts_of(self, profile_id: int) -> list[dict[str, Any]]:
        ids = AccountMember.objects.filter(profile_id=profile_id).values_list("account_id", flat=True)
        return [self.world.accounts[self.accounts.index(id_)] for id_ in set(ids)]

    def new_account_traits(self) -> None:
        number = self.world.random.randrange(len(self.accounts))
        traits, after = self.world.accounts[number], self.world.properties()
        changed = {name for name in traits.keys() | after.keys() if traits.get(name) != after.get(name)}
        traits.clear()
        traits.update(after)
        Account.objects.filter(pk=self.accounts[number]).update(traits=after)
        note_account_changes({self.accounts[number]: changed})
        self.evaluate()

    def new_account(self) -> None:
        profile_id, number = self.anybody(), self.world.random.randrange(len(self.accounts))
        accounts, traits = self.people[profile_id].accounts, self.world.accounts[number]
        if not any(each is traits for each in accounts):
            accounts.append(traits)
        make.join_account(profile_id, self.accounts[number])
        make.note_account_joined(profile_id)
        self.evaluate()

    def new_choices(self) -> None:
        """Of people who are known, or about an identifier that will be somebody's later."""
        known = [identifier for person in self.people.values() for identifier in person.identifiers]
        about = [self.world.random.choice([*known, self.unclaimed]) for _ in range(self.world.random.choice((1, 3)))]
        choices = [self.world.chosen(identifier, self.now) for identifier in about]
        self.world.ledger += choices
        make.record_choices(choices, now=self.now)
        self.evaluate()

    def new_identifier(self) -> None:
        profile_id, since = self.anybody(), min(self.world.moment(self.now), self.now)
        make.link(profile_id, self.unclaimed, since=since)
        self.first_known[self.unclaimed] = since
        self.people[profile_id].identifiers[self.unclaimed] = since
        self.know(profile_id)
        self.unclaimed = self.world.identifier()
        self.evaluate()

    def give(self) -> None:
        """Put some people into the manual segment, or take some out."""
        some = self.world.random.sample(list(self.people), 4)
        named = [Named("profile", str(profile_id)) for profile_id in some]
        if self.world.random.random() < 0.7:
            add_members(segment_id=self.manual.pk, people=named, now=self.now)
        else:
            remove_members(segment_id=self.manual.pk, people=named)
            for profile_id in some:
                for given in self.given_of(profile_id):
                    given.discard(self.manual.slug)
            some = []
        for profile_id in some:
            for given in self.given_of(profile_id)[:2]:
                given.add(self.manual.slug)
        self.evaluate()

    def given_of(self, profile_id: int) -> list[set[str]]:
        """What a person is in, what they would be in after an undo, and what whom they absorbed would be."""
        merges = [each for each in self.merges if each.survivor_id == profile_id]
        own = [self.people[profile_id].given, *(each.kept_given for each in merges)]
        return [*own, *(each.gone.given for each in merges)]

    def new_definition(self) -> None:
        """Published before anything else happens; an edit of the same segment that was on its way is superseded."""
        segment_id, definition = self.edited()
        operations.recompute(segment_id=segment_id, now=self.now)
        if self.edit and self.edit.segment_id == segment_id:
            self.edit = None
        self.world.segments[self.segments[segment_id]] = definition
        self.evaluate()

    def begin_edit(self) -> None:
        """Ask everybody, and leave it at that for now: the version before it stays live."""
        if self.edit is None:
            segment_id, definition = self.edited()
            lease = computations.claim(segment_id=segment_id, now=self.now)
            if lease:
                staging = Staging(lease)
                staging.ask_everybody(now=self.now)
                self.edit = Edit(segment_id, definition, lease, staging)
        self.evaluate()

    def end_edit(self) -> None:
        """Publish what was begun some steps ago, or find that another edit has made it mean something else."""
        edit, self.edit = self.edit, None
        if edit is None:
            return
        span = operations.compute(edit.lease, clock=lambda: self.now, staging=edit.staging)
        assert edit.segment_id in span.segment_ids
        self.world.segments[self.segments[edit.segment_id]] = edit.definition

    def edited(self) -> tuple[int, dict[str, Any]]:
        """A segment with a definition that it may have, which is asked for."""
        segment_id = self.world.random.choice(list(self.segments))
        before = [slug for pk, slug in self.segments.items() if pk < segment_id]
        self.world.nameable = [self.manual.slug, *before]
        definition = self.world.telling_definition(self.people.values(), self.now)
        operations.update_segment(segment_id=segment_id, definition=definition, now=self.now)
        return segment_id, definition

    def anybody(self) -> int:
        return self.world.random.choice(list(self.people))

    def evaluate(self) -> None:
        operations.evaluate_changes(now=self.now, limit=1_000)
        for _ in range(50):
            if not Due.objects.filter(at__lte=self.now).exists():
                return
            operations.wake_due(now=self.now, limit=1_000)
        raise AssertionError("due rows that never go away")

    # --- What has to be true ----------------------------------------------------------------------------------

    def expected(self, definition: dict[str, Any], now: datetime) -> set[int]:
        return {
            profile_id
            for profile_id, person in self.people.items()
            if oracle.holds(definition, person, now, self.world.zone, self.world.segments)
        }

    def check(self, story: str) -> None:
        for segment in Segment.objects.all():
            definition = self.world.segments[segment.slug]
            assert segment.state == Segment.State.LIVE, f"{story}: {segment.error}"
            expected = self.expected(definition, self.now)
            members = set(Membership.objects.filter(segment=segment).values_list("profile_id", flat=True))
            assert members == expected, f"{story} at {self.now} in {self.world.zone}: {definition}"
            assert segment.member_count == len(expected), story
            versions = Transition.objects.filter(segment=segment).values_list("version", flat=True)
            assert max(versions, default=0) <= segment.version, story
            assert replayed(segment.pk) == expected, story


def replayed(segment_id: int) -> set[int]:
    members: set[int] = set()
    for profile_id, kind in (
        Transition.objects.filter(segment=segment_id).order_by("id").values_list("profile_id", "kind")
    ):
        if kind == Transition.Kind.ENTERED:
            assert profile_id not in members, "entered twice"
            members.add(profile_id)
        else:
            assert profile_id in members, "left without having entered"
            members.remove(profile_id)
    return members


@pytest.mark.django_db
class TestAgainstTheOracle:
    @pytest.mark.parametrize("seed", SEEDS)
    def test_every_way_of_evaluation_agrees_at_every_instant(self, seed: int, settings: Any) -> None:
        world = World(seed)
        settings.TIME_ZONE = world.zone
        replica = Replica(world)
        for _ in range(DEFINITIONS):
            replica.add_segment(world.telling_definition(replica.people.values(), START))
        replica.check("recompute")

        for number in range(STEPS):
            replica.step()
            replica.check(f"step {number}")
        replica.end_edit()
        replica.check("the edit that was on its way")

    @pytest.mark.parametrize("seed", range(2_000, 2_003))
    def test_agrees_where_events_are_too_many_to_be_held_at_once(
        self, seed: int, settings: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """So people are asked in halves, and in the end one by one."""
        monkeypatch.setattr(answers, "EVENTS_AT_ONCE", 3)
        world = World(seed)
        settings.TIME_ZONE = world.zone
        replica = Replica(world)
        for _ in range(DEFINITIONS):
            replica.add_segment(world.telling_definition(replica.people.values(), START))

        for number in range(STEPS):
            replica.step()
            replica.check(f"step {number}")

    @pytest.mark.parametrize("seed", range(1_000, 1_025))
    def test_a_preview_counts_what_the_oracle_counts(self, seed: int, settings: Any) -> None:
        world = World(seed)
        settings.TIME_ZONE = world.zone
        replica = Replica(world)
        for hours in (-200, 0, 0, 30):
            now = START + timedelta(hours=hours)
            definition = world.telling_definition(replica.people.values(), now)

            found = queries.preview(definition=definition, as_of=now, sample=100, breakdown=True)

            expected = replica.expected(definition, now)
            assert set(found.sample_ids) == expected, f"{definition} at {now}"
            assert found.count == len(expected)
            assert found.total == len(replica.people)
            assert found.breakdown[-1].cumulative == found.count
            assert parse(dump(parse(definition))) == parse(definition)

    def test_the_worlds_are_telling(self) -> None:
        telling = 0
        for seed in range(50):
            world = World(seed)
            people = [world.person() for _ in range(PEOPLE)]
            definition = world.telling_definition(people, START)
            telling += 0 < sum(oracle.holds(definition, person, START, world.zone) for person in people) < PEOPLE

        assert telling > 45


@pytest.mark.django_db
def test_connections_speak_utc() -> None:
    """Intervals of days are added in the time zone of the session."""
    with connection.cursor() as cursor:
        cursor.execute("SHOW timezone")
        assert cursor.fetchone()[0] == "UTC"
