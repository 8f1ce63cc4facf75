"""The section of a source's settings about enrichment."""

from django import forms

from cdp.kernel.forms import StyledForm


class EnrichForm(StyledForm):
    enabled = forms.BooleanField(
        required=False,
        label="Tell device, country and channel of every event",
        help_text="From the user agent, the address, UTM parameters and the referrer; kept in context.enriched.",
    )
    ip = forms.ChoiceField(
        label="IP addresses",
        choices=[
            ("truncate", "Shorten them (203.0.113.0)"),
            ("drop", "Do not keep them"),
            ("keep", "Keep them whole"),
        ],
        help_text="The country is looked up first, so it is known in any case.",
    )
    own_hosts = forms.CharField(
        required=False,
        max_length=1_000,
        label="Hosts of your own",
        help_text="Other domains that belong to the site, such as pay.example.com. Coming from there is no new visit "
        "from elsewhere. The site itself and its subdomains are known.",
    )
