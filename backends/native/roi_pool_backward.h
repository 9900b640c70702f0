// RoI max pooling's backward pass, Eq. 4; included by roi_pool.h, which says what is read and written.
#pragma once

#include "roi_pool.h"

namespace frcnn {
namespace detail {

// Channels that one unit adds up. 16 float32 are one cache line of a cell, so that a 38 x 57 map's sums take 139 kB and
// most RoIs' part of them stays in the first-level cache; 32 or 64 took 1.3 to 2 times as long.
constexpr int64_t kChannelsInUnit = 16;

// A unit reads one cache line of each sub-window's gradients, C elements apart, which no processor foresees. Asking for
// them this many sub-windows ahead saved a fifth to a half of the time.
constexpr int64_t kWindowsAhead = 12;

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
struct Receivers {
  int32_t W, cells;
  double cells_to_rows;
  Span rows, columns;

  // Is the argmax one of them? (cell + .5) / W lies at least 2^-32 of itself from any whole number, and its error is
  // 2^-52, so the row is right; an integer division in its place is not vectorised.
  template <bool everywhere>
  bool have(int32_t cell) const {
    const bool on_map = (cell >= 0) & (cell < cells);
    if (everywhere) return on_map;
    const int32_t row = static_cast<int32_t>((cell + 0.5) * cells_to_rows), column = cell - row * W;
    const auto top = static_cast<int32_t>(rows.first), bottom = static_cast<int32_t>(rows.end);
    const auto left = static_cast<int32_t>(columns.first), right = static_cast<int32_t>(columns.end);
    return on_map & (row >= top) & (row < bottom) & (column >= left) & (column < right);
  }
};

// The least and the greatest argmax that were met, channel by channel of a unit.
struct Met {
  using Lanes = int32_t __attribute__((vector_size(kChannelsInUnit * sizeof(int32_t))));
  Lanes least{}, greatest{};

  template <bool full>
  void meet(const int32_t* argmax, int64_t channels) {
    Lanes own{};
    std::memcpy(&own, argmax, (full ? kChannelsInUnit : static_cast<size_t>(channels)) * sizeof(int32_t));
    least = own < least ? own : least;
    greatest = own > greatest ? own : greatest;
  }

  bool on_map(int64_t cells) const {
    bool good = true;
    for (int64_t j = 0; j < kChannelsInUnit; ++j) good = good && least[j] >= -1 && greatest[j] < cells;
    return good;
  }
};

// Add one sub-window's gradients to the sums (H * W, kChannelsInUnit). Choosing and widening stand in a loop of their
// own, which is vectorised; only the addition goes channel by channel. A count that the compiler knows makes both three
// times as fast, so a full block, which is all but the last, does not look at `channels`.
template <class Format, bool everywhere, bool full>
void add_gradients(const Receivers& receivers, const typename Format::Stored* grad, const int32_t* argmax,
                   int64_t channels, typename Format::Value* sums) {
  const int64_t count = full ? kChannelsInUnit : channels;
  typename Format::Value values[kChannelsInUnit];
  int32_t cells[kChannelsInUnit];
  for (int64_t j = 0; j < count; ++j) {
    values[j] = Format::widened(grad[j]);
    cells[j] = receivers.have<everywhere>(argmax[j]) ? argmax[j] : -1;
  }
  for (int64_t j = 0; j < count; ++j) {
    if (cells[j] >= 0) sums[cells[j] * kChannelsInUnit + j] += values[j];
  }
}

// One image's gradients in `channels` channels from the first_channel'th on, RoI after RoI: a single order. RoIs that
// give nothing to any image are looked at with the first one. Returns whether every argmax is -1 or a cell of the map.
template <class Format, Profile profile, bool full>
bool sum_image(const Problem& problem, const Roi* rois, const typename Format::Stored* grad_output,
               const int32_t* argmax, int64_t image, int64_t first_channel, int64_t channels,
               typename Format::Value* sums) {
  Met met;
  constexpr bool everywhere = profile == Profile::exact;
  const auto [type, _, N, H, W, C, R, P_h, P_w] = problem;
  const auto width = static_cast<int32_t>(W), cells = static_cast<int32_t>(H * W);
  Receivers receivers{width, cells, 1.0 / static_cast<double>(W), {0, H}, {0, W}};
  const int64_t windows = R * P_h * P_w;
  for (int64_t i = 0; i < R; ++i) {
    const Roi& roi = rois[i];
    const bool gives = roi.image >= 0 && (everywhere || !roi.malformed);
    if (gives ? roi.image != image : image != 0) continue;
    for (int64_t p = 0; p < P_h; ++p) {
      if (!everywhere) receivers.rows = kept_by_caffe(roi.r, roi.h, P_h, p);
      for (int64_t q = 0; q < P_w; ++q) {
        if (!everywhere) receivers.columns = kept_by_caffe(roi.c, roi.w, P_w, q);
        const int64_t window = (i * P_h + p) * P_w + q, at = window * C + first_channel;
        const int64_t ahead = std::min(window + kWindowsAhead, windows - 1) * C + first_channel;
        __builtin_prefetch(grad_output + ahead);
        __builtin_prefetch(argmax + ahead);
        met.meet<full>(argmax + at, channels);
        if (!gives) continue;
        add_gradients<Format, everywhere, full>(receivers, grad_output + at, argmax + at, channels, sums);
      }
    }
  }
  return met.on_map(H * W);
}

template <class Format, Profile profile>
bool backward_range(const Problem& problem, const Roi* rois, const void* grad_output, const int32_t* argmax,
                    void* grad_features, int64_t begin, int64_t end) {
  using Stored = typename Format::Stored;
  const int64_t cells = problem.H * problem.W, C = problem.C;
  const int64_t blocks = (C + kChannelsInUnit - 1) / kChannelsInUnit;
  bool good = true;
  std::vector<typename Format::Value> sums(static_cast<size_t>(cells * kChannelsInUnit));
  for (int64_t unit = begin; unit < end; ++unit) {
    const int64_t image = unit / blocks, first_channel = unit % blocks * kChannelsInUnit;
    const int64_t channels = std::min(kChannelsInUnit, C - first_channel);
    std::fill(sums.begin(), sums.end(), typename Format::Value{});
    const bool full = channels == kChannelsInUnit;
    const auto sum = full ? sum_image<Format, profile, true> : sum_image<Format, profile, false>;
    const auto* const grad = static_cast<const Stored*>(grad_output);
    good = sum(problem, rois, grad, argmax, image, first_channel, channels, sums.data()) && good;
    Stored* const out = static_cast<Stored*>(grad_features) + image * cells * C + first_channel;
    for (int64_t cell = 0; cell < cells; ++cell) {
      for (int64_t j = 0; j < channels; ++j) {
        out[cell * C + j] = Format::narrowed(sums[static_cast<size_t>(cell * kChannelsInUnit + j)]);
      }
    }
  }
  return good;
}

}  // namespace detail

// Independent pieces of work: one block of channels of one image each, so that no two add to the same cell. None where
// there is nothing to add to.
inline int64_t backward_units(const Problem& problem) {
  const int64_t blocks = (problem.C + detail::kChannelsInUnit - 1) / detail::kChannelsInUnit;
  return problem.H * problem.W == 0 ? 0 : problem.N * blocks;
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
