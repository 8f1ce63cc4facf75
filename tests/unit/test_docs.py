"""What the documentation promises about itself: every setting is there, and every link leads somewhere."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("cdp", "consent", "ingestion", "identity", "segments", "activation")
PAGES = sorted([*ROOT.glob("docs/**/*.md"), ROOT / "README.md", ROOT / "CHANGELOG.md"])


def settings_in_code() -> set[str]:
    text = "\n".join(path.read_text() for package in PACKAGES for path in (ROOT / package).rglob("*.py"))
    return set(re.findall(r'"(CDP_[A-Z_]+|DATABASE_URL|REDIS_URL)"', text))


class TestSettingsReference:
    def test_documents_every_variable_that_the_code_reads(self):
        documented = set(re.findall(r"`([A-Z_]+)`", (ROOT / "docs/reference/settings.md").read_text()))

        assert settings_in_code() - documented == set()


class TestPages:
    @pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
    def test_link_only_to_what_exists(self, page: Path):
        links = re.findall(r"\]\(([^)#:\s]+)(?:#[^)]*)?\)", page.read_text())

        assert [link for link in links if not (page.parent / link).exists()] == []
