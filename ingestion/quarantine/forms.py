"""The section “Quarantine” of a source's settings."""

from django import forms

from cdp.kernel.forms import StyledForm


class QuarantineForm(StyledForm):
    """How long to keep what was not taken in."""

    keep_days = forms.IntegerField(
        label="Keep quarantined messages for",
        min_value=1,
        max_value=3_650,
        help_text="Days. Then the messages are deleted; how many there were, and why, stays.",
    )
    trace_days = forms.IntegerField(
        label="Know what became of a message for",
        min_value=1,
        max_value=365,
        help_text="Days in which “Why did this event not arrive?” can tell of messages that were dropped.",
    )
    refuse_above = forms.IntegerField(
        label="Refuse a batch whole above",
        min_value=0,
        max_value=99,
        required=False,
        help_text="Percent of bad messages. Such a batch is quarantined whole, the good messages with it, so that "
        "nothing is stored in part; replay them when it is clear what went wrong. Empty: take in what is good.",
    )
