"""How big a definition may be. Beyond these a definition is a mistake or an attack; docs/reference/segments.md."""

from datetime import timedelta

MAX_DEPTH = 12  # groups inside groups
MAX_NODES = 100  # groups and conditions together
MAX_WHERE = 20  # property tests of one event condition
MAX_EVENT_NAMES = 50  # names in one event condition
MAX_STEPS = 10  # steps of one sequence
MAX_LIST = 1_000  # values of `in` and `not_in`
MAX_TEXT = 1_000  # characters of a value
MAX_NAME = 200  # characters of an event name, a trait or a property path
MAX_PATH_STEPS = 8
MAX_NUMBER = 10**18
MAX_DURATION = timedelta(days=36_500)
