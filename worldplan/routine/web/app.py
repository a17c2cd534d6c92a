"""The web application of one programme: pages, interface, and how errors are answered."""

from __future__ import annotations

from dataclasses import asdict
from importlib import metadata

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response
from starlette.staticfiles import StaticFiles

from worldplan.milp.errors import FolderInUse, InfeasibleActionSet, WorldplanError, one_line
from worldplan.routine.database import Conflict, Missing
from worldplan.routine.relax import InfeasibleDay, Relaxation
from worldplan.routine.request import Setup
from worldplan.routine.web import messages
from worldplan.routine.web.api import api_router
from worldplan.routine.web.pages import pages_router
from worldplan.routine.web.rendering import FOLDER, Pages, without_options
from worldplan.routine.web.security import Access, Guard
from worldplan.routine.web.service import Service

_STATUS: dict[type[WorldplanError], int] = {Missing: 404, Conflict: 409, FolderInUse: 423}
_HEADINGS = {404: "Not found", 409: "Changed meanwhile", 423: "In use"}


def create_app(setup: Setup, access: Access | None = None) -> FastAPI:
    """The application.

    Args:
        setup: the programme.
        access: who may use it; without, this machine only and no token.

    Raises:
        ConfigError: the programme or its database cannot be used.
    """
    service = Service(setup)
    app = FastAPI(
        title=f"worldplan: {setup.name}",
        version=metadata.version("worldplan"),
        openapi_url="/api/openapi.json",
        docs_url=None,  # these pages load scripts from another site
        redoc_url=None,
    )
    app.include_router(api_router(service))
    app.include_router(pages_router(service))
    app.mount("/static", StaticFiles(directory=str(FOLDER.joinpath("static"))))
    app.add_middleware(Guard, access=access or Access())
    _add_errors(app, Pages(service))
    return app


def _add_errors(app: FastAPI, pages: Pages) -> None:
    """Answer errors as JSON under /api, else as a page."""

    def answer(
        request: Request,
        status: int,
        text: str,
        conflict: tuple[str, ...] = (),
        offers: tuple[Relaxation, ...] = (),
    ) -> Response:
        if request.url.path.startswith("/api/"):
            relaxations = [
                messages.RelaxationOut(**asdict(offer), words=offer.words()) for offer in offers
            ]
            problem = messages.Problem(
                detail=text, conflict=list(conflict), relaxations=relaxations
            )
            return JSONResponse(problem.model_dump(), status)
        heading = _HEADINGS.get(status, "Not possible")
        own = request.url.path if request.method != "GET" else "/"
        back = own.removesuffix("/redo")
        return pages.render("problem.html", "", status, heading=heading, problem=text, back=back)

    @app.exception_handler(WorldplanError)
    def ours(request: Request, error: WorldplanError) -> Response:
        offers = error.offers if isinstance(error, InfeasibleDay) else ()
        plain = error.plain if isinstance(error, InfeasibleDay) else str(error)
        text = without_options(one_line(plain or error, 1000))
        kinds = (status for kind, status in _STATUS.items() if isinstance(error, kind))
        conflict = error.conflict if isinstance(error, InfeasibleActionSet) else ()
        infeasible = isinstance(error, InfeasibleActionSet)
        status = next(kinds, 422 if infeasible else 400)
        return answer(request, status, text, conflict, offers)

    @app.exception_handler(RequestValidationError)
    def invalid(request: Request, error: RequestValidationError) -> Response:
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if (
            request.url.path.startswith("/api/")
            and request.method in ("POST", "PUT")
            and (kind != "application/json")
        ):
            return answer(request, 415, "send JSON, with the header Content-Type: application/json")
        problems = [
            f"{'.'.join(str(part) for part in each['loc'])}: {each['msg']}"
            for each in error.errors()
        ]
        return answer(request, 422, one_line("; ".join(problems), 1000))

    @app.exception_handler(HTTPException)
    def missing(request: Request, error: HTTPException) -> Response:
        text = "there is no such page" if error.status_code == 404 else str(error.detail)
        return answer(request, error.status_code, text)
