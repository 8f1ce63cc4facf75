"""What every REST endpoint of `/api/v1/` shares: errors, pages, and the shape of both."""

from collections.abc import Callable, Sequence
from typing import Any

from django.conf import settings
from django.core.exceptions import RequestDataTooBig
from django.http import Http404
from rest_framework import exceptions, serializers
from rest_framework.pagination import CursorPagination as BaseCursorPagination
from rest_framework.parsers import JSONParser
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.utils.urls import replace_query_param
from rest_framework.views import exception_handler as rest_exception_handler

from cdp.kernel.errors import TributaryError


class NestedJSONParser(JSONParser):
    """A body nested thousands deep is bad input and no failure of ours."""

    def parse(self, stream: Any, media_type: Any = None, parser_context: Any = None) -> Any:
        try:
            return super().parse(stream, media_type, parser_context)
        except RecursionError:
            raise exceptions.ParseError("This JSON is nested too deep.", code="too_deep") from None


class CursorPagination(BaseCursorPagination):
    """`{"results": […], "next": url|null}`, with `page_size` up to 1,000."""

    page_size = 100
    page_size_query_param = "page_size"
    max_page_size = 1_000
    ordering = "-id"

    def get_paginated_response(self, data: Any) -> Response:
        return Response({"results": data, "next": self.get_next_link()})

    def get_paginated_response_schema(self, schema: dict[str, Any]) -> dict[str, Any]:
        return {
            "type": "object",
            "required": ["results", "next"],
            "properties": {
                "results": schema,
                "next": {"type": "string", "nullable": True, "format": "uri"},
            },
        }


def exception_handler(exc: Exception, context: dict[str, Any]) -> Response | None:
    """Every error as `{"code", "message", "path"?}`; a domain error is a 400 unless it says otherwise."""
    if isinstance(exc, TributaryError):
        return Response(exc.as_dict(), status=getattr(exc, "http_status", 400))
    if isinstance(exc, RequestDataTooBig):
        most = settings.DATA_UPLOAD_MAX_MEMORY_SIZE // 1024 // 1024
        return Response({"code": "too_large", "message": f"A request may have {most} MB at most."}, status=413)
    response = rest_exception_handler(exc, context)
    if response is None:
        return None
    if isinstance(exc, exceptions.ValidationError):
        response.data = _first_problem(exc.detail)
    elif isinstance(exc, exceptions.APIException):
        response.data = {"code": _code_of(exc), "message": str(exc.detail)}
    elif isinstance(exc, Http404):
        response.data = {"code": "not_found", "message": str(exc) or "There is nothing at this address."}
    return response


def _code_of(exc: exceptions.APIException) -> str:
    codes = exc.get_codes()
    return codes if isinstance(codes, str) else exc.default_code


def _first_problem(detail: Any, path: str = "") -> dict[str, Any]:
    """The first problem of a nested DRF error, with the path of the field it concerns."""
    if isinstance(detail, dict):
        name, inner = next(iter(detail.items()))
        return _first_problem(inner, path if name == "non_field_errors" else f"{path}/{name}")
    if isinstance(detail, list) and detail:
        place = next((index for index, item in enumerate(detail) if item), 0)
        first = detail[place]
        return _first_problem(first, f"{path}/{place}" if isinstance(first, dict) else path)
    problem = {"code": str(getattr(detail, "code", "invalid")), "message": str(detail)}
    return problem | ({"path": path} if path else {})


class PageQuery(serializers.Serializer[Any]):
    """The query parameters of a list that continues after a key rather than over a queryset."""

    page_size = serializers.IntegerField(default=100, min_value=1, max_value=1_000)


def page_of(request: Request, rows: Sequence[Any], *, size: int, cursor_of: Callable[[Any], str]) -> dict[str, Any]:
    """`{"results", "next"}` of rows that were fetched one beyond the page, to see whether there are more."""
    shown = rows[:size]
    following = None
    if len(rows) > size:
        following = replace_query_param(request.build_absolute_uri(), "cursor", cursor_of(shown[-1]))
    return {"results": list(shown), "next": following}
