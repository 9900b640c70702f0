"""Recall against overlaps worked out by hand, and against the integral that average recall is."""

from pathlib import Path

import numpy as np
import pytest

from frcnn.repro import recall as measure
from frcnn.repro.proposals import ProposalsError
from frcnn.repro.recall import ALL, CLASS_MEAN, DIFFICULT, NOT_DIFFICULT, recall
from frcnn.repro.voc import Photograph, Split, Thing

WHOLE = (0.0, 0.0, 99.0, 99.0)


def split_of(*photographs, classes=("cat", "dog", "cow")):
    """A split of photographs 100 x 100, each given by its things (name, difficult), all of them the whole image."""
    return Split(
        Path(),
        "2007",
        "val",
        classes,
        tuple(
            Photograph(str(k), Path(), 100, 100, tuple(Thing(name, WHOLE, difficult) for name, difficult in things))
            for k, things in enumerate(photographs)
        ),
        (),
    )


def covering(*percents):
    """Proposals that overlap the whole image by so many hundredths exactly: as many rows of 100."""
    return np.float32([[0, 0, 99, percent - 1] for percent in percents]).reshape(-1, 4)


def by_group(rows):
    return {row.group: row for row in rows}


CASE = split_of([("cat", False)], [("cat", False)], [("cat", False), ("dog", True)], [], [("dog", False)])
FOUND = {"0": covering(20, 95, 95), "1": covering(70), "2": covering(49, 50), "3": covering(), "4": covering()}


def test_an_object_counts_from_exactly_the_threshold_on_by_its_best_proposal():
    cat = by_group(recall(CASE, FOUND))["cat"]
    assert cat.overlaps == (0.95, 0.7, 0.5)
    assert cat.at == (1, 2 / 3, 2 / 3, 1 / 3, 1 / 3)


def test_objects_without_any_proposal_are_missed_and_not_left_out():
    dog = by_group(recall(CASE, FOUND))["dog"]
    assert (dog.overlaps, dog.at, dog.average) == ((0.0,), (0,) * 5, 0)


def test_difficult_objects_are_in_all_and_in_a_group_of_their_own_alone():
    groups = by_group(recall(CASE, FOUND, [0.5]))
    sizes = {name: len(row.overlaps) for name, row in groups.items()}
    assert sizes == {ALL: 5, NOT_DIFFICULT: 4, DIFFICULT: 1, CLASS_MEAN: 4, "cat": 3, "dog": 1, "cow": 0}
    assert [groups[name].at for name in (ALL, NOT_DIFFICULT, DIFFICULT)] == [(4 / 5,), (3 / 4,), (1,)]


def test_the_mean_of_classes_gives_each_class_with_objects_the_same_weight():
    mean = by_group(recall(CASE, FOUND, [0.5, 0.7]))[CLASS_MEAN]
    assert mean.at == (1 / 2, 1 / 3)


def test_average_recall_is_twice_the_integral_of_recall_from_a_half_to_one():
    thresholds = np.linspace(0.5, 1, 10_001)[1:]  # the upper end of each of 10,000 intervals
    for row in recall(CASE, FOUND, thresholds.tolist())[:3]:
        # Recall falls by 1/n at each of n overlaps: a sum over intervals is wrong by one of them at most.
        assert row.average == pytest.approx(np.mean(row.at), abs=1 / 10_000)


def test_the_average_of_hand_worked_overlaps():
    assert by_group(recall(CASE, FOUND))["cat"].average == pytest.approx(2 / 3 * (0.45 + 0.2 + 0), rel=1e-15)


def test_a_class_without_objects_has_no_recall_and_a_dash_in_the_table():
    rows = recall(CASE, FOUND)
    cow = by_group(rows)["cow"]
    assert np.isnan([*cow.at, cow.average]).all()
    line = measure.table(rows).splitlines()[-1].split()
    assert line == ["cow", "0", "-", "-", "-", "-", "-", "-"]


def test_the_table_has_a_column_for_each_threshold():
    lines = measure.table(recall(CASE, FOUND, [0.5, 0.75]), [0.5, 0.75]).splitlines()
    assert lines[0].split() == ["objects", "IoU", "0.5", "IoU", "0.75", "average"]
    assert next(line for line in lines if line.startswith("cat")).split()[1:4] == ["3", "1.000", "0.333"]


@pytest.mark.parametrize("threshold", [0, -0.5, 1.01, np.nan])
def test_a_threshold_that_no_overlap_can_be_held_to_is_refused(threshold):
    with pytest.raises(ValueError, match=f"at most at 1, got {threshold}"):
        recall(CASE, FOUND, [0.5, threshold])


def test_a_photograph_without_proposals_is_an_error_even_where_it_has_no_objects():
    with pytest.raises(ProposalsError, match="photograph 3 of 2007 val"):
        recall(CASE, {name: boxes for name, boxes in FOUND.items() if name != "3"})


def test_the_plot_shows_recall_of_the_three_groups_over_all_classes(tmp_path, monkeypatch):
    from matplotlib.figure import Figure

    figures = []
    saved = Figure.savefig
    monkeypatch.setattr(Figure, "savefig", lambda self, *args, **kw: (figures.append(self), saved(self, *args, **kw)))
    rows = recall(CASE, FOUND)
    measure.plot(tmp_path / "plot.svg", rows, "made up")
    (axes,) = figures[0].axes
    lines = {line.get_label(): dict(zip(*line.get_data(), strict=True)) for line in axes.get_lines()}
    assert [label.partition(":")[0] for label in lines] == ["5 in all", "4 not difficult", "1 difficult"]
    drawn = lines[next(label for label in lines if "not difficult" in label)]
    assert drawn[0.5] == 3 / 4
    assert drawn[1.0] == 0
    assert (tmp_path / "plot.svg").stat().st_size > 0
