"""What a build says about the difference to the one before."""

from __future__ import annotations

from hashpipe.pairgen.diff import Contents, compare, describe_changes


def held(places: list[str], lone: str = "", pairs: dict[str, int] | None = None) -> Contents:
    photos = frozenset("".join(places) + lone)
    labels = {(min(pair), max(pair)): label for pair, label in (pairs or {}).items()}
    return Contents(photos, tuple(frozenset(place) for place in places), labels)


def test_every_kind_of_change() -> None:
    before = held(["abc", "def", "ghi", "xyz"], "m", {"ab": 1, "de": 1, "ad": -1, "gh": 1})
    after = held(["abc", "defn", "gi", "opq"], "m", {"ab": 1, "de": 1, "ad": 1, "dn": 1})
    found = compare(before, after)
    assert found["photos"] == {"new": 4, "gone": 4, "kept": 9}
    assert found["places"] == {"new": 1, "gone": 1, "grown": 1, "changed": 1, "unchanged": 1}
    assert found["pairs"] == {"new": 2, "gone": 2, "kept": 2}
    text = describe_changes(found)
    assert "photos 4 new, 4 gone, 9 kept" in text
    assert "places 1 new, 1 gone, 1 grown, 1 changed, 1 unchanged" in text


def test_two_places_that_become_one_and_one_that_falls_apart() -> None:
    joined = compare(held(["abc", "de"]), held(["abcde"]))["places"]
    assert joined == {"new": 0, "gone": 0, "grown": 1, "changed": 0, "unchanged": 0}
    apart = compare(held(["abcdef"]), held(["abc", "def"]))["places"]
    assert apart == {"new": 0, "gone": 0, "grown": 0, "changed": 2, "unchanged": 0}


def test_no_change_and_a_first_build() -> None:
    same = held(["abc"], "d", {"ab": 1})
    assert describe_changes(compare(same, same)) == "nothing since the last build"
    assert compare(held([]), same)["places"]["new"] == 1


def test_photos_under_other_names_are_said() -> None:
    before, after = (Contents(frozenset("ab"), (), {}, names) for names in ({"a": "1", "b": "2"}, {"a": "1", "b": "3"}))
    assert compare(before, after)["photos"] == {"new": 0, "gone": 0, "kept": 2, "renamed": 1}
    assert describe_changes(compare(before, after)) == "photos 2 kept, 1 renamed"
    assert describe_changes(compare(before, before)) == "nothing since the last build"
