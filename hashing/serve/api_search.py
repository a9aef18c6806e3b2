"""Routes that find photos: by an uploaded photo, by a code, by a photo of the collection."""

from __future__ import annotations

import hashlib
from typing import Annotated

import numpy as np
from fastapi import APIRouter, Query, Request
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException

from hashpipe.hashing.features.quality import LOW
from hashpipe.hashing.serve import schemas
from hashpipe.hashing.serve.api_photos import known_row, place_of
from hashpipe.hashing.serve.collection import Collection
from hashpipe.hashing.serve.schemas import Problem, SearchAnswer
from hashpipe.hashing.serve.search_pages import search
from hashpipe.hashing.serve.state import DEPTH, PAGE, State
from hashpipe.hashing.serve.uploads import NAMES, Asked

Offset = Annotated[int, Query(ge=0, le=DEPTH - PAGE, description="results to skip")]
Limit = Annotated[int, Query(ge=1, le=PAGE, description="results on a page")]
Radius = Annotated[int | None, Query(ge=0, le=4096, description="nothing farther than this, in bits")]
Counts = Annotated[bool, Query(description="also count the photos within every radius")]

_PHOTO = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["photo"],
                    "properties": {"photo": {"type": "string", "format": "binary", "description": NAMES}},
                }
            }
        },
    }
}


def routes(state: State) -> APIRouter:
    router = APIRouter(prefix="/api", tags=["search"])

    @router.post(
        "/search",
        openapi_extra=_PHOTO,
        responses={status: {"model": Problem} for status in (400, 408, 409, 413, 415, 500, 504)},
        summary="Nearest photos of a photo that is sent along",
    )
    async def search_by_upload(
        request: Request, offset: Offset = 0, limit: Limit = 24, radius: Radius = None, counts: Counts = False
    ) -> SearchAnswer:
        """The photo is encoded and not kept. Of a moving picture the first frame counts."""
        async with request.form(max_files=1, max_fields=4, max_part_size=1 << 16) as form:
            photo = form.get("photo")
            if not isinstance(photo, UploadFile):
                raise HTTPException(422, "The request has no photo; send it as the form field `photo`.")
            collection, asked, own = await state.encode(_encode, state, photo)
        # another runtime may have made the codes of the index: a photo that is in it has the code that stands there
        code = asked.code if own < 0 else np.array(collection.index.codes[own])
        same = None if own < 0 else int(collection.ids[own])
        query = schemas.Query(None, code.tobytes().hex(), round(asked.quality, 3), same=same)
        return await state.look(answer, collection, code, query, offset, limit, radius, counts, -1, own)

    @router.get(
        "/search",
        responses={status: {"model": Problem} for status in (409,)},
        summary="Nearest photos of a code",
    )
    async def search_by_code(
        code: Annotated[str, Query(pattern="^([0-9a-fA-F]{2})+$", max_length=1024, description="hexadecimal bytes")],
        space: Annotated[str | None, Query(description="space that the code is from; another one is refused")] = None,
        same: Annotated[int | None, Query(description="photo that comes before others at its distance")] = None,
        offset: Offset = 0,
        limit: Limit = 24,
        radius: Radius = None,
        counts: Counts = False,
    ) -> SearchAnswer:
        def work() -> SearchAnswer:
            collection = state.latest()
            own = collection.index.space
            value = np.frombuffer(bytes.fromhex(code), np.uint8)
            if space is not None and space != own.fingerprint:
                raise HTTPException(
                    409, "The code belongs to another model than the index; search with the photo again."
                )
            if len(value) != own.width or np.unpackbits(value, bitorder="little")[own.bits :].any():
                raise HTTPException(
                    422, f"The code has {8 * len(value)} bits, the index {own.bits}; send a code of that length."
                )
            query = schemas.Query(None, code.lower(), None, same=same)
            first = -1 if same is None else collection.row(same)
            return answer(collection, value, query, offset, limit, radius, counts, own=first)

        return await state.look(work)

    @router.get(
        "/photos/{photo}/similar",
        responses={404: {"model": Problem}},
        summary="Nearest photos of a photo of the collection",
    )
    async def search_by_photo(
        photo: int, offset: Offset = 0, limit: Limit = 24, radius: Radius = None, counts: Counts = False
    ) -> SearchAnswer:
        def work() -> SearchAnswer:
            collection = state.latest()
            row = known_row(collection, photo)
            code = np.array(collection.index.codes[row])
            query = schemas.Query(
                photo, code.tobytes().hex(), collection.quality(row), collection.name(row), place_of(collection, row)
            )
            return answer(collection, code, query, offset, limit, radius, counts, without=row)

        return await state.look(work)

    return router


def _encode(state: State, photo: UploadFile) -> tuple[Collection, Asked, int]:
    """The collection, the code of an upload, and the row of the same file in the collection, -1 where it is not."""
    collection = state.latest()
    photo.file.seek(0)
    content = photo.file.read()  # within the limit of an upload, and only as many at a time as are encoded
    asked = state.describe(collection.index.space, content)
    return collection, asked, collection.index.row_with(hashlib.sha256(content).hexdigest())


def answer(
    collection: Collection,
    code: np.ndarray,
    query: schemas.Query,
    offset: int,
    limit: int,
    radius: int | None,
    counts: bool,
    without: int = -1,
    own: int = -1,
) -> SearchAnswer:
    """The page of results of a code uint8 (W,); `without` and `own` are rows, see `search_pages.search`."""
    found = search(collection, code, offset=offset, limit=limit, radius=radius, without=without, own=own, counts=counts)
    hits = [
        schemas.Hit(
            int(collection.ids[row]),
            int(distance),
            collection.name(row),
            place_of(collection, row),
            collection.quality(row),
        )
        for distance, row in zip(found.distances.tolist(), found.rows.tolist(), strict=True)
    ]
    low = query.quality is not None and query.quality < LOW
    end = offset + limit
    return SearchAnswer(
        collection.index.revision,
        collection.index.space.fingerprint,
        collection.index.space.bits,
        query,
        radius,
        offset,
        end if found.more and end <= DEPTH - PAGE else None,
        hits,
        None if found.within is None else found.within.tolist(),
        "This photo is flat, blurred or tiny: its code is unreliable, and so are the results." if low else None,
    )
