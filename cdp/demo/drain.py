"""The whole pipeline up to the deliveries, in this process: for scripts, tests and servers without workers."""

import time
from collections.abc import Callable
from dataclasses import astuple
from datetime import datetime

from cdp import pipeline
from cdp.chunk import Drained
from ingestion.queries import inbox_depth
from segments.models import Change, Due

OTHERS_WORK_SECONDS = 0.05


def drain_all(*, clock: Callable[[], datetime]) -> Drained:
    """Process until the inbox is empty and every segment has answered; rows that a worker holds are waited for."""
    total = Drained()
    while inbox_depth():
        drained = pipeline.drain(now=clock())
        total = Drained(*(sum(pair) for pair in zip(astuple(total), astuple(drained), strict=True)))
        if not drained.rows:
            time.sleep(OTHERS_WORK_SECONDS)
    while pipeline.end_sessions(now=clock()):
        pass
    _until_none(Change.objects.count, lambda: pipeline.evaluate(now=clock()))
    _until_none(Due.objects.filter(at__lte=clock()).count, lambda: pipeline.wake(now=clock()))
    return total


def _until_none(left: Callable[[], int], step: Callable[[], object]) -> None:
    while before := left():
        step()
        if left() == before:
            time.sleep(OTHERS_WORK_SECONDS)
