"""Pictures of a training: what they count, and that the key lies off the curves."""

from __future__ import annotations

import numpy as np
import pytest

from hashpipe.hashing.data.pair_labels import no_targets
from hashpipe.hashing.training import plots


@pytest.mark.parametrize("count", [2, 3, 50])
def test_no_photo_is_paired_with_itself(count: int) -> None:
    code = np.zeros((count, 64), bool)
    code[np.arange(count), np.arange(count)] = True  # any two photos are 2 bits apart, a photo and itself none
    found = plots.distance_counts(code, 64, no_targets(count))
    assert set(found) == {"random"}
    assert np.flatnonzero(found["random"]).tolist() == [2]


@pytest.mark.parametrize("count", [0, 1])
def test_one_photo_has_no_pairs(count: int) -> None:
    assert plots.distance_counts(np.zeros((count, 8), bool), 8, no_targets(count)) == {}


def test_the_key_is_below_the_curves_and_the_validation_has_a_scale_of_its_own(tmp_path, monkeypatch) -> None:
    drawn = []
    monkeypatch.setattr("matplotlib.figure.Figure.savefig", lambda figure, path: drawn.append(figure))
    lines = [{"bits": 8, "step": 10 * at, "loss": 400.0 / (at + 1), "pairs": 1.0, "validation": 0.5} for at in range(5)]
    counted = [{"bits": 8, "step": 9, "distances": {"similar": [4, 2, 0, 0, 0, 0, 0, 0, 0]}}]
    plots._losses(tmp_path / "loss.png", lines, "8 bits")
    plots._epochs(tmp_path / "epochs.png", counted, 8, {"similar": np.array([6, 0, 0, 0, 0, 0, 0, 0, 0])})
    plots._distances(tmp_path / "distances.png", {"similar": np.array([6, 0, 0, 0, 0, 0, 0, 0, 0])}, 8)
    for figure in drawn:
        axes = figure.axes[0]
        assert axes.get_yscale() == "linear"
        figure.canvas.draw()
        assert axes.get_legend().get_window_extent().y1 < axes.get_window_extent().y0
        assert axes.get_legend().get_window_extent().y0 >= 0
    losses, epochs, _ = drawn
    assert [line.get_label() for line in losses.axes[0].get_lines()][:2] == ["loss", "pairs"]
    assert losses.axes[1].get_ylim() == (0, 1)
    assert "after the last step" in epochs.axes[0].get_legend().get_texts()[-1].get_text()
