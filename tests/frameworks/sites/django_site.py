"""The site in Django: one file instead of a project, everything else as it comes."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.wsgi import get_wsgi_application
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, JsonResponse, StreamingHttpResponse
from django.urls import path, re_path
from django.views.static import serve

settings.configure(
    ALLOWED_HOSTS=["*"],
    ROOT_URLCONF=__name__,
    SECRET_KEY="only for this test",
    LOGGING={
        "version": 1,
        "disable_existing_loggers": False,
        "handlers": {"console": {"class": "logging.StreamHandler"}},
        "root": {"handlers": ["console"]},
    },
    MIDDLEWARE=[
        "django.middleware.security.SecurityMiddleware",
        "django.middleware.common.CommonMiddleware",
        "django.middleware.http.ConditionalGetMiddleware",
    ],
)


def home(request: HttpRequest) -> HttpResponse:
    visits = int(request.COOKIES.get("visits", 0)) + 1
    response = HttpResponse(f"visit {visits}")
    response.set_cookie("visits", str(visits), httponly=True)
    return response


def form(request: HttpRequest) -> JsonResponse:
    return JsonResponse({"name": request.POST["name"], "several": request.POST.getlist("several")})


def upload(request: HttpRequest) -> JsonResponse:
    digest = hashlib.sha256()
    sent = request.FILES["file"]
    for block in sent.chunks():
        digest.update(block)
    told = {"note": request.POST["note"], "name": sent.name, "size": sent.size, "sha256": digest.hexdigest()}
    return JsonResponse(told)


def raw(request: HttpRequest) -> JsonResponse:
    return JsonResponse({"size": len(request.body)})


def stream(request: HttpRequest) -> StreamingHttpResponse:
    return StreamingHttpResponse((b"%d\n" % number for number in range(1000)), content_type="text/plain")


def boom(request: HttpRequest) -> HttpResponse:
    raise RuntimeError("the site broke")


def redirect(request: HttpRequest) -> HttpResponse:
    return HttpResponseRedirect("/")


files: dict[str, Any] = {"document_root": str(Path(__file__).parent / "files")}
urlpatterns = [
    path("", home),
    path("form", form),
    path("upload", upload),
    path("raw", raw),
    path("stream", stream),
    path("boom", boom),
    path("redirect", redirect),
    re_path(r"^static/(?P<path>.*)$", serve, files),
]
application = get_wsgi_application()
