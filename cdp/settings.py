"""The one settings file. What a deployment may change comes from the environment: docs/reference/settings.md."""

import contextlib
import os
import secrets
from pathlib import Path
from typing import Any, TextIO, cast

import dj_database_url
import structlog
from csp.constants import NONE, SELF

from cdp.kernel import env
from cdp.kernel.embedded.home import broker_url, cdp_home, database_settings, redis_url
from cdp.kernel.logs import Output

BASE_DIR = Path(__file__).resolve().parent.parent
CDP_HOME = cdp_home()


def _secret_key() -> str:
    """The key of this deployment: from the environment, else made once and kept in CDP_HOME."""
    given = env.text("CDP_SECRET_KEY")
    if given:
        return given
    kept = CDP_HOME / "secret_key"
    if not kept.exists():
        CDP_HOME.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(FileExistsError):
            descriptor = os.open(kept, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "w") as file:
                file.write(secrets.token_urlsafe(64))
    return kept.read_text()


# --- The deployment -----------------------------------------------------------------------------------------
SECRET_KEY = _secret_key()
DEBUG = env.boolean("CDP_DEBUG", False)
PORT = env.integer("CDP_PORT", 8000)
ALLOWED_HOSTS = env.words("CDP_ALLOWED_HOSTS", ["localhost", "127.0.0.1", "[::1]"])
CSRF_TRUSTED_ORIGINS = env.words("CDP_TRUSTED_ORIGINS")
PUBLIC_URL = env.text("CDP_PUBLIC_URL", f"http://127.0.0.1:{PORT}")
ORGANISATION = env.text("CDP_ORGANISATION", "Tributary")

# --- Applications -------------------------------------------------------------------------------------------
INSTALLED_APPS = [
    "cdp.apps.CdpConfig",
    "cdp.kernel.access",
    "consent",
    "ingestion",
    "ingestion.standardise",
    "ingestion.dictionary",
    "ingestion.enrich",
    "ingestion.sessions",
    "ingestion.plans",
    "ingestion.quality",
    "ingestion.quarantine",
    "ingestion.trace",
    "ingestion.blocks",
    "identity",
    "identity.accounts",
    "identity.consents",
    "identity.kinds",
    "identity.candidates",
    "identity.evaluation",
    "identity.survivorship",
    "identity.review",
    "identity.duplicates",
    "identity.columns",
    "segments",
    "segments.insight",
    "segments.manual",
    "segments.computed",
    "activation",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.humanize",
    "django.contrib.staticfiles",
    "django_filters",
    "django_htmx",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "pgtrigger",
    "rest_framework",
]
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "csp.middleware.CSPMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
]
ROOT_URLCONF = "cdp.urls"
WSGI_APPLICATION = "cdp.wsgi.application"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "cdp.console.context.shell",
            ],
        },
    }
]

# --- PostgreSQL, Redis, Celery ------------------------------------------------------------------------------
DATABASES: dict[str, Any] = {
    "default": (
        dict(dj_database_url.parse(env.text("DATABASE_URL")))
        if env.text("DATABASE_URL")
        else database_settings(CDP_HOME)
    ),
}
DATABASES["default"].update({"CONN_MAX_AGE": None, "CONN_HEALTH_CHECKS": True})
# A server that hangs takes connections and says nothing: whoever waits for a session is told so after five seconds.
# PostgreSQL's activity and log say which program a session is of.
DATABASES["default"]["OPTIONS"] = {
    "application_name": f"tributary {env.text('CDP_SERVICE').rpartition(':')[2]}".strip(),
    "connect_timeout": 5,
} | DATABASES["default"].get("OPTIONS", {})
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

REDIS_URL = env.text("REDIS_URL") or redis_url(CDP_HOME)
CELERY_BROKER_URL = broker_url(REDIS_URL)
CELERY_TASK_IGNORE_RESULT = True
CELERY_DB_REUSE_MAX = 1_000_000  # by default a new database session for every task; cdp.celery heals broken ones
CELERY_TASK_DEFAULT_QUEUE = "default"
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_BROKER_TRANSPORT_OPTIONS = {"socket_timeout": 10, "socket_connect_timeout": 5, "retry_on_timeout": True}
CELERY_TASK_PUBLISH_RETRY_POLICY = {"max_retries": 1, "interval_start": 0, "interval_step": 0.1}
CELERY_TASK_ROUTES = {
    "cdp.drain": {"queue": "ingest"},
    "cdp.sessions": {"queue": "ingest"},
    "cdp.replay": {"queue": "ingest"},
    "cdp.evaluate": {"queue": "evaluate"},
    "cdp.wake": {"queue": "evaluate"},
    "cdp.match": {"queue": "match"},
    "cdp.match_runs": {"queue": "match"},
    "cdp.match_schedule": {"queue": "match"},
    "cdp.deliver": {"queue": "deliver"},
}


def every(seconds: float, task: str) -> dict[str, Any]:
    """One that was not begun before the next is due is left out, unless they are an hour apart."""
    options = {"expires": max(seconds, 1.0)} if seconds < 3_600 else {}
    return {"task": task, "schedule": seconds, "options": options}


CELERY_BEAT_SCHEDULER = "cdp.beat:Scheduler"
CELERY_BEAT_SCHEDULE = {
    # A nudge each, in case the one that the news itself sent was lost; the work is rows in PostgreSQL.
    "drain": every(1.0, "cdp.drain"),
    "evaluate": every(1.0, "cdp.evaluate"),
    # What time changes is at most so late.
    "wake": every(0.25, "cdp.wake"),
    "match": every(1.0, "cdp.match"),
    "match_runs": every(15.0, "cdp.match_runs"),
    "match_schedule": every(300.0, "cdp.match_schedule"),
    "sessions": every(2.0, "cdp.sessions"),
    "deliver": every(1.0, "cdp.deliver"),
    "flush_refusals": every(30.0, "cdp.flush_refusals"),
    "replay": every(5.0, "cdp.replay"),
    "recompute": every(5.0, "cdp.recompute_waiting"),
    "work_uploads": every(15.0, "cdp.work_uploads_waiting"),
    "compute_traits": every(15.0, "cdp.compute_traits_waiting"),
    "try_plans": every(15.0, "cdp.try_plans_waiting"),
    "run_kinds": every(15.0, "cdp.run_kinds_waiting"),
    "watch_quality": every(60.0, "cdp.watch_quality"),
    "deliver_alerts": every(10.0, "cdp.deliver_alerts"),
    "score_quality": every(300.0, "cdp.score_quality"),
    "decide_traits": every(15.0, "cdp.decide_traits_waiting"),
    "pack_traits": every(10.0, "cdp.pack_traits"),
    "report_duplicates": every(3600.0, "cdp.report_duplicates"),
    "scan_disputes": every(3600.0, "cdp.scan_disputes"),
    "continue_disputes": every(30.0, "cdp.continue_disputes"),
    "scan_quality": every(900.0, "cdp.scan_quality"),
    "fold_quality": every(20.0, "cdp.fold_quality"),
    "build_blocks": every(60.0, "cdp.build_blocks"),
    "maintain": every(3600.0, "cdp.maintain"),
}

# --- People -------------------------------------------------------------------------------------------------
AUTH_USER_MODEL = "access.User"
LOGIN_URL = "console:login"
LOGIN_REDIRECT_URL = "console:home"
LOGOUT_REDIRECT_URL = "console:login"
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in (
        "UserAttributeSimilarityValidator",
        "MinimumLengthValidator",
        "CommonPasswordValidator",
        "NumericPasswordValidator",
    )
]

# --- Language and time --------------------------------------------------------------------------------------
LANGUAGE_CODE = "en-gb"
TIME_ZONE = env.text("CDP_TIME_ZONE", "UTC")
USE_I18N = False
USE_TZ = True

# --- Static files -------------------------------------------------------------------------------------------
STATIC_URL = "/static/"
STATIC_ROOT = CDP_HOME / "static"
STATICFILES_DIRS = [
    BASE_DIR / "static",
    *(
        (f"vendor/{name}", folder)
        for name, folder in (
            ("tabler", BASE_DIR / "node_modules/@tabler/core/dist"),
            ("tabler-icons", BASE_DIR / "node_modules/@tabler/icons-webfont/dist"),
            ("echarts", BASE_DIR / "node_modules/echarts/dist"),
            ("htmx", BASE_DIR / "node_modules/htmx.org/dist"),
            ("inter", BASE_DIR / "node_modules/@fontsource-variable/inter"),
        )
        if folder.exists()
    ),
]
WHITENOISE_USE_FINDERS = True
WHITENOISE_MAX_AGE = 3600

# --- Safety in the browser ----------------------------------------------------------------------------------
_HTTPS = env.boolean("CDP_HTTPS", False)
SECURE_SSL_REDIRECT = _HTTPS
SECURE_HSTS_SECONDS = 31_536_000 if _HTTPS else 0
SECURE_HSTS_INCLUDE_SUBDOMAINS = _HTTPS
SECURE_HSTS_PRELOAD = _HTTPS
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if _HTTPS else None
SESSION_COOKIE_SECURE = _HTTPS
CSRF_COOKIE_SECURE = _HTTPS
X_FRAME_OPTIONS = "DENY"
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": [SELF],
        "script-src": [SELF],
        "style-src": [SELF],
        "img-src": [SELF, "data:"],
        "font-src": [SELF],
        "connect-src": [SELF],
        "object-src": [NONE],
        "base-uri": [SELF],
        "form-action": [SELF],
        "frame-ancestors": [NONE],
    }
}

# --- REST API -----------------------------------------------------------------------------------------------
REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "cdp.kernel.access.authentication.TokenAuthentication",
        "rest_framework.authentication.SessionAuthentication",
    ],
    "DEFAULT_PERMISSION_CLASSES": ["cdp.kernel.access.permissions.HasScope"],
    "DEFAULT_FILTER_BACKENDS": ["django_filters.rest_framework.DjangoFilterBackend"],
    "DEFAULT_PAGINATION_CLASS": "cdp.kernel.api.CursorPagination",
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["cdp.kernel.api.NestedJSONParser"],
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "DEFAULT_THROTTLE_CLASSES": [],
    "EXCEPTION_HANDLER": "cdp.kernel.api.exception_handler",
    "TEST_REQUEST_DEFAULT_FORMAT": "json",
}
SPECTACULAR_SETTINGS = {
    "TITLE": "Tributary API",
    "DESCRIPTION": "Profiles, segments and sources of a self-hosted Customer Data Platform.",
    "VERSION": "1",
    "SERVE_INCLUDE_SCHEMA": False,
    "SCHEMA_PATH_PREFIX": "/api/v1",
    # Folded, since from 150 rows on Swagger UI draws only those in view, and the browser's search finds no other.
    "SWAGGER_UI_SETTINGS": {
        "deepLinking": True,
        "defaultModelsExpandDepth": 0,
        "docExpansion": "none",
        "filter": True,
        "tagsSorter": "alpha",
    },
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "REDOC_DIST": "SIDECAR",
    "ENUM_NAME_OVERRIDES": {
        "AlertState": "ingestion.quality.models.Alert.State",
        "FlaggedValueState": "ingestion.quality.models.FlaggedValue.State",
        "FlaggedValueKind": "ingestion.quality.models.FlaggedValue.Kind",
        "LoadState": "ingestion.quality.contracts.LOAD_STATES",
        "SourceState": "ingestion.models.Source.State",
        "QuarantineState": "ingestion.quarantine.models.QuarantinedMessage.State",
        "MatchState": "identity.candidates.models.Candidate.State",
        "MatchReason": "identity.candidates.models.Candidate.Reason",
        "MatchModelState": "identity.candidates.models.MatchModel.State",
        "MatchRunState": "identity.candidates.models.MatchRun.State",
        "MatchRunKind": "identity.candidates.models.MatchRun.Kind",
        "ConstraintKind": "identity.models.Constraint.Kind",
        "MergeCause": "identity.models.Merge.Cause",
        "ComputedTraitState": "segments.computed.models.ComputedTrait.State",
        "SegmentState": "segments.models.Segment.State",
        "DestinationState": "activation.models.Destination.State",
        "DeliveryState": "activation.models.Delivery.State",
        "ConsentRecordState": "consent.models.ConsentRecord.State",
        "DictionaryKind": "ingestion.dictionary.models.DictionaryEntry.Kind",
        "StandardRuleKind": "ingestion.standardise.api.KIND_NAMES",
        "TraitRule": "identity.survivorship.models.RULES",
        "PolicyRunState": "identity.survivorship.models.PolicyRun.State",
        "PolicyRunKind": "identity.survivorship.models.PolicyRun.Kind",
        "TransitionKind": "segments.models.Transition.Kind",
    },
    "SERVE_PERMISSIONS": ["rest_framework.permissions.AllowAny"],
}

# --- Ingestion ----------------------------------------------------------------------------------------------
INGESTION_MAX_EVENT_BYTES = 32 * 1024
INGESTION_MAX_BODY_BYTES = 500 * 1024
INGESTION_MAX_BATCH_EVENTS = 2_500
GEOIP_FILE = env.text("CDP_GEOIP_FILE")
TRUSTED_PROXIES = env.networks("CDP_TRUSTED_PROXIES")
EVENT_BLOCKS = env.boolean("CDP_EVENT_BLOCKS", True)
INGESTION_VIOLATION_DAYS = env.integer("CDP_PLAN_VIOLATION_DAYS", 90)
SEGMENTS_COLUMNAR_FROM = env.integer("CDP_COLUMNAR_FROM", 50_000)  # profiles
IDENTITY_TRAIT_HISTORY_DAYS = env.integer("CDP_TRAIT_HISTORY_DAYS", 730)
IDENTITY_TRAIT_COLUMNS = env.boolean("CDP_TRAIT_COLUMNS", True)
DATA_UPLOAD_MAX_MEMORY_SIZE = 2 * 1024 * 1024

# --- Activation ---------------------------------------------------------------------------------------------
EGRESS_ALLOWED_HOSTS = env.words("CDP_EGRESS_ALLOW")

# --- E-mail -------------------------------------------------------------------------------------------------
_MAIL = env.mail_server("CDP_EMAIL_URL")
EMAIL_HOST, EMAIL_PORT = _MAIL.host, _MAIL.port
EMAIL_HOST_USER, EMAIL_HOST_PASSWORD = _MAIL.user, _MAIL.password
EMAIL_USE_TLS, EMAIL_USE_SSL = _MAIL.starttls, _MAIL.ssl
EMAIL_TIMEOUT = 15
DEFAULT_FROM_EMAIL = env.text("CDP_EMAIL_FROM", "tributary@localhost")

# --- Logging ------------------------------------------------------------------------------------------------
structlog.configure(
    processors=[
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso"),
        structlog.processors.format_exc_info,
        structlog.processors.JSONRenderer(),
    ],
    logger_factory=structlog.PrintLoggerFactory(cast("TextIO", Output())),
)
