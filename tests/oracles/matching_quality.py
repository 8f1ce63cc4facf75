"""Quality of a clustering by its definition: every pair, every record, one by one."""

from collections.abc import Sequence
from itertools import combinations


def pair_counts(clusters: Sequence[int], truth: Sequence[int]) -> tuple[int, int, int]:
    """True positives, false positives, false negatives; records of unknown truth (below 0) do not count."""
    right = wrong = missed = 0
    for one, other in combinations([at for at, person in enumerate(truth) if person >= 0], 2):
        together, same = clusters[one] == clusters[other], truth[one] == truth[other]
        right += together and same
        wrong += together and not same
        missed += same and not together
    return right, wrong, missed


def b_cubed(clusters: Sequence[int], truth: Sequence[int]) -> tuple[float, float]:
    known = [at for at, person in enumerate(truth) if person >= 0]
    precisions, recalls = [], []
    for at in known:
        cluster = {other for other in known if clusters[other] == clusters[at]}
        person = {other for other in known if truth[other] == truth[at]}
        precisions.append(len(cluster & person) / len(cluster))
        recalls.append(len(cluster & person) / len(person))
    return (sum(precisions) / len(known), sum(recalls) / len(known)) if known else (1.0, 1.0)


def at_threshold(scores: Sequence[float], same: Sequence[int], threshold: float) -> tuple[float, float]:
    """Precision and recall of the pairs that score at least so much; unknown pairs (below 0) do not count."""
    known = [(score, is_same) for score, is_same in zip(scores, same, strict=True) if is_same >= 0]
    claimed = [is_same for score, is_same in known if score >= threshold]
    true = sum(is_same for _, is_same in known)
    return sum(claimed) / len(claimed) if claimed else 1.0, sum(claimed) / true if true else 1.0
