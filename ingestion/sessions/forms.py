"""The section of a source's settings about sessions."""

from django import forms

from cdp.kernel.forms import StyledForm


class SessionsForm(StyledForm):
    mode = forms.ChoiceField(
        label="Whose events make up sessions",
        choices=[
            ("auto", "Those that browsers and apps send"),
            ("always", "All that have an anonymous id"),
            ("never", "None: no sessions for this source"),
        ],
        help_text="Bots never have sessions.",
    )
    timeout_minutes = forms.IntegerField(
        min_value=1,
        max_value=1_440,
        label="Minutes without an event that end a session",
        help_text="Applies to what arrives from now on.",
    )
