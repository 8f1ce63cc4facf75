"""`manage.py add_source SLUG`: make a source and print its write key."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from cdp.kernel.errors import TributaryError
from ingestion.operations import create_source


class Command(BaseCommand):
    help = "Make a source and print its write key, which is shown only now."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("slug", help="lower-case letters, digits and hyphens")
        parser.add_argument("--name", help="shown to people; the slug if left out")
        parser.add_argument("--kind", default="http", help="how its data arrive (default: http)")

    def handle(self, *, slug: str, name: str | None, kind: str, **_: Any) -> None:
        try:
            _source, key = create_source(slug=slug, name=name or slug, kind=kind, now=timezone.now())
        except TributaryError as error:
            raise CommandError(error.message) from error
        self.stdout.write(key)
