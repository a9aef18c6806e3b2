"""Tables in Markdown: mAP with its standard error over places, and the lead over the best baseline."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np

from nested import baselines
from nested.choice import Cell, Group, Store, choose, group_of, groups

CHOSEN = "chosen"
Chosen = Mapping[tuple[int, Group], str]  # outer fold and group -> variant


def choices(
    store: Store, cells: Sequence[Cell], names: Sequence[str], per: str, cap: float, say: Callable[[str], None]
) -> dict[tuple[int, Group], str]:
    """The variant of every outer fold and group; tells what the choice goes by."""
    found = {}
    for group, inside in groups(cells, per).items():
        say(f"\n**choice**{' for ' + ' '.join(map(str, group)) if group else ''}: gain in score over {names[0]}\n")
        told = {}
        for fold in sorted(set(store.fold.values())):
            found[fold, group], told[fold] = choose(store, inside, names, fold, cap)
        say("| left out | " + " | ".join(map(str, told)) + " |\n" + "|---" * (len(told) + 1) + "|")
        for name in names:
            gains = (f"{one[name][1]:+.4f} ± {one[name][2]:.4f}" for one in told.values())
            say(f"| {name} | " + " | ".join(gains) + " |")
        say("| chosen | " + " | ".join(found[fold, group] for fold in told) + " |")
    return found


def mean_and_error(values: Sequence[float] | np.ndarray) -> tuple[float, float]:
    """Mean over places and its standard error; the error of one place is nan."""
    values = np.asarray(values, float)
    error = values.std(ddof=1) / len(values) ** 0.5 if len(values) > 1 else float("nan")
    return float(values.mean()), float(error)


def reported(store: Store, cell: Cell, name: str, chosen: Chosen, per: str) -> dict[int, float] | None:
    """mAP by place of a method, variant, or CHOSEN; None where a fit is absent."""
    try:
        if name != CHOSEN:
            return store.outer(cell, name)
        group = group_of(cell, per)
        of = {fold: store.outer(cell, one) for (fold, its_group), one in chosen.items() if its_group == group}
    except KeyError:
        return None
    if set(of) != set(store.fold.values()):
        return None
    return {place: of[fold][place] for place, fold in sorted(store.fold.items()) if place in of[fold]}


def lead(store: Store, cell: Cell, values: Mapping[int, float]) -> tuple[str, float, float] | None:
    """The best baseline of a cell, and the difference to it, paired over places, with its standard error.

    The baseline is the best on the very places that are reported, so the lead is not flattered.
    """
    rivals = {name: store.outer(cell, name) for name in baselines.METHODS if store.has_outer(cell, name)}
    if not rivals:
        return None
    best = max(rivals, key=lambda name: mean_and_error(list(rivals[name].values()))[0])
    return best, *mean_and_error([values[place] - rivals[best][place] for place in values])


def tables(store: Store, cells: Sequence[Cell], names: Sequence[str], chosen: Chosen, per: str) -> Iterator[str]:
    """Lines of all tables: one of values and one of leads for every descriptor and form."""
    lengths = list(dict.fromkeys(bits for _, _, bits in cells))
    for descriptor, form in dict.fromkeys((descriptor, form) for descriptor, form, _ in cells):
        yield f"\n**{descriptor}, {form}** (mAP ± standard error over places)\n"
        yield "| | " + " | ".join(f"{bits} bits" for bits in lengths) + " |"
        yield "|---" * (len(lengths) + 1) + "|"
        leads = []
        for name in (CHOSEN, *names, *baselines.METHODS, baselines.FLOAT):
            found = [reported(store, (descriptor, form, bits), name, chosen, per) for bits in lengths]
            if not any(found):
                continue
            yield f"| {name} | " + " | ".join(_cell(one) for one in found) + " |"
            if name in (CHOSEN, *names):
                own = [(descriptor, form, bits) for bits in lengths]
                above = [one and lead(store, cell, one) for cell, one in zip(own, found, strict=True)]
                leads.append(f"| {name} - best baseline | " + " | ".join(_lead(one) for one in above) + " |")
        yield from leads


def _cell(values: Mapping[int, float] | None) -> str:
    if not values:
        return "-"
    mean, error = mean_and_error(list(values.values()))
    return f"{mean:.3f} ± {error:.3f}"


def _lead(found: tuple[str, float, float] | None) -> str:
    return f"{found[1]:+.3f} ± {found[2]:.3f} ({found[0]})" if found else "-"
