"""frcnn.reference's evaluation beside two public evaluators, wherever the definitions agree; and where they part.

mean-average-precision 2024.1.5.0 counts pixels as the VOC kit does. pycocotools 2.0.11 has boxes as x, y, width and
height, so it is given the widths with the + 1, and its recall thresholds are set to the eleven tenths. Each test of a
difference holds an entry of the divergence register to be true of the version named.
"""

import numpy as np
import pytest

from frcnn.conformance.tolerance import UNIT_ROUNDOFF, gamma
from frcnn.reference import evaluate_voc, iou

TENTHS = np.array([k / 10 for k in range(11)])
BOX, APART = (0, 0, 9, 9), (50, 0, 59, 9)


def drawn(seed, difficult, apart=False):
    """Detections and objects of one class in four images: objects moved by a few pixels, and boxes anywhere.

    No two scores are equal. With `apart` objects lie on a grid, so that no detection reaches 1 / 2 with two of them.
    """
    random = np.random.default_rng(seed)
    objects, found = [], []
    for image in range(4):
        for cell in random.permutation(9)[: random.integers(0, 7)]:
            corner = 40 * np.array(divmod(cell, 3)) if apart else random.integers(0, 40, 2)
            box = np.concatenate([corner, corner + random.integers(8, 30, 2)])
            objects.append([image, *box, difficult and random.random() < 0.3])
            found += [[image, 0, *(box + random.integers(-4, 5, 4))] for _ in range(random.integers(0, 4))]
        for _ in range(random.integers(0, 3)):
            corner = random.integers(0, 100, 2)
            found.append([image, 0, *corner, *(corner + random.integers(5, 30, 2))])
    found, objects = (np.array(rows, np.float64).reshape(-1, 6) for rows in (found, objects))
    found[:, 1] = (random.permutation(len(found)) + 1) / 128
    return found, objects


def check_within(ours, theirs, points, unit):
    """Two sums of `points` positive terms in float64, of products or quotients; theirs is `unit` off besides."""
    bound = 2 * gamma(points + 4, UNIT_ROUNDOFF["float64"]) * ours
    assert abs(ours - theirs) <= bound + unit * (ours + bound)


class TestMeanAveragePrecision:
    """Version 2024.1.5.0: precision and recall to the bit, the result within its rounding to float32."""

    @pytest.fixture(autouse=True)
    def peer(self):
        self.module = pytest.importorskip("mean_average_precision", reason="mean-average-precision is not installed")

    def evaluate(self, found, objects, threshold=0.5, tenths=None):
        """(precision, recall, average precision); every object counts in its recall."""
        metric = self.module.MetricBuilder.build_evaluation_metric("map_2d", async_mode=False, num_classes=1)
        for image in range(8):
            predictions, truth = found[found[:, 0] == image], objects[objects[:, 0] == image]
            zeros = np.zeros((len(predictions), 1)), np.zeros((len(truth), 1))
            metric.add(
                np.hstack([predictions[:, 2:], zeros[0], predictions[:, 1:2]]),
                np.hstack([truth[:, 1:5], zeros[1], truth[:, 5:], zeros[1]]),
            )
        answer = metric.value(iou_thresholds=[threshold], recall_thresholds=tenths, mpolicy="greedy")[threshold][0]
        return answer["precision"], answer["recall"], answer["ap"]

    @pytest.mark.parametrize("threshold", [0.5, 0.7])
    @pytest.mark.parametrize("difficult", [False, True], ids=["plain", "difficult"])
    @pytest.mark.parametrize("seed", range(10))
    def test_curves_and_averages_agree_where_no_overlap_is_the_threshold(self, seed, difficult, threshold):
        found, objects = self.without_equality(*drawn(seed, difficult), threshold)
        objects[:, 5] = difficult and objects[:, 0] % 2  # one flag an image: it mixes several up, see below
        curves = {m: evaluate_voc(found, objects, iou_threshold=threshold, method=m) for m in ("11-point", "area")}
        for method, (marks, recall, precision, ap) in curves.items():
            theirs = self.evaluate(found, objects, threshold, TENTHS if method == "11-point" else None)
            assert np.array_equal(theirs[0], precision)
            true = np.cumsum(marks[np.argsort(-found[:, 1])] == 1)
            assert np.array_equal(theirs[1], true / len(objects))  # it counts the difficult ones too
            if not difficult:
                assert np.array_equal(theirs[1], recall)
                check_within(ap, float(theirs[2]), 11 if method == "11-point" else len(found), 2.0**-24)

    def without_equality(self, found, objects, threshold):
        """Only detections without an overlap of exactly the threshold, and with one largest overlap."""
        kept = []
        for row in found:
            shares = np.sort(iou(row[None, 2:], objects[objects[:, 0] == row[0], 1:5])[0])[::-1]
            if threshold not in shares and (len(shares) < 2 or shares[0] == 0 or shares[0] != shares[1]):
                kept.append(row)
        assert len(kept) > len(found) / 2
        return np.array(kept), objects

    def test_an_overlap_of_exactly_one_half_is_none_there(self):
        found, objects = rows((0, 1, 0, 0, 4, 9)), rows((0, *BOX, 0))
        assert evaluate_voc(found, objects, method="area")[3] == 1
        assert self.evaluate(found, objects)[2] == 0

    def test_of_equal_overlaps_it_takes_the_last(self):
        found, objects = rows((0, 1, *BOX)), rows((0, *BOX, 1), (0, *BOX, 0))
        assert evaluate_voc(found, objects, method="area")[0].tolist() == [-1]
        assert self.evaluate(found, objects)[0].tolist() == [1]

    def test_difficult_objects_are_missed_there(self):
        found, objects = rows((0, 1, *BOX)), rows((0, *BOX, 0), (0, *APART, 1))
        assert evaluate_voc(found, objects, method="area")[3] == 1
        assert self.evaluate(found, objects)[2] == 0.5

    @pytest.mark.parametrize("tenth", [3, 6, 7])
    def test_with_the_thresholds_of_arange_an_exact_tenth_does_not_count(self, tenth):
        found, objects = (
            rows(*((i, 1 - i / 16, *BOX) for i in range(tenth))),
            rows(*((i % 8, *BOX, 0) for i in range(10))),
        )
        objects[8:, 1:5] += 50
        ours = evaluate_voc(found, objects, method="11-point")[3]
        assert ours == (tenth + 1) / 11
        check_within(ours, float(self.evaluate(found, objects, tenths=TENTHS)[2]), 11, 2.0**-24)
        check_within(tenth / 11, float(self.evaluate(found, objects, tenths=np.arange(0, 1.1, 0.1))[2]), 11, 2.0**-24)

    def test_it_mixes_up_the_flags_of_several_objects_with_several_detections(self):
        """Two detections of a difficult object, the second of which is held against the plain one's flag."""
        found, objects = rows((0, 1, *BOX), (0, 0.5, *BOX)), rows((0, *BOX, 1), (0, *APART, 0))
        assert evaluate_voc(found, objects, method="area")[0].tolist() == [-1, -1]
        assert self.evaluate(found, objects)[0].tolist() == [0, 1]

    def test_a_class_without_objects_has_zero_there(self):
        found, objects = rows((0, 1, *BOX)), np.zeros((0, 6))
        assert np.isnan(evaluate_voc(found, objects, method="area")[3])
        assert self.evaluate(found, objects)[2] == 0


class TestPycocotools:
    """Version 2.0.11: the marks, and the average precision within its 2^-52 below every quotient."""

    @pytest.fixture(autouse=True)
    def peer(self):
        pytest.importorskip("pycocotools", reason="pycocotools is not installed")

    def evaluate(self, found, objects, threshold=0.5):
        """(marks, 11-point average precision, which is -1 where no object is counted)."""
        from pycocotools.coco import COCO
        from pycocotools.cocoeval import COCOeval

        # The area of an annotation is a field: out of range, it makes a difficult object one to be ignored.
        truth = [
            {"id": i, "image_id": int(row[0]), "area": 1e11 if row[5] else 1, "iscrowd": 0, **common(row[1:5])}
            for i, row in enumerate(objects, 1)
        ]
        dataset = COCO()
        images = [{"id": i} for i in sorted({int(i) for i in (*found[:, 0], *objects[:, 0])})]
        dataset.dataset = {"info": {}, "images": images, "categories": [{"id": 1}], "annotations": truth}
        dataset.createIndex()
        answers = [{"image_id": int(row[0]), "score": float(row[1]), **common(row[2:])} for row in found]
        evaluator = COCOeval(dataset, dataset.loadRes(answers), "bbox")
        evaluator.params.iouThrs, evaluator.params.recThrs = np.array([threshold]), TENTHS
        evaluator.params.areaRng, evaluator.params.areaRngLbl = [[0, 1e10]], ["all"]
        evaluator.params.maxDets = [1000]
        evaluator.evaluate()
        evaluator.accumulate()
        marks = np.zeros(len(found), np.int64)
        for image in filter(None, evaluator.evalImgs):
            for name, match, ignored in zip(
                image["dtIds"], image["dtMatches"][0], image["dtIgnore"][0], strict=True
            ):  # answers have the ids 1 .. D in their order
                marks[name - 1] = -1 if ignored else int(match > 0)
        return marks, evaluator.eval["precision"][0, :, 0, 0, 0].mean()

    @pytest.mark.parametrize("threshold", [0.5, 0.7])
    @pytest.mark.parametrize("difficult", [False, True], ids=["plain", "difficult"])
    @pytest.mark.parametrize("seed", range(10))
    def test_marks_and_average_agree_where_objects_lie_apart(self, seed, difficult, threshold):
        found, objects = drawn(seed, difficult, apart=True)
        found = self.once_ignored(found, objects, threshold)
        marks, _, _, ap = evaluate_voc(found, objects, iou_threshold=threshold, method="11-point")
        theirs = self.evaluate(found, objects, threshold)
        assert np.array_equal(theirs[0], marks)
        check_within(ap, theirs[1], 11, 2.0**-52)

    def once_ignored(self, found, objects, threshold):
        """Without the second and later detections of a difficult object, which are false there."""
        marks = evaluate_voc(found, objects, iou_threshold=threshold, method="area")[0]
        kept, seen = [], set()
        for row, mark in zip(found, marks, strict=True):
            here = np.flatnonzero(objects[:, 0] == row[0])
            name = here[np.argmax(iou(row[None, 2:], objects[here, 1:5])[0])] if mark == -1 else None
            if name is None or name not in seen:
                kept.append(row)
            seen |= {name} - {None}
        return np.array(kept)

    def test_an_overlap_of_exactly_the_threshold_finds_there_too(self):
        found, objects = rows((0, 1, 0, 0, 4, 9)), rows((0, *BOX, 0))
        assert self.evaluate(found, objects)[0].tolist() == [1]

    def test_a_second_detection_goes_on_to_a_free_object_there(self):
        found, objects = rows((0, 1, *BOX), (0, 0.5, *BOX)), rows((0, 0, 0, 9, 8, 0), (0, 0, 0, 9, 7, 0))
        assert evaluate_voc(found, objects, method="11-point")[0].tolist() == [1, 0]
        assert self.evaluate(found, objects)[0].tolist() == [1, 1]

    def test_a_plain_object_is_preferred_to_a_difficult_one_there(self):
        found, objects = rows((0, 1, *BOX)), rows((0, *BOX, 1), (0, 0, 0, 9, 7, 0))
        assert evaluate_voc(found, objects, method="11-point")[0].tolist() == [-1]
        assert self.evaluate(found, objects)[0].tolist() == [1]

    def test_a_difficult_object_is_ignored_once_there(self):
        found, objects = rows((0, 1, *BOX), (0, 0.5, *BOX)), rows((0, *BOX, 1), (0, *APART, 0))
        assert evaluate_voc(found, objects, method="11-point")[0].tolist() == [-1, -1]
        assert self.evaluate(found, objects)[0].tolist() == [-1, 0]

    def test_a_class_without_objects_is_minus_one_there(self):
        found, objects = rows((0, 1, *BOX)), rows((0, *BOX, 1))
        assert np.isnan(evaluate_voc(found, objects, method="11-point")[3])
        assert self.evaluate(found, objects)[1] == -1


def rows(*each):
    return np.array(each, np.float64)


def common(box):
    """What an annotation and an answer of COCO have in common, of a box with both corners inside."""
    x1, y1, x2, y2 = map(float, box)
    return {"category_id": 1, "bbox": [x1, y1, x2 - x1 + 1, y2 - y1 + 1]}
