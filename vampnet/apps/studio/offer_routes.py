"""Routes for what the server has to offer: examples to begin with, models, adapters."""

from __future__ import annotations

from pathlib import Path

from fastapi import APIRouter, Request
from pydantic import BaseModel

from vampnet.apps.http.routes import errors, file_view, owner_of
from vampnet.apps.http.service import Service
from vampnet.apps.http.uploads import UnknownFile, store_upload
from vampnet.apps.http.views import FileView


class ExampleView(BaseModel):
    """Audio that comes with the program."""

    name: str
    title: str
    seconds: float


class ExamplesView(BaseModel):
    """All examples."""

    examples: list[ExampleView]


class ModelView(BaseModel):
    """A model that requests may name in `model.bundle`."""

    name: str
    is_default: bool
    """True for the one that is used where a request names none."""


class ModelsView(BaseModel):
    """All models of the server."""

    models: list[ModelView]


class LoraView(BaseModel):
    """An adapter that requests may name in `model.lora`, as NAME or NAME:STRENGTH."""

    name: str
    bytes: int
    created_at: float
    """Unix seconds."""


class LorasView(BaseModel):
    """Adapters that one may use, the newest first."""

    loras: list[LoraView]


EXAMPLES = (
    ExampleView(name="loop", title="Eight bars of a band, made by the composer that comes with it", seconds=16.0),
)
"""Examples, each of which is NAME.flac among the data of this package."""


def make_offer_router(service: Service) -> APIRouter:
    """The routes of a service."""
    router = APIRouter(tags=["library"])

    @router.get("/api/v1/examples", responses=errors())
    def examples() -> ExamplesView:
        """Audio to begin with."""
        return ExamplesView(examples=list(EXAMPLES))

    @router.post("/api/v1/examples/{name}", status_code=201, responses=errors(404))
    def take_example(request: Request, name: str) -> FileView:
        """Have an example as if it had been handed over."""
        if name not in {example.name for example in EXAMPLES}:
            raise UnknownFile(f"there is no example {name[:40]!r}")
        with (Path(__file__).parent / "examples" / f"{name}.flac").open("rb") as content:
            return file_view(store_upload(service, f"{name}.flac", content, owner_of(request)))

    @router.get("/api/v1/models", responses=errors())
    def models() -> ModelsView:
        """Models that requests may name."""
        names = dict.fromkeys((service.config.bundle, *service.config.allowed_model))
        found = [ModelView(name=name, is_default=name == service.config.bundle) for name in names]
        return ModelsView(models=found)

    @router.get("/api/v1/loras", responses=errors())
    def loras(request: Request) -> LorasView:
        """Adapters that requests may name: files NAME.safetensors in the folder `loras` of the server's data.

        Those that fine-tuning made for another API key are not among them.
        """
        found = []
        for name, path in service.folder.usable_loras(owner_of(request)).items():
            facts = path.stat()
            found.append(LoraView(name=name, bytes=facts.st_size, created_at=facts.st_mtime))
        return LorasView(loras=sorted(found, key=lambda lora: -lora.created_at))

    return router
