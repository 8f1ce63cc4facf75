from django import forms

from activation.destinations.webhook.address import check_address
from activation.errors import InvalidDestinationError

MAX_URL_LENGTH = 2_000


class WebhookSettingsForm(forms.Form):
    url = forms.CharField(
        label="URL",
        max_length=MAX_URL_LENGTH,
        widget=forms.URLInput(attrs={"placeholder": "https://example.com/webhooks/tributary"}),
        help_text="Each entry or exit is sent here as a signed POST.",
    )

    def clean_url(self) -> str:
        url: str = self.cleaned_data["url"]
        try:
            check_address(url)
        except InvalidDestinationError as error:
            raise forms.ValidationError(error.message) from None
        return url
