"""SQL made of fragments that carry their own values: text is ours, every value is bound."""

from collections.abc import Iterable
from dataclasses import dataclass
from string import Formatter
from typing import Any


@dataclass(frozen=True)
class Sql:
    """A piece of SQL with a `%s` for each of its parameters."""

    text: str
    params: tuple[Any, ...] = ()


def sql(template: str, **parts: Any) -> Sql:
    """Fill `{name}` with a fragment, or with a bound value where `parts` holds anything else."""
    texts: list[str] = []
    params: list[Any] = []
    for literal, field, _, _ in Formatter().parse(template):
        texts.append(literal)
        if field is not None:
            part = parts[field]
            fragment = part if isinstance(part, Sql) else Sql("%s", (part,))
            texts.append(fragment.text)
            params.extend(fragment.params)
    return Sql("".join(texts), tuple(params))


def join(separator: str, fragments: Iterable[Sql]) -> Sql:
    kept = list(fragments)
    return Sql(
        separator.join(fragment.text for fragment in kept),
        tuple(param for fragment in kept for param in fragment.params),
    )


def conjunction(fragments: Iterable[Sql]) -> Sql:
    kept = list(fragments)
    return sql("({all})", all=join(" AND ", kept)) if kept else Sql("true")


def earliest(fragments: Iterable[Sql]) -> Sql | None:
    """The smallest of several instants, NULL ones left out; None where there is nothing to compare."""
    kept = list(fragments)
    if not kept:
        return None
    return kept[0] if len(kept) == 1 else sql("LEAST({all})", all=join(", ", kept))
