"""Clusters against a slow union-find, and the rule that holds where a limit is hit."""

import itertools
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from identity.cluster import Clusters
from identity.contracts import Identifier, Sighting
from identity.kinds import STATED_LIMIT, Kind, kind_of, rules
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
    for name in ("user_id", "email", "anonymous_id"):
        monkeypatch.setitem(rules.current().kinds, name, Kind(name, kind_of(name).priority, 1_000))


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
            assert all(number <= kind_of(kind).limit for kind, number in Counter(kind for kind, _ in part).items())
        assert all(clusters.root(node) in {clusters.root(n) for _, n, _ in clusters.linked} for node in nodes)

    @given(GROUPS)
    def test_every_message_goes_to_its_best_linked_identifier(self, groups):
        clusters = new()
        for group in groups:
            node = clusters.root(clusters.add(sighting(*group)))
            held = {identifier for identifier, home, _ in clusters.linked if clusters.root(home) == node}
            best = min(group, key=lambda identifier: (kind_of(identifier[0]).priority, identifier))
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


def alias(previous: str, user: str) -> list[Identifier]:
    return [("user_id", user), ("previous_id", previous)]


def as_obvious(groups: list[list[Identifier]]) -> list[list[Identifier]]:
    """The same for the oracle: a statement ties its user to whichever ids of that value come up anywhere."""
    named = {identifier for group in groups for identifier in group}
    found = []
    for group in groups:
        said = [value for kind, value in group if kind == "previous_id"]
        twins = [(kind, value) for value in said for kind in ("user_id", "anonymous_id") if (kind, value) in named]
        found.append([*(identifier for identifier in group if identifier[0] != "previous_id"), *twins])
    return found


class TestStatements:
    """Alias messages. Everybody here has several user ids, all of which some alias says to be the same."""

    @given(
        st.lists(
            st.lists(st.sets(st.sampled_from("abuv"), min_size=1, max_size=3), max_size=4), min_size=1, max_size=3
        ),
        st.randoms(use_true_random=False),
    )
    def test_hold_in_any_order_and_however_often_they_are_made(self, people, random):
        groups: list[list[Identifier]] = []
        for number, meetings in enumerate(people):
            for letters in meetings:
                kinds = {"a": "anonymous_id", "b": "anonymous_id", "u": "user_id", "v": "user_id"}
                user = "uv" if random.random() < 0.5 else "vu"
                one = next((letter for letter in user if letter in letters), None)
                groups.append([(kinds[x], f"{x}{number}") for x in letters if x in {one, "a", "b"}])
            groups += [alias(f"u{number}", f"v{number}"), alias(f"a{number}", f"v{number}")]
        repeated = groups + random.choices(groups, k=len(groups))
        random.shuffle(repeated)
        clusters = new()

        nodes = add_all(clusters, repeated)

        assert parts(clusters) == partition(as_obvious(groups))
        members = {clusters.root(node): set() for node in nodes}
        for group, node in zip(repeated, nodes, strict=True):
            members[clusters.root(node)] |= {identifier for identifier in group if identifier[0] != "previous_id"}
        assert len({frozenset(part) for part in members.values()}) == len(partition(as_obvious(groups)))

    @pytest.mark.parametrize("order", [*itertools.permutations(range(3))])
    def test_make_two_users_one(self, order: tuple[int, ...]):
        groups = [[USER_1], [USER_2, BROWSER_1], alias(USER_1[1], USER_2[1])]
        clusters = new()

        add_all(clusters, [groups[n] for n in order])

        assert parts(clusters) == {frozenset({USER_1, USER_2, BROWSER_1})}
        assert not clusters.conflicts

    @pytest.mark.parametrize("order", [*itertools.permutations(range(3))])
    def test_make_a_visitor_known(self, order: tuple[int, ...]):
        groups = [[BROWSER_1], [BROWSER_1, MAIL_1], alias(BROWSER_1[1], USER_1[1])]
        clusters = new()

        add_all(clusters, [groups[n] for n in order])

        assert parts(clusters) == {frozenset({BROWSER_1, MAIL_1, USER_1})}

    @pytest.mark.parametrize("order", [*itertools.permutations(range(3))])
    def test_do_not_make_two_users_of_one_browser_one(self, order: tuple[int, ...]):
        groups = [[BROWSER_1], alias(BROWSER_1[1], USER_1[1]), alias(BROWSER_1[1], USER_2[1])]
        clusters = new()

        add_all(clusters, [groups[n] for n in order])

        together = {len(part) for part in parts(clusters)}
        assert together == {1, 2}
        assert [c.reason for c in clusters.conflicts] == ["merge_refused"]

    def test_made_earlier_are_heeded_when_the_id_comes_up(self):
        homes = {USER_1: 1}
        clusters = Clusters(homes=homes, holdings={1: [USER_1]}, statements={USER_2[1]: {USER_1[1]}})

        assert clusters.root(clusters.add(sighting(USER_2))) == 1

    def test_leave_the_profile_open_to_its_own(self):
        clusters = new({USER_1: 1, USER_2: 2, BROWSER_1: 2, MAIL_1: 3})
        clusters.add(sighting(*alias(USER_1[1], USER_2[1])))

        assert clusters.root(clusters.add(sighting(MAIL_1, BROWSER_1))) == 1
        assert clusters.root(clusters.add(sighting(USER_1, BROWSER_2))) == 1
        assert clusters.root(clusters.add(sighting(("user_id", "u-3"), BROWSER_2))) != 1

    def test_go_no_further_than_their_limit(self):
        clusters = new()

        add_all(clusters, [alias(f"u{n}", "boss") for n in range(40)] + [[("user_id", f"u{n}")] for n in range(40)])

        assert max(len(part) for part in parts(clusters)) == STATED_LIMIT


class TestConflicts:
    def test_name_the_message_they_came_with(self):
        clusters = new({USER_1: 1, USER_2: 2, BROWSER_1: 1})
        seen: Sighting = sighting(USER_2, BROWSER_1, message_id="m-9")

        clusters.add(seen)

        assert clusters.conflicts[0].sighting.message_id == "m-9"
