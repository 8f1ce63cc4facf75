"""Forms of the console: Django forms whose widgets wear the console's classes."""

from typing import Any

from django import forms


def style(form: forms.BaseForm) -> None:
    """Give every widget its class; a wrong field shows by `aria-invalid`, which Django sets."""
    for field in form.fields.values():
        widget = field.widget
        if isinstance(widget, forms.CheckboxInput | forms.CheckboxSelectMultiple | forms.RadioSelect):
            kind = "form-check-input"
        elif isinstance(widget, forms.Select):
            kind = "form-select"
        else:
            kind = "form-control"
        widget.attrs["class"] = f"{widget.attrs.get('class', '')} {kind}".strip()


class StyledForm(forms.Form):
    """A form that is ready for `components/form.html`."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        style(self)
