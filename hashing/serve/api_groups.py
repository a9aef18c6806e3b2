"""Routes about the groups of duplicates, bursts and places that `hashpipe groups` found."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Query
from starlette.exceptions import HTTPException

from hashpipe.hashing.serve.api_photos import place_of
from hashpipe.hashing.serve.collection import Collection
from hashpipe.hashing.serve.schemas import GroupAnswer, GroupList, GroupPhoto, Problem
from hashpipe.hashing.serve.state import PAGE, State
from hashpipe.hashing.serve.stored_groups import KINDS, StoredGroup, StoredGroups

_FIRST = 12  # photos of a group in a listing

Kind = Literal["exact", "near", "burst", "place"]


def routes(state: State) -> APIRouter:
    router = APIRouter(prefix="/api", tags=["groups"])

    @router.get("/groups", responses={404: {"model": Problem}}, summary="Groups of one kind, page by page")
    async def groups(
        kind: Annotated[Kind | None, Query(description="without it the first kind that has groups")] = None,
        offset: Annotated[int, Query(ge=0)] = 0,
        limit: Annotated[int, Query(ge=1, le=50)] = 10,
    ) -> GroupList:
        def work() -> GroupList:
            collection = state.latest()
            known = _known(state, collection)
            counts = {name: len(of_kind) for name, of_kind in known.kinds.items()}
            chosen: str = kind or next((name for name in KINDS if counts[name]), KINDS[0])
            listed = known.kinds[chosen]
            shown = [_answer(collection, chosen, group, 0, _FIRST) for group in listed[offset : offset + limit]]
            following = offset + limit if offset + limit < len(listed) else None
            revision = collection.index.revision
            return GroupList(
                revision, chosen, counts, known.radius, len(listed), offset, following, shown, list(known.notes)
            )

        return await state.look(work)

    @router.get("/groups/{kind}/{group}", responses={404: {"model": Problem}}, summary="The photos of a group")
    async def one_group(
        kind: Kind,
        group: int,
        offset: Annotated[int, Query(ge=0)] = 0,
        limit: Annotated[int, Query(ge=1, le=PAGE)] = 60,
    ) -> GroupAnswer:
        def work() -> GroupAnswer:
            collection = state.latest()
            for one in _known(state, collection).kinds[kind]:
                if one.number == group:
                    return _answer(collection, kind, one, offset, limit)
            raise HTTPException(404, f"There is no group {group} of kind {kind}.")

        return await state.look(work)

    return router


def _known(state: State, collection: Collection) -> StoredGroups:
    known = state.groups(collection)
    if known is None:
        raise HTTPException(404, "No groups have been made; run `hashpipe groups`.")
    return known


def _answer(collection: Collection, kind: str, group: StoredGroup, offset: int, limit: int) -> GroupAnswer:
    end = offset + limit
    photos = [
        GroupPhoto(
            int(collection.ids[row]),
            collection.name(row),
            place_of(collection, row),
            collection.quality(row),
            distance,
            offset + at == 0,
        )
        for at, (row, distance) in enumerate(
            zip(group.rows[offset:end].tolist(), group.distances[offset:end].tolist(), strict=True)
        )
    ]
    following = end if end < len(group.rows) else None
    return GroupAnswer(kind, group.number, group.why_best, len(group.rows), offset, following, photos)
