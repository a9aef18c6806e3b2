"""Routes about single photos and the collection as a whole."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Query, Request
from starlette.exceptions import HTTPException
from starlette.responses import Response

from hashpipe.common.distribution import installed_version
from hashpipe.common.errors import UserError
from hashpipe.common.known_files import KnownFiles
from hashpipe.hashing.serve.collection import Collection
from hashpipe.hashing.serve.pictures import GonePhoto, OutsidePhoto, open_inside
from hashpipe.hashing.serve.schemas import Health, Info, Limits, PhotoFacts, PhotoLine, PhotoList, Problem
from hashpipe.hashing.serve.state import DEPTH, PAGE, State
from hashpipe.hashing.serve.uploads import NAMES
from hashpipe.pairgen.photos.load import UnreadablePhoto
from hashpipe.pairgen.photos.same import ChangedPhoto

GONE = "The photo has been deleted or moved since it was encoded; run `hashpipe index remove --missing`."
CHANGED = "The photo has changed since it was encoded; run `hashpipe encode` and `hashpipe index add` again."
OUTSIDE = "The photo is a link that leads out of the collection; name its folder with --also to have it shown."


def known_row(collection: Collection, photo: int) -> int:
    """Row of a photo id; HTTPException 404 where the collection does not hold it."""
    row = collection.row(photo)
    if row < 0:
        raise HTTPException(404, f"There is no photo {photo} in this collection.")
    return row


def place_of(collection: Collection, row: int) -> int | None:
    place = int(collection.places.of_row[row])
    return place if place >= 0 else None


def line(collection: Collection, row: int) -> PhotoLine:
    return PhotoLine(int(collection.ids[row]), collection.name(row), place_of(collection, row), collection.quality(row))


def routes(state: State) -> APIRouter:
    router = APIRouter(prefix="/api", tags=["photos"])
    known = KnownFiles()

    @router.get("/health", summary="Whether the server answers")
    async def health() -> Health:
        collection = await state.look(state.latest)
        problem = state.latest.problem or None
        return Health("stale" if problem else "ok", collection.index.revision, len(collection), problem)

    @router.get("/info", summary="What is served")
    async def info() -> Info:
        collection = await state.look(state.latest)
        try:
            grouped = await state.look(state.groups, collection) is not None
        except UserError:
            grouped = True  # the view says what is wrong with them
        return Info(
            installed_version(),
            len(collection),
            len(collection.places.numbers),
            grouped,
            collection.index.space.bits,
            collection.index.space.fingerprint,
            collection.index.revision,
            collection.radius,
            collection.false_match_rate,
            Limits(state.options.upload_mb * 1_000_000, state.options.megapixels, PAGE, DEPTH),
            NAMES,
        )

    @router.get("/photos", summary="All photos, page by page")
    async def photos(
        offset: Annotated[int, Query(ge=0)] = 0, limit: Annotated[int, Query(ge=1, le=PAGE)] = 24
    ) -> PhotoList:
        def work() -> PhotoList:
            collection = state.latest()
            rows = range(offset, min(offset + limit, len(collection)))
            following = offset + limit if offset + limit < len(collection) else None
            lines = [line(collection, row) for row in rows]
            return PhotoList(collection.index.revision, len(collection), offset, following, lines)

        return await state.look(work)

    @router.get("/photos/{photo}", responses={404: {"model": Problem}}, summary="What is known of a photo")
    async def facts(photo: int) -> PhotoFacts:
        def work() -> PhotoFacts:
            collection = state.latest()
            row = known_row(collection, photo)
            path = collection.index.path(row)
            try:
                open_inside(path, collection.roots).close()
                problem = CHANGED if known.state(path, collection.index.sha256(row)) == "changed" else None
            except (GonePhoto, OutsidePhoto) as error:
                problem = GONE if isinstance(error, GonePhoto) else OUTSIDE
            return PhotoFacts(
                photo,
                collection.name(row),
                place_of(collection, row),
                collection.quality(row),
                collection.index.codes[row].tobytes().hex(),
                collection.places.taken_at[row].as_py(),
                problem,
            )

        return await state.look(work)

    @router.get(
        "/photos/{photo}/thumbnail",
        response_class=Response,
        responses={
            200: {
                "content": {"image/jpeg": {"schema": {"type": "string", "format": "binary"}}},
                "description": "JPEG, upright, without metadata",
            },
            304: {"description": "as it was (If-None-Match)"},
            **{status: {"model": Problem} for status in (403, 404, 410, 422)},
        },
        summary="A photo as a picture",
    )
    async def thumbnail(
        request: Request,
        photo: int,
        size: Annotated[Literal["small", "large"], Query(description="longest side 360 or 1600 pixels")] = "small",
    ) -> Response:
        def work() -> tuple[bytes, str]:
            collection = state.latest()
            row = known_row(collection, photo)
            try:
                return state.picture(collection.index.path(row), size, collection.roots, collection.index.sha256(row))
            except GonePhoto:
                raise HTTPException(410, GONE) from None
            except ChangedPhoto:
                raise HTTPException(410, CHANGED) from None
            except OutsidePhoto:
                raise HTTPException(403, OUTSIDE) from None
            except UnreadablePhoto as error:
                raise HTTPException(422, f"The photo cannot be read any more ({error.reason}).") from None

        content, key = await state.draw(work)
        # shown again only after asking: the photo may have been deleted, and must not outlive that in a cache
        headers = {"ETag": f'"{key}"', "Cache-Control": "private, no-cache"}
        if request.headers.get("if-none-match") == headers["ETag"]:
            return Response(status_code=304, headers=headers)
        return Response(content, media_type="image/jpeg", headers=headers)

    return router
