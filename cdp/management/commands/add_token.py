"""`manage.py add_token NAME --scopes a,b`: make an API token and print it."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import IntegrityError, transaction

from cdp.kernel.access.models import ApiToken
from cdp.kernel.access.roles import Scope

READING = frozenset({Scope.PROFILES_READ, Scope.EVENTS_READ, Scope.SEGMENTS_READ})


class Command(BaseCommand):
    help = "Make a token for /api/v1/ and print it; it is shown only now."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("name", help="what the token is for")
        parser.add_argument("--masked", action="store_true", help="do not add pii:read: personal data comes masked")
        parser.add_argument(
            "--scopes", required=True, help=f"separated by commas, of: {', '.join(scope.value for scope in Scope)}"
        )

    def handle(self, *, name: str, scopes: str, masked: bool = False, **_: Any) -> None:
        wanted = [word.strip() for word in scopes.split(",") if word.strip()]
        unknown = sorted(set(wanted) - {scope.value for scope in Scope})
        if unknown or not wanted:
            raise CommandError(
                f"Unknown scopes: {', '.join(unknown) or 'none given'}. "
                f"There are: {', '.join(scope.value for scope in Scope)}."
            )
        if READING & set(wanted) and not masked:
            wanted = sorted({*wanted, Scope.PII_READ})
        try:
            with transaction.atomic():
                _row, token = ApiToken.issue(name=name, scopes=wanted)
        except IntegrityError as error:
            raise CommandError(f"There is a token named {name!r} already.") from error
        self.stdout.write(token)
