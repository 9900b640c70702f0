// Greedy non-maximum suppression on a CPU: spec/nms.md. No framework in here; a binding brings the threads.
//
// Boxes come in the order of the visit, in groups that know nothing of each other: one for each class of each image.
// Of n boxes, of which k stay, at most k * n overlaps are computed, each from 20 bytes of the first-level cache: two
// thousand boxes are 40 KB in float32. Nothing of n * n numbers is ever stored.
//
// Requirement: compile with -ffp-contract=off and without -ffast-math. Clause box-iou.order counts roundings.
#pragma once

#include <algorithm>
#include <cstdint>
#include <type_traits>
#include <vector>

namespace frcnn {

// How an overlap removes a box: clause nms-greedy.threshold.
struct Removal {
  double threshold;
  bool reaching;  // caffe-2015: >=, the threshold not rounded; exact: >, rounded to the boxes' type
};

// One group of `count` boxes (x1, y1, x2, y2), inclusive corners; kept[i] says whether box i stays.
template <class Element>
void nms(const Element* boxes, int64_t count, Removal removal, bool* kept) {
  using Flag = std::conditional_t<sizeof(Element) == 4, int32_t, int64_t>;  // as wide as a number, for the vectors
  const auto n = static_cast<size_t>(count);
  std::vector<Element> x1(n), y1(n), x2(n), y2(n), area(n);
  std::vector<Flag> left(n, 1);
  for (size_t i = 0; i < n; ++i) {
    x1[i] = boxes[4 * i], y1[i] = boxes[4 * i + 1], x2[i] = boxes[4 * i + 2], y2[i] = boxes[4 * i + 3];
    area[i] = (x2[i] - x1[i] + 1) * (y2[i] - y1[i] + 1);
  }
  const auto rounded = static_cast<Element>(removal.threshold);
  for (size_t i = 0; i < n; ++i) {
    kept[i] = left[i] != 0;
    if (!kept[i]) continue;
    for (size_t j = i + 1; j < n; ++j) {
      const Element w = std::min(x2[i], x2[j]) - std::max(x1[i], x1[j]) + 1;
      const Element h = std::min(y2[i], y2[j]) - std::max(y1[i], y1[j]) + 1;
      const Element shared = w * h, together = area[i] + area[j] - shared;
      const Element overlap = w > 0 && h > 0 ? shared / together : 0;
      const bool removes = removal.reaching ? static_cast<double>(overlap) >= removal.threshold : overlap > rounded;
      left[j] &= !removes;
    }
  }
}

// Groups begin..end - 1: group g has the boxes starts[g]..starts[g + 1] - 1.
template <class Element>
void nms_groups(const Element* boxes, const int64_t* starts, Removal removal, bool* kept, int64_t begin, int64_t end) {
  for (int64_t g = begin; g < end; ++g) {
    nms(boxes + 4 * starts[g], starts[g + 1] - starts[g], removal, kept + starts[g]);
  }
}

}  // namespace frcnn
