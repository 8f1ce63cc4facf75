"""The OpenAPI schema: complete, valid, and without a warning."""

from io import StringIO

import pytest
import yaml
from django.core.management import call_command

PATHS = (
    "/api/v1/profiles/",
    "/api/v1/profiles/lookup/",
    "/api/v1/profiles/{id}/events/",
    "/api/v1/profiles/{profile_id}/segments/",
    "/api/v1/profiles/{id}/merges/",
    "/api/v1/profiles/{id}/split/",
    "/api/v1/merges/",
    "/api/v1/merges/preview/",
    "/api/v1/merges/{id}/undo/",
    "/api/v1/constraints/",
    "/api/v1/segments/",
    "/api/v1/segments/preview/",
    "/api/v1/segments/validate/",
    "/api/v1/segments/schema/",
    "/api/v1/segments/{slug}/members/",
    "/api/v1/segments/{slug}/transitions/",
    "/api/v1/segments/{slug}/trend/",
    "/api/v1/segments/{slug}/publish/",
    "/api/v1/segments/{slug}/versions/",
    "/api/v1/segments/{slug}/versions/{number}/diff/",
    "/api/v1/sources/",
    "/api/v1/sources/{slug}/plan/",
    "/api/v1/sources/{slug}/plan/try/",
    "/api/v1/sources/{slug}/plan/violations/",
    "/api/v1/destinations/",
    "/api/v1/subscriptions/",
    "/api/v1/deliveries/{id}/replay/",
    "/api/v1/consent/records/",
    "/api/v1/consent/decision/",
)


@pytest.fixture(scope="module")
def schema():
    out = StringIO()
    call_command("spectacular", "--fail-on-warn", "--validate", stdout=out)
    return yaml.safe_load(out.getvalue())


class TestSchema:
    @pytest.mark.parametrize("path", PATHS)
    def test_describes(self, schema, path):
        assert path in schema["paths"]

    def test_asks_for_a_token_everywhere(self, schema):
        operations = [
            operation
            for path in schema["paths"].values()
            for method, operation in path.items()
            if method in {"get", "post", "patch", "put", "delete"}
        ]

        assert operations
        assert all({"token": []} in operation["security"] for operation in operations)
