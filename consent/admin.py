"""The privacy officer's view: purposes, and the ledger to be read and searched, never changed. R: G3, G9"""

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest

from cdp.kernel.access.admin import ScopedAdmin
from cdp.kernel.access.roles import Scope
from consent.models import ConsentRecord, Purpose
from consent.subjects import subject_hash

SEARCHED_KINDS = ("email", "user_id", "anonymous_id", "phone")
SHOWN_OF_HASH = 12


@admin.register(Purpose)
class PurposeAdmin(ScopedAdmin):
    read_scope = Scope.CONSENT_READ
    write_scope = Scope.CONSENT_WRITE
    list_display = ("name", "slug", "kind", "requires_opt_in", "created_at")
    list_filter = ("kind", "requires_opt_in")
    search_fields = ("name", "slug")
    prepopulated_fields = {"slug": ("name",)}

    def get_readonly_fields(self, _request: HttpRequest, obj: Purpose | None = None) -> tuple[str, ...]:
        """What people agreed to stays what it was."""
        return ("slug", "kind", "created_at") if obj else ("created_at",)

    def get_prepopulated_fields(self, _request: HttpRequest, obj: Purpose | None = None) -> dict[str, Any]:
        return {} if obj else {"slug": ("name",)}


@admin.register(ConsentRecord)
class ConsentRecordAdmin(ScopedAdmin):
    read_scope = Scope.CONSENT_READ
    list_display = ("id", "purpose", "state", "method", "happened_at", "recorded_at", "expires_at", "actor", "hashes")
    list_filter = ("purpose", "state", "method", "happened_at")
    list_select_related = ("purpose",)
    date_hierarchy = "happened_at"
    search_fields = ("external_id",)
    search_help_text = "An e-mail address, user id or other identifier (it is hashed and compared), or an external id."
    show_full_result_count = False
    ordering = ("-id",)

    @admin.display(description="identifiers (hashed)")
    def hashes(self, record: ConsentRecord) -> str:
        return ", ".join(f"{subject[:SHOWN_OF_HASH]}…" for subject in record.subjects)

    def get_search_results(
        self, _request: HttpRequest, queryset: QuerySet[ConsentRecord], search_term: str
    ) -> tuple[QuerySet[ConsentRecord], bool]:
        term = search_term.strip()
        if not term:
            return queryset, False
        hashes = [subject_hash(kind, term) for kind in SEARCHED_KINDS]
        named = queryset.filter(external_id=term)
        return named | queryset.filter(subjects__overlap=[*hashes, term.lower()]), False
