"""Whether the past of a definition is for arrays, and asking it. This module is light: NumPy comes when it is."""

from dataclasses import replace

from segments.ast import Event, Measure, Node, Sequence, Trait
from segments.columnar.ask import Question, deadline, worth_it
from segments.columnar.errors import DeclinedError
from segments.engine import plan_at
from segments.insight.trend.frame import Frame, Windowed
from segments.plan import RELATIVE, Behaviour, Plan, conditions
from segments.sequences import group
from segments.streams import Dictionary

STEPS = frozenset({Measure.COUNT, Measure.SUM, Measure.AVG, Measure.MIN, Measure.MAX, Measure.DAYS})
"""What can be kept up as events come into a window and leave it."""


def past_by_arrays(node: Node, frame: Frame, dictionary: Dictionary, *, seconds: float) -> list[int] | None:
    """How many were in at each instant; None where SQL is to be asked, as with `segments.columnar.ask.ask`.

    Raises:
        QueryTooSlowError
    """
    if not all(map(steps, conditions(node))) or not worth_it():
        return None
    question = Question(lasting(node, frame), dictionary, dated=True)
    if not question.covered.issuperset(conditions(node)):
        return None
    from segments.insight.trend.arrays import Past

    try:
        return question.of(Past, pause=deadline(seconds)).counts(frame)
    except DeclinedError:
        return None


def steps(condition: Node) -> bool:
    """Whether arrays can follow it from one instant to the next."""
    match condition:
        case Trait(test=test):
            return test.op not in RELATIVE
        case Event(where=where, measure=measure):
            return measure in STEPS and not any(each.test.op in RELATIVE for each in where)
        case Sequence(stages):
            between = (absent for step in group(stages)[:-1] for _, absent in step.absent)
            return not any(absent.within for absent in between)
        case _:
            return False


def lasting(node: Node, frame: Frame) -> Plan:
    """The plan of the last instant, in which each condition reads what is in its window at any of them."""
    plan = plan_at(node, now=frame.last)
    found = {condition: plan.behaviours[place] for condition, place in plan.places.items()}
    widened = tuple(_widened(one, Windowed(condition.window, frame)) for condition, one in found.items())
    return replace(plan, behaviours=widened)


def _widened(behaviour: Behaviour, window: Windowed) -> Behaviour:
    return replace(behaviour, extent=window.lasting)
