"""What the API answers with. FastAPI makes its documentation from these classes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Any

from pydantic import Field


def about(text: str) -> Any:
    return Field(description=text)


PhotoId = Annotated[int, about("id of a photo; ids stay with their photo when the index grows")]
PlaceId = Annotated[int, about("number of a place of the collection's 3D reconstruction")]
Next = Annotated[int | None, about("offset of the next page, null on the last one")]
Revision = Annotated[str, about("revision of the index; it changes whenever the index does")]
Name = Annotated[str, about("file of the photo, relative to the folder of the collection")]


@dataclass(frozen=True)
class Problem:
    """Every refusal: one sentence that says what is wrong and what to do."""

    detail: str


@dataclass(frozen=True)
class Health:
    status: Annotated[str, about("ok, or stale while a newer index cannot be opened and the old one is served")]
    revision: Revision
    photos: int
    problem: Annotated[str | None, about("why the newer index cannot be opened; it is tried again")] = None


@dataclass(frozen=True)
class Limits:
    upload_bytes: int
    megapixels: int
    page: Annotated[int, about("most entries of one page")]
    depth: Annotated[int, about("last result that can be paged to")]


@dataclass(frozen=True)
class Info:
    version: str
    photos: int
    places: int
    groups: Annotated[bool, about("whether groups of duplicates have been made (`hashpipe groups`)")]
    bits: Annotated[int, about("length of the codes; distances run from 0 to this")]
    space: Annotated[str, about("fingerprint of model, length and thresholds; codes of another space do not compare")]
    revision: Revision
    radius: Annotated[int | None, about("calibrated radius, null where `hashpipe calibrate` has not run")]
    false_match_rate: Annotated[float | None, about("share of photos of other places within the radius")]
    limits: Limits
    formats: str


@dataclass(frozen=True)
class Hit:
    photo: PhotoId
    distance: Annotated[int, about("Hamming distance of the codes, in bits")]
    name: Name
    place: PlaceId | None
    quality: Annotated[float, about("0 (flat or tiny: its code is unreliable) to 1")]


@dataclass(frozen=True)
class Query:
    photo: PhotoId | None
    code: Annotated[str, about("the query's code as hexadecimal bytes")]
    quality: float | None
    name: str | None = None
    place: PlaceId | None = None
    same: Annotated[int | None, about("id of the photo of the collection that is the very file that was sent")] = None


@dataclass(frozen=True)
class SearchAnswer:
    """Nearest photos first; equal distances in the order of the index."""

    revision: Revision
    space: str
    bits: int
    query: Query
    radius: int | None
    offset: int
    next: Next
    results: list[Hit]
    within: Annotated[
        list[int] | None, about("photos within 0, 1, ... bits of the query, for the whole collection; with counts=true")
    ] = None
    note: Annotated[str | None, about("notes about this answer")] = None


@dataclass(frozen=True)
class PhotoLine:
    photo: PhotoId
    name: Name
    place: PlaceId | None
    quality: float


@dataclass(frozen=True)
class PhotoList:
    revision: Revision
    total: int
    offset: int
    next: Next
    photos: list[PhotoLine]


@dataclass(frozen=True)
class PhotoFacts:
    photo: PhotoId
    name: Name
    place: PlaceId | None
    quality: float
    code: str
    taken_at: Annotated[str | None, about("ISO 8601, from the photo's own metadata")]
    problem: Annotated[str | None, about("why the photo cannot be shown; null where it can")]


@dataclass(frozen=True)
class PlaceLine:
    place: PlaceId
    photos: int
    covers: Annotated[list[int], about("some photos of the place")]
    models: Annotated[list[int], about("its 3D models, the one with most photos first")]


@dataclass(frozen=True)
class PlaceList:
    revision: Revision
    total: int
    offset: int
    next: Next
    places: list[PlaceLine]


@dataclass(frozen=True)
class PlaceAnswer:
    revision: Revision
    place: PlaceId
    total: int
    offset: int
    next: Next
    models: list[int]
    photos: list[PhotoLine]


@dataclass(frozen=True)
class Camera:
    photo: PhotoId | None
    name: str
    at: Annotated[list[int], about("x, y")]
    looks: Annotated[list[float], about("unit vector: where the camera looks, seen from above")]
    z: Annotated[int, about("height above the ground of the model")] = 0
    tilt: Annotated[float, about("sine of the angle that the camera looks upwards by")] = 0.0


@dataclass(frozen=True)
class CloudAnswer:
    """A 3D model from above. Cameras look towards +y on average; the longer side of what is shown is 2000 units."""

    place: PlaceId
    model: int
    total: Annotated[int, about("points of the model; a sample of at most 20,000 is sent")]
    width: int
    height: int
    x: list[int]
    y: list[int]
    z: Annotated[list[int], about("height above the ground of the model")]
    rgb: Annotated[list[int], about("red * 65536 + green * 256 + blue")]
    cameras: list[Camera] = field(default_factory=list)


@dataclass(frozen=True)
class GroupPhoto:
    photo: PhotoId
    name: Name
    place: PlaceId | None
    quality: float
    distance: Annotated[int, about("bits from the centre of the group")]
    best: Annotated[bool, about("the photo to keep, if one is kept; nothing is ever deleted")]


@dataclass(frozen=True)
class GroupAnswer:
    kind: Annotated[str, about("exact (same bytes), near (one shot), burst, or place")]
    group: int
    why_best: str
    total: int
    offset: int
    next: Next
    photos: list[GroupPhoto]


@dataclass(frozen=True)
class GroupList:
    revision: Revision
    kind: str
    kinds: Annotated[dict[str, int], about("groups of every kind")]
    radius: Annotated[int | None, about("largest distance of a photo from the centre of its group, in bits")]
    total: int
    offset: int
    next: Next
    groups: Annotated[list[GroupAnswer], about("each with its first photos, the best one first")]
    notes: list[str]
