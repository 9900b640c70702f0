// RoI max pooling's backward pass, Eq. 4; included by roi_pool.h, which says what is read and written.
#pragma once

#include <memory>
#include <optional>

#include "pages.h"
#include "roi_pool.h"

namespace frcnn {
namespace detail {

// Channels that are added up together. 16 float32 are one cache line of a cell, so that a 38 x 57 map's sums take 139 kB
// and most RoIs' part of them stays in the first-level cache; with 32 or 64 it took 1.3 to 2 times as long.
constexpr int64_t kChannelsInBlock = 16;

// A unit goes through a RoI's sub-windows block after block of two, each with sums of its own. What it reads of the
// gradients lies C elements apart, which no processor foresees. It asks for a block's two lines, which lie side by
// side, one RoI ahead, into the second-level cache: a quarter less time than with one block a unit. Four took longer.
constexpr int64_t kBlocksInUnit = 2, kChannelsInUnit = kBlocksInUnit * kChannelsInBlock;
constexpr int64_t kWindowsAhead = 12;  // at least so many
constexpr int64_t kFewCells = int64_t{1} << 20;

// Sums of so many bytes, which are those of 262,144 cells in float32, malloc would take from the system anew each time,
// page by page: glibc keeps none as large. For maps of 600 x 900 cells all of backward took four times as long.
constexpr int64_t kNeverOnHeap = int64_t{1} << 25;

// Clause roi-pool.backward-dropped: from which map cells along one axis caffe-2015's backward pass takes the gradient
// of sub-window p. The original walks from each cell to the sub-windows floor(k / b) to ceil((k + 1) / b) - 1, k
// counted from the RoI's first cell, in float32. Both grow with k, so the cells that reach p are one span; it lies near
// [p b, (p + 1) b) and is found by walking from there. It is not clipped to the map.
inline Span kept_by_caffe(int64_t start, int64_t extent, int64_t P, int64_t p) {
  const float bin_size = static_cast<float>(extent) / static_cast<float>(P);
  const auto begins_by_p = [&](int64_t k) {
    return std::floor(static_cast<float>(k) / bin_size) <= static_cast<float>(p);
  };
  const auto ends_after_p = [&](int64_t k) {
    return std::ceil(static_cast<float>(k + 1) / bin_size) > static_cast<float>(p);
  };
  const auto guess = [&](int64_t edge) {
    return std::clamp<int64_t>(static_cast<int64_t>(static_cast<float>(edge) * bin_size), 0, extent - 1);
  };
  int64_t first = guess(p), end = guess(p + 1);
  while (first > 0 && ends_after_p(first - 1)) --first;
  while (first < extent && !ends_after_p(first)) ++first;
  while (end > 0 && !begins_by_p(end - 1)) --end;
  while (end < extent && begins_by_p(end)) ++end;
  return Span{start + first, start + end};
}

// The part of the map whose cells may receive from one sub-window: all of it, or a window of it under caffe-2015.
// Real tells a cell's row: float does for maps of up to kFewCells cells, in less time, and double for all.
template <class Real>
struct Receivers {
  int32_t W, cells;
  Real cells_to_rows;
  Span rows, columns;

  // Is a cell, one of 0..cells, among them? Any other number might overflow. (cell + .5) / W lies .5 / (cell + .5) of
  // itself or more from any whole number, which is over 2^-22 for float and 2^-33 for double, and its two roundings are
  // off by 2^-23 or 2^-52, so the row is right; an integer division in its place is not vectorised.
  bool have(int32_t cell) const {
    const int32_t row = static_cast<int32_t>((static_cast<Real>(cell) + Real{0.5}) * cells_to_rows);
    const int32_t column = cell - row * W;
    const auto top = static_cast<int32_t>(rows.first), bottom = static_cast<int32_t>(rows.end);
    const auto left = static_cast<int32_t>(columns.first), right = static_cast<int32_t>(columns.end);
    return (row >= top) & (row < bottom) & (column >= left) & (column < right);
  }
};

// The argmax of one sub-window in a block of channels, -1 where there are fewer.
typedef int32_t Places __attribute__((vector_size(kChannelsInBlock * sizeof(int32_t))));

template <bool full>
void load(const int32_t* argmax, int64_t channels, Places* places) {
  *places = Places{} - 1;
  std::memcpy(places, argmax, (full ? kChannelsInBlock : static_cast<size_t>(channels)) * sizeof(int32_t));
}

// The least and the greatest argmax that were met, channel by channel of a block.
struct Met {
  Places least{}, greatest{};

  void meet(const Places& places) {
    least = places < least ? places : least;
    greatest = places > greatest ? places : greatest;
  }

  bool on_map(int64_t cells) const {
    bool good = true;
    for (int64_t j = 0; j < kChannelsInBlock; ++j) good = good && least[j] >= -1 && greatest[j] < cells;
    return good;
  }
};

// Add one sub-window's gradients to the sums (H * W + 1, kChannelsInBlock), of which the last row takes what goes to no
// cell, so that the additions need no branch. They go channel by channel, each to a cell of its own. A count that the
// compiler knows makes them three times as fast, so a full block, which is all but the last, does not look at
// `channels`.
template <class Format, bool everywhere, bool full, class Real>
void add_gradients(const Receivers<Real>& receivers, const typename Format::Stored* grad, const Places& places,
                   int64_t channels, typename Format::Value* sums) {
  typedef uint32_t Cells __attribute__((vector_size(sizeof(Places))));
  const Cells nowhere = Cells{} + static_cast<uint32_t>(receivers.cells);
  Cells chosen;
  std::memcpy(&chosen, &places, sizeof chosen);  // -1 is now more than any
  chosen = chosen < nowhere ? chosen : nowhere;
  const int64_t count = full ? kChannelsInBlock : channels;
  typename Format::Value values[kChannelsInBlock];
  uint32_t cells[kChannelsInBlock];
  std::memcpy(cells, &chosen, sizeof cells);
  for (int64_t j = 0; j < count; ++j) {
    values[j] = Format::widened(grad[j]);
    if (!everywhere) cells[j] = receivers.have(static_cast<int32_t>(cells[j])) ? cells[j] : nowhere[0];
  }
  for (int64_t j = 0; j < count; ++j) sums[int64_t{cells[j]} * kChannelsInBlock + j] += values[j];
}

// What one unit adds up: the gradients of one image's channels from the first_channel'th on.
template <class Stored>
struct Given {
  const Roi* rois;
  const Stored* grad_output;
  const int32_t* argmax;
  int64_t image, first_channel;
};

// From which map cells a RoI's sub-windows take gradients under caffe-2015, along each axis. Found once a RoI, since
// that takes as long as to add a sub-window's gradients.
struct KeptSpans {
  std::vector<Span> rows, columns;

  // Where no RoI is, the grid may be larger than any memory.
  explicit KeptSpans(const Problem& problem)
      : rows(problem.R == 0 ? 0 : static_cast<size_t>(problem.P_h)),
        columns(problem.R == 0 ? 0 : static_cast<size_t>(problem.P_w)) {}

  void find(const Roi& roi, int64_t P_h, int64_t P_w) {
    for (int64_t p = 0; p < P_h; ++p) rows[static_cast<size_t>(p)] = kept_by_caffe(roi.r, roi.h, P_h, p);
    for (int64_t q = 0; q < P_w; ++q) columns[static_cast<size_t>(q)] = kept_by_caffe(roi.c, roi.w, P_w, q);
  }
};

// Add the i-th RoI's gradients in `channels` channels from the first_channel'th on.
template <class Format, Profile profile, bool full, class Real>
void add_roi(const Problem& problem, const Given<typename Format::Stored>& given, const KeptSpans& kept, int64_t i,
             int64_t first_channel, int64_t channels, bool gives, typename Format::Value* sums, Met* met) {
  constexpr bool everywhere = profile == Profile::exact;
  const auto [type, _, N, H, W, C, R, P_h, P_w] = problem;
  const int64_t ahead = std::max(P_h * P_w, kWindowsAhead), last = R * P_h * P_w - 1;
  const auto width = static_cast<int32_t>(W), cells = static_cast<int32_t>(H * W);
  Receivers<Real> receivers{width, cells, 1 / static_cast<Real>(W), {0, H}, {0, W}};
  Met all = *met;  // a copy, which stays in registers
  for (int64_t p = 0; p < P_h; ++p) {
    if (!everywhere) receivers.rows = kept.rows[static_cast<size_t>(p)];
    for (int64_t q = 0; q < P_w; ++q) {
      if (!everywhere) receivers.columns = kept.columns[static_cast<size_t>(q)];
      const int64_t window = (i * P_h + p) * P_w + q, at = window * C + first_channel;
      const int64_t soon = std::min(window + ahead, last) * C + first_channel;
      __builtin_prefetch(given.grad_output + soon, 0, 2);
      __builtin_prefetch(given.argmax + soon, 0, 2);
      Places places;
      load<full>(given.argmax + at, channels, &places);
      all.meet(places);
      if (gives) add_gradients<Format, everywhere, full>(receivers, given.grad_output + at, places, channels, sums);
    }
  }
  *met = all;
}

// add_roi for a map of so many cells; in `exact` nobody asks for a cell's row.
template <class Format, Profile profile, bool full>
auto adder(int64_t cells) {
  const bool few = profile == Profile::exact || cells <= kFewCells;
  return few ? add_roi<Format, profile, full, float> : add_roi<Format, profile, full, double>;
}

// One unit's sums, (kBlocksInUnit, H * W + 1, kChannelsInBlock), RoI after RoI: a single order. RoIs that give nothing
// to any image are looked at with the first one. Returns whether every argmax is -1 or a cell of the map.
template <class Format, Profile profile>
bool sum_unit(const Problem& problem, const Given<typename Format::Stored>& given, typename Format::Value* sums) {
  Met met;
  KeptSpans kept(problem);
  const int64_t cells = problem.H * problem.W, end = std::min(given.first_channel + kChannelsInUnit, problem.C);
  for (int64_t i = 0; i < problem.R; ++i) {
    const Roi& roi = given.rois[i];
    const bool gives = roi.image >= 0 && (profile == Profile::exact || !roi.malformed);
    if (gives ? roi.image != given.image : given.image != 0) continue;
    if (gives && profile == Profile::caffe_2015) kept.find(roi, problem.P_h, problem.P_w);
    auto* block = sums;
    for (int64_t first = given.first_channel; first < end; first += kChannelsInBlock) {
      const int64_t channels = std::min(kChannelsInBlock, end - first);
      const bool full = channels == kChannelsInBlock;
      const auto add = full ? adder<Format, profile, true>(cells) : adder<Format, profile, false>(cells);
      add(problem, given, kept, i, first, channels, gives, block, &met);
      block += (cells + 1) * kChannelsInBlock;
    }
  }
  return met.on_map(cells);
}

// Round one unit's sums to where they belong, grad_features from its first channel in its image on.
template <class Format>
void write_sums(const Problem& problem, const typename Format::Value* sums, int64_t channels, bool past_caches,
                typename Format::Stored* grad_features) {
  const int64_t cells = problem.H * problem.W;
  for (int64_t cell = 0; cell < cells; ++cell) {
    typename Format::Stored row[kChannelsInUnit];
    for (int64_t b = 0; b < kBlocksInUnit; ++b) {
      const auto* const block = sums + (b * (cells + 1) + cell) * kChannelsInBlock;
      for (int64_t j = 0; j < kChannelsInBlock; ++j) row[b * kChannelsInBlock + j] = Format::narrowed(block[j]);
    }
    auto* const to = grad_features + cell * problem.C;
    past_caches ? write_past_caches(row, kChannelsInUnit, to) : static_cast<void>(std::copy_n(row, channels, to));
  }
}

template <class Format, Profile profile>
bool backward_range(const Problem& problem, const Roi* rois, const void* grad_output, const int32_t* argmax,
                    void* grad_features, int64_t begin, int64_t end) {
  using Stored = typename Format::Stored;
  const int64_t cells = problem.H * problem.W, C = problem.C;
  const int64_t units_an_image = (C + kChannelsInUnit - 1) / kChannelsInUnit;
  const int64_t bytes = problem.N * cells * C * static_cast<int64_t>(sizeof(Stored));
  const bool past_caches = bytes >= kPastCaches && C % kChannelsInUnit == 0 && aligned(grad_features);
  bool good = true;
  using Value = typename Format::Value;
  const int64_t numbers = (cells + 1) * kChannelsInUnit, bytes_of_sums = numbers * static_cast<int64_t>(sizeof(Value));
  std::unique_ptr<Value[]> small;
  std::optional<Scratch> large;
  if (bytes_of_sums < kNeverOnHeap) small.reset(new Value[static_cast<size_t>(numbers)]);
  if (!small) large.emplace(bytes_of_sums);
  Value* const sums = small ? small.get() : static_cast<Value*>(large->data());
  for (int64_t unit = begin; unit < end; ++unit) {
    const int64_t image = unit / units_an_image, first_channel = unit % units_an_image * kChannelsInUnit;
    const Given<Stored> given{rois, static_cast<const Stored*>(grad_output), argmax, image, first_channel};
    std::fill_n(sums, numbers, Value{});
    good = sum_unit<Format, profile>(problem, given, sums) && good;
    write_sums<Format>(problem, sums, std::min(kChannelsInUnit, C - first_channel), past_caches,
                       static_cast<Stored*>(grad_features) + image * cells * C + first_channel);
  }
  if (past_caches) fence();
  return good;
}

}  // namespace detail

// Independent pieces of work: some channels of one image each, so that no two add to the same cell. None where there is
// nothing to add to.
inline int64_t backward_units(const Problem& problem) {
  const int64_t units_an_image = (problem.C + detail::kChannelsInUnit - 1) / detail::kChannelsInUnit;
  return problem.H * problem.W == 0 ? 0 : problem.N * units_an_image;
}

// Is each of `count` indices -1 or a cell of the map? Where not, a binding refuses with argmax_complaint. backward() says
// the same of those that it meets, which are all unless there are no units. Clause roi-pool.error-argmax.
inline bool argmax_on_map(const Problem& problem, const int32_t* argmax, int64_t count) {
  int32_t least = 0, greatest = -1;
  for (int64_t k = 0; k < count; ++k) {
    least = std::min(least, argmax[k]);
    greatest = std::max(greatest, argmax[k]);
  }
  return least >= -1 && greatest < problem.H * problem.W;
}

inline std::string argmax_complaint(const Problem& problem) {
  return "argmax must lie in -1.." + std::to_string(problem.H * problem.W - 1) + " for a map of " +
         std::to_string(problem.H) + " x " + std::to_string(problem.W);
}

// Add up the units begin..end - 1. rois: R of them, from project_rois. grad_output: (R, P_h, P_w, C). argmax: the same
// shape, as forward() gave it. grad_features: (N, H, W, C), of which each unit writes its own part fully. Half types
// are added up in float32 and rounded once. Returns whether every argmax that was met is -1 or a cell of the map; the
// others are left out.
// Clauses: roi-pool.backward, roi-pool.backward-sum, roi-pool.backward-dropped, roi-pool.accumulate.
inline bool backward(const Problem& problem, const Roi* rois, const void* grad_output, const int32_t* argmax,
                     void* grad_features, int64_t begin, int64_t end) {
  const IeeeArithmetic ieee;
  return with_format(problem.type, [&](auto format) {
    using Format = decltype(format);
    const auto range = problem.profile == Profile::exact ? detail::backward_range<Format, Profile::exact>
                                                         : detail::backward_range<Format, Profile::caffe_2015>;
    return range(problem, rois, grad_output, argmax, grad_features, begin, end);
  });
}

}  // namespace frcnn
