"""Splink 5 on the same records: the settings of its demos, chosen by type of column, one thread.

Two settings are tried, and the better one counts: `tutorial` compares names one by one and blocks on single columns;
`demo` compares names together and blocks on pairs of columns, for larger data. What it is given is prepared as its
guides advise, outside of the measured time: small letters, ISO dates, full names apart. Comparisons are those of its
library for each type (ForenameSurname, DateOfBirth, Email …), with term frequencies; u from 1,000,000 random pairs, m
by expectation maximisation over two blockings.
https://moj-analytical-services.github.io/splink/demos/examples/duckdb/deduplicate_50k_synthetic.html
"""

import logging
import re
import time
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from identity.matching.contracts import ColumnType

THRESHOLDS = (0.5, 0.8, 0.9, 0.95, 0.99, 0.999, 0.9999, 0.99999)
VARIANTS = ("tutorial", "demo")
"""The best of them counts, which only somebody with the truth could choose."""
RANDOM_PAIRS = 1_000_000
T = ColumnType
EXACT = {T.CITY, T.STATE, T.SEX, T.CATEGORY, T.HOUSE_NUMBER, T.INITIAL, T.AGE}
FUZZY = {T.NATIONAL_ID, T.PHONE, T.STREET, T.ADDRESS}
Columns = Mapping[str, Sequence[str | None]]


@dataclass(frozen=True)
class Clustered:
    """Clusters by threshold; CPU seconds from loaded data to the clusters of one threshold."""

    by_threshold: dict[float, Any]
    cpu: float


def prepared(
    columns: Columns, types: Mapping[str, ColumnType]
) -> tuple[dict[str, list[str | None]], dict[str, ColumnType]]:
    """By type of column, the first of each; later ones of a type keep their own name."""
    ready: dict[str, list[str | None]] = {}
    kinds: dict[str, ColumnType] = {}
    for name, kind in types.items():
        if kind is T.IGNORE:
            continue
        texts = [text.strip().lower() or None if text else None for text in columns[name]]
        if kind is T.FULL_NAME:
            parts = [full_name(text) for text in texts]
            ready |= {"given": [given for given, _ in parts], "family": [family for _, family in parts]}
            kinds |= {"given": T.GIVEN_NAME, "family": T.SURNAME}
        else:
            plain = re.sub(r"\W", "_", name.lower())
            ready[plain] = [iso_date(text) for text in texts] if kind is T.BIRTH_DATE else texts
            kinds[plain] = kind
    return ready, kinds


def full_name(text: str | None) -> tuple[str | None, str | None]:
    if text is None:
        return None, None
    family, comma, given = text.partition(",")
    if not comma:
        given, _, family = text.rpartition(" ")
    return given.strip() or None, family.strip() or None


def iso_date(text: str | None) -> str | None:
    """`1999-04-03` from whichever of the usual notations of the data at hand."""
    if text is None:
        return None
    if found := re.fullmatch(r"(\d{4})-?(\d\d)-?(\d\d)", text):
        return "-".join(found.groups())
    if found := re.fullmatch(r"(\d\d?)[/.-](\d\d?)[/.-](\d{4})", text):
        one, two, year = found.groups()
        month, day = (two, one) if int(one) > 12 else (one, two)
        return f"{year}-{int(month):02}-{int(day):02}"
    return text


def run(
    columns: Columns,
    types: Mapping[str, ColumnType],
    *,
    variant: str = "demo",
    thresholds: Sequence[float] = THRESHOLDS,
) -> Clustered:
    import duckdb
    import pyarrow as pa
    from splink import DuckDBAPI, Linker

    logging.getLogger("splink").setLevel(logging.ERROR)
    warnings.simplefilter("ignore")
    ready, kinds = prepared(columns, types)
    size = len(next(iter(ready.values())))
    table = pa.table(
        {"unique_id": list(range(size)), **{name: pa.array(texts, pa.string()) for name, texts in ready.items()}}
    )
    started = time.process_time()
    connection = duckdb.connect(":memory:")
    connection.execute("SET threads = 1")
    database = DuckDBAPI(connection=connection)
    linker = Linker(database.register(table), settings(kinds, variant), log_level=None)
    train(linker, kinds)
    predicted = linker.inference.predict(threshold_match_probability=min(thresholds))
    found = {}
    cpu = 0.0
    for threshold in thresholds:
        clustered = linker.clustering.cluster_pairwise_predictions_at_threshold(predicted, threshold)
        rows = clustered.as_pyarrow_table()
        cpu = cpu or time.process_time() - started
        _, codes = np.unique(rows["cluster_id"].to_numpy(zero_copy_only=False).astype(str), return_inverse=True)
        clusters = np.empty(size, dtype=np.int64)
        clusters[rows["unique_id"].to_numpy()] = codes
        found[threshold] = clusters
    connection.close()
    return Clustered(found, cpu)


def settings(kinds: Mapping[str, ColumnType], variant: str) -> Any:
    from splink import SettingsCreator, block_on

    return SettingsCreator(
        link_type="dedupe_only",
        comparisons=comparisons(kinds, together=variant == "demo"),
        blocking_rules_to_generate_predictions=[block_on(*names) for names in blocking(kinds, variant)],
        retain_matching_columns=False,
    )


def comparisons(kinds: Mapping[str, ColumnType], *, together: bool) -> list[Any]:
    import splink.comparison_library as library

    made: list[Any] = []
    given, family = first(kinds, T.GIVEN_NAME), first(kinds, T.SURNAME)
    together = together and bool(given and family)
    if together:
        made.append(library.ForenameSurnameComparison(given, family))
    for name, kind in kinds.items():
        if together and name in {given, family}:
            continue
        if kind in {T.GIVEN_NAME, T.SURNAME}:
            made.append(library.NameComparison(name).configure(term_frequency_adjustments=True))
        elif kind is T.BIRTH_DATE:
            made.append(library.DateOfBirthComparison(name, input_is_string=True, datetime_format="%Y-%m-%d"))
        elif kind is T.EMAIL:
            made.append(library.EmailComparison(name).configure(term_frequency_adjustments=True))
        elif kind in FUZZY:
            made.append(library.LevenshteinAtThresholds(name, [1, 2]).configure(term_frequency_adjustments=True))
        elif kind is T.POSTCODE:
            made.append(library.LevenshteinAtThresholds(name, [1]).configure(term_frequency_adjustments=True))
        elif kind in EXACT:
            made.append(library.ExactMatch(name).configure(term_frequency_adjustments=True))
    return made


def blocking(kinds: Mapping[str, ColumnType], variant: str = "demo") -> list[tuple[str, ...]]:
    """Every single column that is almost a key; with pairs of others as in the demos, or others as in the tutorial."""
    if variant == "tutorial":
        keys = (T.GIVEN_NAME, T.SURNAME, T.BIRTH_DATE, T.EMAIL, T.PHONE, T.NATIONAL_ID)
        return [(name,) for kind in keys if (name := first(kinds, kind))]
    wanted: list[tuple[ColumnType, ...]] = [
        (T.GIVEN_NAME, T.SURNAME), (T.SURNAME, T.BIRTH_DATE), (T.GIVEN_NAME, T.BIRTH_DATE), (T.EMAIL,), (T.PHONE,),
        (T.NATIONAL_ID,), (T.GIVEN_NAME, T.POSTCODE), (T.SURNAME, T.POSTCODE), (T.BIRTH_DATE, T.POSTCODE),
        (T.GIVEN_NAME, T.STREET), (T.SURNAME, T.ADDRESS), (T.BIRTH_DATE, T.CITY),
    ]  # fmt: skip
    named = [[first(kinds, kind) for kind in rule] for rule in wanted]
    return [tuple(name for name in rule if name) for rule in named if all(rule)]


def train(linker: Any, kinds: Mapping[str, ColumnType]) -> None:
    from splink import block_on

    rules = blocking(kinds)
    linker.training.estimate_probability_two_random_records_match([block_on(*rule) for rule in rules[:4]], recall=0.7)
    linker.training.estimate_u_using_random_sampling(max_pairs=RANDOM_PAIRS, seed=1)
    apart = next((rule for rule in rules if not set(rule) & set(rules[0])), rules[-1])
    for rule in (rules[0], apart):
        linker.training.estimate_parameters_using_expectation_maximisation(block_on(*rule))


def first(kinds: Mapping[str, ColumnType], wanted: ColumnType) -> str | None:
    return next((name for name, kind in kinds.items() if kind is wanted), None)
