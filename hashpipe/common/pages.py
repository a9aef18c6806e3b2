"""What all pages share: a style sheet, a viewer of 3D models, and how a template becomes a page that works offline."""

from __future__ import annotations

import json
from functools import cache
from importlib import resources
from typing import Any

STYLE, VIEWER = "page.css", "model_viewer.js"  # also served, under these names

_LAYOUT = """\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{% block title %}hashpipe{% endblock %}</title>
<style>
{{ shared(style) }}
{%- block style %}{% endblock %}
</style>
</head>
<body>
<a class="skip" href="#main">Skip to the content</a>
<main class="report" id="main" tabindex="-1">
{% block main %}{% endblock %}
</main>
{% block script %}{% endblock %}
</body>
</html>
"""


@cache
def shared(name: str) -> str:
    """The text of a file that pages share (STYLE, VIEWER)."""
    return resources.files("hashpipe.common").joinpath(name).read_text(encoding="utf-8")


def fill(package: str, template: str, **values: Any) -> str:
    """The page that a template of a package makes of values; it needs nothing but itself (see `fill_text`)."""
    return fill_text(resources.files(package).joinpath(template).read_text(encoding="utf-8"), **values)


def fill_text(template: str, **values: Any) -> str:
    """The page that the text of a template makes of values.

    Templates extend "layout" and fill its blocks title, style, main and script. All values are escaped; `shared(name)`
    is the text of a shared file, `data(value)` is JSON for a <script>. Bytes that are no text are replaced.
    """
    import jinja2
    from markupsafe import Markup

    environment = jinja2.Environment(
        loader=jinja2.DictLoader({"layout": _LAYOUT, "page": template}),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals |= {
        "shared": lambda name: Markup(shared(name)),
        "data": lambda value: Markup(script_data(value)),
        "style": STYLE,
        "viewer": VIEWER,
    }
    return environment.get_template("page").render(values).encode("utf-8", "replace").decode("utf-8")


def script_data(value: Any) -> str:
    """JSON for the inside of a <script>: "<" must not occur in it, or a file name could end the script."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c")
