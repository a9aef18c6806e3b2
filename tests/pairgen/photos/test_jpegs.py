"""Small pictures for pages."""

from __future__ import annotations

import base64
import io

import numpy as np
from PIL import Image

from hashpipe.pairgen.photos.jpegs import as_jpeg, as_uri, small


def test_small_upright_and_without_metadata(tmp_path):
    pixels = np.zeros((100, 200, 3), np.uint8)
    pixels[:, :100, 0] = 255  # red on the left
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned clockwise: red comes to the top
    exif[0x010E] = "a secret"
    Image.fromarray(pixels).save(tmp_path / "a.jpg", exif=exif)
    picture = small(tmp_path / "a.jpg", 50)
    assert picture is not None
    uri = as_uri(picture)
    assert uri.startswith("data:image/jpeg;base64,")
    content = base64.b64decode(uri.split(",")[1])
    assert content == as_jpeg(picture)
    assert b"secret" not in content
    shown = Image.open(io.BytesIO(content))
    assert (shown.format, shown.size, dict(shown.getexif())) == ("JPEG", (25, 50), {})
    assert shown.getpixel((12, 5))[0] > 200
    assert shown.getpixel((12, 45))[0] < 50


def test_none_where_there_is_no_photo(tmp_path):
    (tmp_path / "text.jpg").write_text("no photo")
    assert small(tmp_path / "text.jpg", 50) is None
    assert small(tmp_path / "gone.jpg", 50) is None
