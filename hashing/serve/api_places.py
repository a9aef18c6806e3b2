"""Routes about the places of the collection's 3D reconstruction."""

from __future__ import annotations

import threading
from typing import Annotated, Any

import numpy as np
from cachetools import LRUCache, cached
from fastapi import APIRouter, Query, Request
from pydantic import TypeAdapter
from starlette.exceptions import HTTPException
from starlette.responses import Response

from hashpipe.common.errors import UserError
from hashpipe.common.files import fingerprint
from hashpipe.hashing.serve.api_photos import line
from hashpipe.hashing.serve.collection import Collection
from hashpipe.hashing.serve.schemas import Camera, CloudAnswer, PlaceAnswer, PlaceLine, PlaceList, Problem
from hashpipe.hashing.serve.state import PAGE, State

_COVERS = 5
_CACHED = 64_000_000  # bytes of models from above, some 600,000 each
_CLOUD = TypeAdapter(CloudAnswer)
Offset = Annotated[int, Query(ge=0)]
Limit = Annotated[int, Query(ge=1, le=PAGE)]


def routes(state: State) -> APIRouter:
    router = APIRouter(prefix="/api", tags=["places"])

    @cached(LRUCache(_CACHED, getsizeof=len), key=lambda key, *_: key, condition=threading.Condition())
    def from_above(key: str, collection: Collection, place: int, model: int) -> bytes:
        """A place from above as JSON, made once for each `key` also where several ask for it at once."""
        return _CLOUD.dump_json(_cloud(collection, place, model))

    @router.get("/places", summary="All places, those with most photos first")
    async def places(offset: Offset = 0, limit: Limit = 24) -> PlaceList:
        def work() -> PlaceList:
            collection = state.latest()
            numbers = collection.places.numbers
            lines = [_place(collection, int(number)) for number in numbers[offset : offset + limit]]
            following = offset + limit if offset + limit < len(numbers) else None
            return PlaceList(collection.index.revision, len(numbers), offset, following, lines)

        return await state.look(work)

    @router.get("/places/{place}", responses={404: {"model": Problem}}, summary="The photos of a place")
    async def one_place(place: int, offset: Offset = 0, limit: Limit = 60) -> PlaceAnswer:
        def work() -> PlaceAnswer:
            collection = state.latest()
            rows = collection.places.rows(place)
            if not len(rows):
                raise _unknown(place)
            lines = [line(collection, row) for row in rows[offset : offset + limit].tolist()]
            following = offset + limit if offset + limit < len(rows) else None
            models = collection.places.models.get(place, [])
            return PlaceAnswer(collection.index.revision, place, len(rows), offset, following, models, lines)

        return await state.look(work)

    @router.get(
        "/places/{place}/cloud",
        response_model=CloudAnswer,
        responses={304: {"description": "as it was (If-None-Match)"}, 404: {"model": Problem}, 410: {"model": Problem}},
        summary="The 3D points of a place from above, and its cameras",
    )
    async def cloud(
        request: Request,
        place: int,
        model: Annotated[int | None, Query(description="one of the place's models, else its first")] = None,
    ) -> Response:
        asked = request.headers.get("if-none-match")

        def work() -> Response:
            collection = state.latest()
            if not len(collection.places.rows(place)):
                raise _unknown(place)
            models = collection.places.models.get(place, [])
            if not models or (model is not None and model not in models):
                raise HTTPException(404, f"Place {place} has no 3D model{'' if model is None else f' {model}'}.")
            chosen = models[0] if model is None else model
            try:
                key = fingerprint(place, chosen, collection.index.revision, collection.places.stamp(chosen))
                headers = {"ETag": f'"{key}"', "Cache-Control": "private, no-cache"}
                if asked == headers["ETag"]:
                    return Response(status_code=304, headers=headers)
                content = from_above(key, collection, place, chosen)
            except UserError as error:
                raise HTTPException(410, str(error)) from None
            return Response(content, media_type="application/json", headers=headers)

        return await state.draw(work)

    return router


def _unknown(place: int) -> HTTPException:
    return HTTPException(404, f"There is no place {place} in this collection.")


def _place(collection: Collection, place: int) -> PlaceLine:
    rows = collection.places.rows(place)
    covers = rows[:: max(1, len(rows) // _COVERS)][:_COVERS]
    return PlaceLine(place, len(rows), collection.ids[covers].tolist(), collection.places.models.get(place, []))


def _cloud(collection: Collection, place: int, model: int) -> CloudAnswer:
    view = collection.places.view(model)
    rows = [collection.places.by_name.get(name) for name in view.names]
    cameras = [
        Camera(None if row is None else int(collection.ids[row]), name, at[:2], looks, at[2], tilt)
        for row, name, at, looks, tilt in zip(
            rows, view.names, view.centers.tolist(), _rounded(view.looks), _rounded(view.tilts), strict=True
        )
    ]
    rgb = view.colors.astype(int) @ [65536, 256, 1]
    x, y, z = view.points.T.tolist() if len(view.points) else ([], [], [])
    return CloudAnswer(place, model, view.total, view.width, view.height, x, y, z, rgb.tolist(), cameras)


def _rounded(values: np.ndarray) -> list[Any]:
    """Numbers for JSON, to three digits."""
    return list(np.round(values.astype(float), 3).tolist())
