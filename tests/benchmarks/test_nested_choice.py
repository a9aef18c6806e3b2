"""The rule that variants are chosen by, and the tables."""

from __future__ import annotations

import math

import pytest
from nested import choice, protocol, tables
from nested.variants import given

FOLDS = {place: place % 5 for place in range(20)}
CELLS = [("toy", form, 16) for form in ("known", "unseen")]
RIVALS = {"itq": 0.80, "itq/recentred": 0.79}


def lines(values: dict[str, dict[str, float]], seeds=(0,), shift=lambda method, form, place, hidden, seed: 0.0):
    """Results of made-up fits: values[form][method] plus a little by place, plus `shift`."""
    found: list[dict] = [{"run": "", "data": "d", "folds": {str(place): fold for place, fold in FOLDS.items()}}]
    for form, methods in values.items():
        for hidden in dict.fromkeys([*protocol.outer(form), *protocol.inner(form)]):
            for seed in seeds:
                fits = {
                    method: {method: methods[method]} for method in methods if method not in choice.baselines.METHODS
                }
                rivals = {method: methods[method] for method in methods if method in choice.baselines.METHODS}
                for fit, inside in {**fits, "itq": rivals, "pca": {"pca": 0.1, "pca/recentred": 0.1}}.items():
                    by_place = {
                        method: {
                            str(place): value + 0.01 * (place % 3) + shift(method, form, place, hidden, seed)
                            for place, fold in FOLDS.items()
                            if form == "known" or fold in hidden
                        }
                        for method, value in inside.items()
                    }
                    line = {"descriptor": "toy", "form": form, "hidden": list(hidden), "bits": 16, "seed": seed}
                    key = f"{form}{hidden}{seed}{fit}"
                    line |= {"method": fit, "data": "d", "code": "c", "key": key, "map": by_place, "seconds": 1.0}
                    found.append(line)
    return found


def chosen(values, names, left_out=0, **more):
    return choice.choose(choice.Store(lines(values, **more)), CELLS, names, left_out, 0.02)[0]


def test_the_better_variant_is_chosen():
    values = {form: RIVALS | {"default": 0.801, "steps=9": 0.81} for form in ("known", "unseen")}
    assert chosen(values, ["default", "steps=9"]) == "steps=9"


def test_a_large_lead_does_not_pay_for_a_loss():
    values = {"known": RIVALS | {"default": 0.805, "odd": 0.99}, "unseen": RIVALS | {"default": 0.795, "odd": 0.76}}
    assert chosen(values, ["default", "odd"]) == "default"


def test_a_gain_within_its_error_leaves_the_default():
    values = {form: RIVALS | {"default": 0.80, "luck": 0.80} for form in ("known", "unseen")}

    def shift(method, form, place, hidden, seed):
        return (0.02 if place % 2 else -0.015) if method == "luck" else 0.0  # places do not agree

    assert chosen(values, ["default", "luck"], shift=shift) == "default"
    assert chosen(values, ["default", "luck"], shift=lambda method, *_: 0.005 * (method == "luck")) == "luck"


@pytest.mark.parametrize("form", ["known", "unseen"])
def test_scores_of_a_fold_have_no_say_in_its_choice(form):
    values = {one: RIVALS | {"default": 0.80, "new": 0.81} for one in ("known", "unseen")}
    names = ["default", "new"]

    def against(fold):
        """`new` is dreadful on one fold, and where that fold is scored alone."""
        return lambda method, its_form, place, hidden, seed: -0.5 * (method == "new" and FOLDS[place] == fold)

    assert chosen(values, names, left_out=3, shift=against(3)) == "new"
    assert chosen(values, names, left_out=2, shift=against(3)) == "default"


def test_only_fits_that_hide_the_fold_left_out_are_asked():
    values = {form: RIVALS | {"default": 0.80, "new": 0.81} for form in ("known", "unseen")}

    def shift(method, form, place, hidden, seed):
        return -0.5 * (method == "new" and form == "unseen" and 3 not in hidden)

    assert chosen(values, ["default", "new"], left_out=3, shift=shift) == "new"


def test_standard_errors_equal_a_slow_computation():
    def shift(method, form, place, hidden, seed):
        return 0.01 * seed * (place % 4) + (0.003 * place if method == "default" else 0.0)

    values = {form: RIVALS | {"default": 0.80} for form in ("known", "unseen")}
    made = lines(values, seeds=(0, 1, 2), shift=shift)
    store, cell = choice.Store(made), CELLS[1]
    mine, rival = store.outer(cell, "default"), store.outer(cell, "itq")

    def slow(method, place):
        found = [
            line["map"][method][str(place)]
            for line in made
            if "key" in line and line["hidden"] == [FOLDS[place]] and method in line["map"] and line["form"] == cell[1]
        ]
        assert len(found) == 3
        return sum(found) / 3

    for method, values_of in (("default", mine), ("itq", rival)):
        assert values_of == pytest.approx({place: slow(method, place) for place in FOLDS})
    gaps = [slow("default", place) - slow("itq", place) for place in FOLDS]
    mean = sum(gaps) / len(gaps)
    error = math.sqrt(sum((gap - mean) ** 2 for gap in gaps) / (len(gaps) - 1)) / math.sqrt(len(gaps))
    best, difference, its_error = tables.lead(store, cell, mine)
    assert (best, difference, its_error) == ("itq", pytest.approx(mean), pytest.approx(error))
    text = "\n".join(tables.tables(store, CELLS, ["default"], {}, "all"))
    assert f"{mean:+.3f} ± {error:.3f} (itq)" in text


def test_what_is_reported_as_chosen_is_each_fold_s_own_choice():
    values = {form: RIVALS | {"default": 0.80, "new": 0.81} for form in ("known", "unseen")}
    store = choice.Store(lines(values))
    picked = {(fold, ()): "new" if fold == 2 else "default" for fold in range(5)}
    found = tables.reported(store, CELLS[1], tables.CHOSEN, picked, "all")
    for place, fold in FOLDS.items():
        assert found[place] == store.outer(CELLS[1], picked[fold, ()])[place]
    assert tables.reported(store, CELLS[1], "absent", picked, "all") is None


def test_results_of_older_code_do_not_count():
    values = {"known": RIVALS | {"default": 0.80}}
    old = [dict(line, code="old", key=f"old {line.get('key')}") for line in lines({"known": RIVALS | {"default": 0.1}})]
    assert choice.Store(old[1:] + lines(values)).outer(CELLS[0], "default")[0] == pytest.approx(0.80)


def test_variants_of_the_command_line():
    assert given("noise=0 temperature=.2").settings == {"noise": 0.0, "temperature": 0.2}
    assert given("information=0 steps=20").settings == {"information": False, "steps": 20}
    assert given("no constraint").settings == {"constraint": 0.0}
    assert given("joint").names[0] == "joint, 0.3 start"
    with pytest.raises(SystemExit, match="nothing"):
        given("nothing=1")
