"""`manage.py match_file IN OUT`: which rows of a file are one person. Needs no server. R: C2"""

import sys
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from cdp.kernel.errors import TributaryError
from identity.files.describe import describe
from identity.files.run import Request, match_file
from identity.matching.contracts import ColumnType


class Command(BaseCommand):
    help = (
        "Match the rows of a CSV or Parquet file: OUT has the same rows and a cluster for each. The database is "
        "neither needed nor touched. Types of columns are guessed; --types corrects them: " + ", ".join(ColumnType)
    )
    requires_system_checks = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "source", metavar="IN", type=Path, help="a CSV (any delimiter and encoding) or Parquet file"
        )
        parser.add_argument("out", metavar="OUT", type=Path, help="ends in .parquet for Parquet; else CSV")
        parser.add_argument(
            "--types", action="append", default=[], metavar="COLUMN=TYPE,…", help="instead of guessing"
        )
        parser.add_argument("--truth", metavar="COLUMN", help="measure the result by it; never used for matching")
        parser.add_argument(
            "--threshold", type=float, default=0.5, help="probability from which rows are one person (%(default)s)"
        )
        parser.add_argument("--column", default="cluster", help="name of the new column (%(default)s)")
        headed = parser.add_mutually_exclusive_group()
        headed.add_argument("--header", action="store_true", default=None, help="the first row names the columns")
        headed.add_argument("--no-header", action="store_false", dest="header", help="the first row is data")
        parser.add_argument("--force", action="store_true", help="replace OUT if it exists")
        parser.add_argument("--any-size", action="store_true", help="try even if memory seems too small")

    def handle(self, *, source: Path, out: Path, **options: Any) -> None:
        names = ("types", "truth", "threshold", "column", "header", "force", "any_size")
        request = Request(source, out, **{name: options[name] for name in names})
        try:
            outcome = match_file(request, progress=self._progress)
        except TributaryError as error:
            raise CommandError(f"{error.message} [{error.code}]") from error
        self.stdout.write(describe(outcome, source=str(source), out=str(out)))

    def _progress(self, step: str) -> None:
        if sys.stderr.isatty():
            self.stderr.write(f"{step} …", style_func=lambda text: text)
