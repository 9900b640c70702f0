"""Files of detections and the table beside the paper's."""

import json
import math

import numpy as np
import pytest
from made_up_answers import split_of

from frcnn.repro import results
from frcnn.repro.voc import VOC_CLASSES

HERE, THERE = (0, 0, 9, 9), (20, 10, 29, 19)


def made():
    split = split_of(("a", "b", "c"), [("a", HERE), ("b", THERE, True)], [("a", THERE), ("a", HERE)])
    by_class = {
        # To three decimals these are one score, and the false one would then be the first.
        "a": np.array([[0, 0.9000001, 10, 10, 15, 15], [0, 0.9000002, *HERE], [1, 0.3, 20.1, 10.7, 29 / 7 + 26, 19]]),
        "b": np.array([[0, 0.5, *THERE]]),
        "c": np.empty((0, 6)),
    }
    return split, by_class


def test_files_read_back_give_the_same_order_and_the_same_average_precision(tmp_path):
    split, by_class = made()
    files = results.write_results(tmp_path, split, by_class)
    assert [file.name for file in files] == [f"comp4_det_val_{name}.txt" for name in "abc"]
    assert files[1].read_text() == "p0 0.5 21.0 11.0 30.0 20.0\n"
    again = results.read_results(tmp_path, split)
    for name in split.classes:
        np.testing.assert_array_equal(again[name][:, :2], by_class[name][:, :2])
        # A coordinate of at most 2^5 is rounded once when 1 is added.
        np.testing.assert_allclose(again[name][:, 2:], by_class[name][:, 2:], rtol=0, atol=2.0**-48)
    first, second = results.evaluate(split, by_class), results.evaluate(split, again)
    assert [result.ap for result in first[:1]] == [result.ap for result in second[:1]]
    assert first[0].ap["area"] == pytest.approx(1 / 3 + 1 / 3 * 2 / 3, rel=1e-12)


def test_a_class_without_objects_that_count_has_no_average_precision_and_is_left_out_of_the_mean():
    split, by_class = made()
    a, b, c = results.evaluate(split, by_class)
    assert (a.objects, b.objects, c.objects) == (3, 0, 0)
    assert b.marks.tolist() == [-1]
    assert math.isnan(b.ap["area"])
    assert math.isnan(c.ap["11-point"])
    assert results.mean_ap([a, b, c], "area") == a.ap["area"]
    assert math.isnan(results.mean_ap([b, c], "area"))


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("p0 0.5 1 1 5", "line 2, must be an id and five numbers"),
        ("p0 nan 1 1 5 5", "line 2, must be an id and five numbers"),
        ("p9 0.5 1 1 5 5", "line 2, names photograph 'p9'"),
        ("", "line 2, must be"),
    ],
)
def test_a_file_that_is_wrong_is_an_error_with_its_line(tmp_path, line, message):
    split, by_class = made()
    results.write_results(tmp_path, split, by_class)
    (tmp_path / "comp4_det_val_b.txt").write_text(f"p0 0.5 1 1 5 5\n{line}\n")
    with pytest.raises(results.ResultsError, match=message):
        results.read_results(tmp_path, split)
    (tmp_path / "comp4_det_val_b.txt").unlink()
    with pytest.raises(results.ResultsError, match="comp4_det_val_b"):
        results.read_results(tmp_path, split)


def test_the_papers_figures_have_the_mean_that_the_paper_prints():
    paper = results.read_paper()
    assert tuple(paper["per_class"]) == VOC_CLASSES
    assert round(float(np.mean(list(paper["per_class"].values()))), 3) == paper["mean"]


def test_the_table_says_why_it_is_not_comparable_and_says_nothing_where_it_is():
    split, by_class = made()
    found, paper = results.evaluate(split, by_class), results.read_paper()
    same = {name: tuple(value) if isinstance(value, list) else value for name, value in paper["setting"].items()}
    assert results.differences(same, paper) == []
    other = same | {"test_set": "val", "svd": ("fc6=1024",)}
    del other["weights"]
    assert results.differences(other, paper) == [
        "test set: val, the paper's test",
        "weights: unknown, the paper's ImageNet, all layers but cls_score and bbox_pred",
        "svd: fc6=1024, the paper's none",
    ]
    table = results.as_json(found, other, results.differences(other, paper), paper)
    assert json.loads(json.dumps(table, allow_nan=False))["classes"][1]["area"] is None
    text = results.as_markdown(table)
    assert "Not comparable with table 1" in text
    assert "- svd: fc6=1024, the paper's none" in text
    assert "| **mean** |" in text
    assert "Not comparable" not in results.as_markdown(results.as_json(found, same, [], paper))


def test_a_row_of_the_table_has_the_papers_figure_beside_its_own():
    split = split_of(("cat",), [("cat", HERE)])
    found = results.evaluate(split, {"cat": np.array([[0, 0.5, *HERE]])})
    text = results.as_markdown(results.as_json(found, {}, [], results.read_paper()))
    row = next(line for line in text.splitlines() if line.startswith("| cat"))
    assert [cell.strip() for cell in row.strip("|").split("|")] == ["cat", "1", "1", "100.0", "100.0", "82.0"]
