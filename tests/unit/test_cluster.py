"""Clusters against a slow union-find, and the rule that holds where a limit is hit."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from identity.cluster import Clusters
from identity.contracts import Identifier, Sighting
from identity.kinds import ANONYMOUS_ID, EMAIL, KINDS, USER_ID, Kind
from tests.factories.identity import BROWSER_1, BROWSER_2, MAIL_1, MAIL_2, USER_1, USER_2, sighting
from tests.oracles.identity import partition

VALUES = [
    *(("user_id", f"u{n}") for n in range(4)),
    *(("email", f"{n}@example.org") for n in range(6)),
    *(("anonymous_id", f"a{n}") for n in range(8)),
]
GROUPS = st.lists(st.lists(st.sampled_from(VALUES), min_size=1, max_size=3, unique=True), min_size=1, max_size=12)


def new(homes: dict[Identifier, int] | None = None) -> Clusters:
    homes = homes or {}
    holdings: dict[int, list[Identifier]] = {node: [] for node in homes.values()}
    for identifier, node in homes.items():
        holdings[node].append(identifier)
    return Clusters(homes=homes, holdings=holdings)


def add_all(clusters: Clusters, groups: list[list[Identifier]]) -> list[int]:
    return [clusters.add(sighting(*group)) for group in groups]


def parts(clusters: Clusters, homes: dict[Identifier, int] | None = None) -> set[frozenset[Identifier]]:
    """The identifiers of each profile."""
    found: dict[int, set[Identifier]] = {}
    links = list((homes or {}).items()) + [(identifier, node) for identifier, node, _ in clusters.linked]
    for identifier, node in links:
        found.setdefault(clusters.root(node), set()).add(identifier)
    return {frozenset(part) for part in found.values()}


@pytest.fixture
def unlimited(monkeypatch: pytest.MonkeyPatch):
    for kind in (USER_ID, EMAIL, ANONYMOUS_ID):
        monkeypatch.setitem(KINDS, kind.name, Kind(kind.name, kind.priority, 1_000))


@pytest.mark.usefixtures("unlimited")
class TestWithoutLimits:
    @given(GROUPS, st.randoms(use_true_random=False))
    def test_any_order_and_repetition_is_plain_union_find(self, groups, random):
        repeated = groups + random.choices(groups, k=len(groups))
        random.shuffle(repeated)
        clusters = new()

        nodes = add_all(clusters, repeated)

        assert parts(clusters) == partition(groups)
        assert not clusters.conflicts
        members = {clusters.root(node): set() for node in nodes}
        for group, node in zip(repeated, nodes, strict=True):
            members[clusters.root(node)] |= set(group)
        assert {frozenset(part) for part in members.values()} == partition(groups)

    @given(GROUPS, GROUPS)
    def test_what_is_known_already_makes_no_difference(self, known, fresh):
        homes = {
            identifier: 10 + n for n, part in enumerate(sorted(map(sorted, partition(known)))) for identifier in part
        }
        clusters = new(homes)

        add_all(clusters, fresh)

        assert parts(clusters, homes) == partition(known + fresh)

    @given(GROUPS, GROUPS)
    def test_the_oldest_profile_survives(self, known, fresh):
        homes = {
            identifier: 10 + n for n, part in enumerate(sorted(map(sorted, partition(known)))) for identifier in part
        }
        clusters = new(homes)
        add_all(clusters, fresh)

        for part in parts(clusters, homes):
            older = [homes[identifier] for identifier in part if identifier in homes]
            roots = {clusters.root(homes[identifier]) for identifier in part if identifier in homes}
            assert not older or roots == {min(older)}


class TestLimits:
    @given(GROUPS)
    def test_are_never_exceeded_and_nothing_is_lost(self, groups):
        clusters = new()

        nodes = add_all(clusters, groups)

        linked = [identifier for identifier, _, _ in clusters.linked]
        assert len(linked) == len(set(linked))
        for part in parts(clusters):
            assert all(number <= KINDS[kind].limit for kind, number in Counter(kind for kind, _ in part).items())
        assert all(clusters.root(node) in {clusters.root(n) for _, n, _ in clusters.linked} for node in nodes)

    @given(GROUPS)
    def test_every_message_goes_to_its_best_linked_identifier(self, groups):
        clusters = new()
        for group in groups:
            node = clusters.root(clusters.add(sighting(*group)))
            held = {identifier for identifier, home, _ in clusters.linked if clusters.root(home) == node}
            best = min(group, key=lambda identifier: (KINDS[identifier[0]].priority, identifier))
            assert best in held

    @given(GROUPS)
    def test_every_identifier_that_stays_apart_is_a_conflict(self, groups):
        clusters = new()
        nodes = add_all(clusters, groups)
        reported = {(conflict.sighting.identifiers, conflict.identifier) for conflict in clusters.conflicts}

        homes = {identifier: node for identifier, node, _ in clusters.linked}
        for group, node in zip(groups, nodes, strict=True):
            for identifier in group:
                together = identifier in homes and clusters.root(homes[identifier]) == clusters.root(node)
                assert together or (tuple(group), identifier) in reported

    def test_two_users_of_one_browser_stay_two(self):
        clusters = new()

        first, second, browser = add_all(clusters, [[USER_1, BROWSER_1], [USER_2, BROWSER_1], [BROWSER_1]])

        assert clusters.root(first) != clusters.root(second)
        assert clusters.root(browser) == clusters.root(first)
        assert [(c.identifier, c.reason) for c in clusters.conflicts] == [(BROWSER_1, "merge_refused")]

    def test_two_users_of_one_mailbox_stay_two(self):
        clusters = new({USER_1: 1, MAIL_1: 1, USER_2: 2})

        node = clusters.add(sighting(USER_2, MAIL_1))

        assert node == 2
        assert not clusters.merged()

    def test_a_sixth_browser_is_not_linked_and_becomes_nobody_elses(self):
        homes = {USER_1: 1} | {("anonymous_id", f"b{n}"): 1 for n in range(5)}
        clusters = new(homes)

        node = clusters.add(sighting(USER_1, BROWSER_1))

        assert node == 1
        assert not clusters.linked
        assert [(c.identifier, c.reason, c.node) for c in clusters.conflicts] == [(BROWSER_1, "limit_reached", 1)]

    def test_a_new_user_in_the_browser_of_another_is_a_new_profile(self):
        clusters = new({USER_1: 1, BROWSER_1: 1})

        node = clusters.add(sighting(USER_2, BROWSER_1))

        assert node < 0

    def test_a_new_user_in_an_anonymous_browser_is_that_browsers_profile(self):
        clusters = new({BROWSER_1: 7})

        assert clusters.add(sighting(USER_1, BROWSER_1)) == 7

    def test_a_message_that_could_join_two_people_joins_none_of_them(self):
        clusters = new({USER_1: 1, MAIL_1: 1, USER_2: 2, BROWSER_2: 2})

        node = clusters.add(sighting(MAIL_1, BROWSER_2))

        assert node == 1
        assert [c.identifier for c in clusters.conflicts] == [BROWSER_2]

    def test_the_order_of_fields_does_not_matter(self):
        orders = [(USER_1, MAIL_2, BROWSER_2), (BROWSER_2, USER_1, MAIL_2), (MAIL_2, BROWSER_2, USER_1)]

        found = [new({USER_1: 1, MAIL_2: 2, BROWSER_2: 3}).add(sighting(*order)) for order in orders]

        assert found == [1, 1, 1]


class TestConflicts:
    def test_name_the_message_they_came_with(self):
        clusters = new({USER_1: 1, USER_2: 2, BROWSER_1: 1})
        seen: Sighting = sighting(USER_2, BROWSER_1, message_id="m-9")

        clusters.add(seen)

        assert clusters.conflicts[0].sighting.message_id == "m-9"
