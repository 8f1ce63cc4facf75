"""A definition over everybody as `segments.compile.compile_state` tells it: who is in, and when that can change."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cdp.kernel.copy import copy_rows, timestamp_micros
from cdp.kernel.copy import read_rows as copy_out
from identity.columns.contracts import TraitColumn
from segments.ast import Condition as AnyCondition
from segments.ast import Node, Not, Trait
from segments.ast import Sequence as Steps
from segments.columnar.errors import DeclinedError
from segments.columnar.gather import Condition
from segments.columnar.measures import Verdict
from segments.columnar.people import Flags
from segments.columnar.population import Population, unpacked
from segments.columnar.reading import Reading, Readings
from segments.columnar.timing import NEVER, Moments, Timing
from segments.columnar.values import MOST_ASKED, Coded, dumps
from segments.compile import HORIZON, compile_state
from segments.engine import fetch
from segments.plan import RELATIVE, holds_when_empty, make_plan
from segments.predicates import value_edge
from segments.sql import Sql, sql


@dataclass(frozen=True)
class States:
    """Of who is in or has a due time, by ascending ids."""

    ids: NDArray[np.int64]
    holds: Flags
    due: Moments

    def write(self, table: str) -> None:
        """To a table of `profile_id`, `holds` and `due`."""
        known = self.due != NEVER
        packed = self._packed(known, _ROW_WITH_DUE) + self._packed(~known, _ROW)
        copy_rows(table=table, columns=("profile_id", "holds", "due"), rows=packed)

    def _packed(self, chosen: Flags, layout: "np.dtype[Any]") -> bytes:
        rows = np.zeros(int(np.count_nonzero(chosen)), layout)
        rows["fields"], rows["id_size"], rows["id"] = 3, 8, self.ids[chosen]
        rows["holds_size"], rows["holds"] = 1, self.holds[chosen]
        rows["due_size"] = -1
        if layout is _ROW_WITH_DUE:
            rows["due_size"], rows["due"] = 8, self.due[chosen]
        return rows.tobytes()


# PostgreSQL's binary COPY: see cdp/kernel/copy.py
_FIELDS = [
    ("fields", ">i2"), ("id_size", ">i4"), ("id", ">i8"), ("holds_size", ">i4"), ("holds", "u1"), ("due_size", ">i4")
]  # fmt: skip
_ROW, _ROW_WITH_DUE = np.dtype(_FIELDS), np.dtype([*_FIELDS, ("due", ">i8")])


class Timed(Population):
    """Also gathers when each condition can next change, and with it the definition."""

    timed = True

    def states(self) -> States:
        self.due = np.full(self.people.count, NEVER, np.int64)
        (holds,) = self.ask([self.plan.root]).inside
        horizon = timestamp_micros(self.plan.clock.now + HORIZON)
        due = np.where(self.due < horizon, self.due, NEVER)
        told = holds | (due != NEVER)
        return States(self.people.ids[told], holds[told], due[told])

    def _gathered(self, reading: Reading) -> Verdict:
        timing = Timing(reading.measured, self.people.size, self.plan.clock)
        verdict = Condition(reading, self.people, timing=timing).gather(pause=self.pause)
        self._earlier(self.people.everybody(timing.due(verdict.holds)))
        return verdict

    def _followed(self, steps: Steps, readings: Readings) -> Verdict:
        holds, due = self._trails(steps, readings)
        self._earlier(self.people.everybody(due))
        return Verdict(holds)

    def _earlier(self, due: Moments) -> None:
        np.minimum(self.due, due, out=self.due)

    def _trait(self, trait: Trait, column: TraitColumn) -> Flags:
        flags = super()._trait(trait, column)
        if trait.test.op in RELATIVE:
            self._earlier(Coded(lambda values: self._edges(trait, values), NEVER).of(column.codes, column.values))
        return flags

    def _edges(self, trait: Trait, values: Sequence[Any]) -> Moments:
        if len(values) > MOST_ASKED:
            raise DeclinedError
        edge = value_edge(trait.test, Sql("v.value"), self.plan.clock)
        ((found,),) = fetch(sql(_EDGES, edge=edge, texts=[dumps(value) for value in values], never=int(NEVER)))
        return np.array(found or (), np.int64)

    def _asked(self, found: Sequence[AnyCondition]) -> dict[Node, Flags]:
        return {condition: self._asked_alone(condition) for condition in found}

    def _asked_alone(self, condition: AnyCondition) -> Flags:
        clock = self.plan.clock
        turned = holds_when_empty(condition)
        node = Not(condition) if turned else condition
        state = compile_state(make_plan(node, now=clock.now, zone=clock.zone), self.dictionary)
        packed = sql(_PACKED, state=state)
        ((ids, holds, due),) = copy_out(packed.text, packed.params)
        places = np.searchsorted(self.people.ids, unpacked(ids))
        flags = np.zeros(self.people.count, bool)
        flags[places] = np.frombuffer(holds or b"", np.bool_)
        dues = np.full(self.people.count, NEVER, np.int64)
        dues[places] = unpacked(due)
        self._earlier(dues)
        return flags ^ turned

    def _settled(self, places: NDArray[np.intp], roots: Sequence[Node], inside: list[Flags]) -> None:
        """Everything about who was doubtful is PostgreSQL's word."""
        self.due[places] = NEVER
        for id_, holds, due in self._asked_about(places, roots):
            place = np.searchsorted(self.people.ids, id_)
            inside[0][place] = holds
            self.due[place] = NEVER if due is None else timestamp_micros(due)


_EDGES = """
SELECT array_agg(coalesce((extract(epoch FROM v.edge) * 1000000)::bigint - 946684800000000, {never}) ORDER BY v.place)
FROM (SELECT {edge} AS edge, v.place FROM unnest({texts}::jsonb[]) WITH ORDINALITY AS v(value, place)) AS v
"""
_PACKED = """
SELECT string_agg(int8send(s.profile_id), ''), string_agg(boolsend(s.holds), ''),
       string_agg(timestamptz_send(coalesce(s.due, 'infinity')), '')
FROM ({state}) AS s
"""
