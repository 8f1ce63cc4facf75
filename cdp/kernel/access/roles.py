"""The roles of people and the scopes that each carries. Tokens carry scopes directly. R: G9"""

from enum import StrEnum


class Scope(StrEnum):
    PROFILES_READ = "profiles:read"
    EVENTS_READ = "events:read"
    PII_READ = "pii:read"
    SEGMENTS_READ = "segments:read"
    SEGMENTS_WRITE = "segments:write"
    SOURCES_WRITE = "sources:write"
    IDENTITY_WRITE = "identity:write"
    CONSENT_READ = "consent:read"
    CONSENT_WRITE = "consent:write"
    ACTIVATION_WRITE = "activation:write"
    ADMIN = "admin"


class Role(StrEnum):
    """Also the name of the Django group that people of this role are in."""

    ADMIN = "admin"
    MARKETER = "marketer"
    ANALYST = "analyst"
    ENGINEER = "engineer"
    PRIVACY_OFFICER = "privacy officer"


# An analyst counts and compares; whom they see is masked (ingestion.dictionary.masking).
_READ = frozenset({Scope.PROFILES_READ, Scope.EVENTS_READ, Scope.SEGMENTS_READ})

ROLE_SCOPES: dict[Role, frozenset[Scope]] = {
    Role.ADMIN: frozenset(Scope),
    Role.MARKETER: _READ | {Scope.PII_READ, Scope.SEGMENTS_WRITE, Scope.ACTIVATION_WRITE},
    Role.ANALYST: _READ,
    Role.ENGINEER: _READ | {Scope.PII_READ, Scope.SOURCES_WRITE, Scope.IDENTITY_WRITE, Scope.ACTIVATION_WRITE},
    Role.PRIVACY_OFFICER: _READ | {Scope.PII_READ, Scope.IDENTITY_WRITE, Scope.CONSENT_READ, Scope.CONSENT_WRITE},
}
