"""What clusters look like from outside: who lives together, and which clusters hang by a thread."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components, minimum_spanning_tree

from .table import Floats, Ints

Pairs = npt.NDArray[np.int64]
MOST_AT_HOME = 40
"""Records that make up a household; more at one address are a hostel, an office or a mistake."""
SURE_BRIDGE = 4.0
"""Log2 odds from which the weakest link of a cluster needs no second look."""
MOST_BRIDGES = 1000


@dataclass(frozen=True)
class Bridge:
    """The weakest link of a cluster: without it, the cluster would fall in two."""

    cluster: int
    one: int
    other: int
    score: float


def find_households(clusters: Ints, pairs: Pairs, at_home: Floats) -> Ints:
    """Household of every record: persons whose records look like relatives'. Apart from persons: never merges them.

    `at_home`: how likely each pair is of two members of one household.
    """
    n = len(clusters)
    if not n:
        return clusters
    together = pairs[at_home > 0.5]
    one, other = clusters[together[:, 0]], clusters[together[:, 1]]
    graph = coo_matrix((np.ones(len(one), dtype=bool), (one, other)), shape=(n, n))
    _, component = connected_components(graph, directed=False)
    home = component[clusters]
    crowd = np.bincount(home, minlength=n)[home] > MOST_AT_HOME
    return np.unique(np.where(crowd, n + clusters, home), return_inverse=True)[1].astype(np.int64)


def find_bridges(clusters: Ints, pairs: Pairs, scores: Floats) -> tuple[Bridge, ...]:
    """Clusters whose weakest link is weak, the weakest first."""
    inside = np.flatnonzero(clusters[pairs[:, 0]] == clusters[pairs[:, 1]])
    if not len(inside):
        return ()
    n = len(clusters)
    strength = scores[inside]
    cost = strength.max() - strength + 1.0
    graph = coo_matrix((cost, (pairs[inside, 0], pairs[inside, 1])), shape=(n, n)).tocsr()
    tree = minimum_spanning_tree(graph).tocoo()
    links = strength.max() + 1.0 - tree.data
    order = np.lexsort((tree.col, tree.row, links))
    _, first = np.unique(clusters[tree.row[order]], return_index=True)
    weakest = order[np.sort(first)]
    weakest = weakest[links[weakest] < SURE_BRIDGE][:MOST_BRIDGES]
    return tuple(_bridge(tree.row[at], tree.col[at], links[at], clusters) for at in weakest.tolist())


def _bridge(one: int, other: int, score: float, clusters: Ints) -> Bridge:
    return Bridge(int(clusters[one]), int(min(one, other)), int(max(one, other)), float(score))
