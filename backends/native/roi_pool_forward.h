// RoI max pooling's forward pass; included by roi_pool.h, which says what is read and written.
#pragma once

#include "roi_pool.h"

namespace frcnn {
namespace detail {

// Four vectors are enough to keep the loads busy, and with their indices they fit 16 registers.
constexpr int kVectorsInBlock = 4;

// A non-empty window of one image's map, and where in the map's rows it lies.
template <class Stored>
struct Window {
  const Stored* map;  // (H, W, C) from the first channel to be pooled
  int64_t W, C;
  Span rows, columns;
};

// Does `value` replace the running maximum? Clauses roi-pool.tie, roi-pool.nan and roi-pool.infinity: the first of
// equals stays; exact lets the first NaN win and keeps it, caffe-2015's strict > lets it never win.
template <Profile profile, class Values>
auto replaces(Values value, Values best) {
  if constexpr (profile == Profile::caffe_2015) {
    return value > best;
  } else {
    return ~(value <= best) & (best == best);
  }
}

// Maximum and argmax of the window in `vectors` vectors of channels. `channels` is looked at only with `partial`: then
// there is one vector, of which just so many lanes may be read and written.
template <class Format, Profile profile, bool with_argmax, int vectors, bool partial = false>
void pool_channels(const Window<typename Format::Stored>& window, typename Format::Stored* output, int32_t* argmax,
                   int channels = 0) {
  using Stored = typename Format::Stored;
  using Values = typename Format::Values;
  using Indices = typename Format::Indices;
  constexpr int lanes = Format::lanes;
  const auto load = [&](const Stored* at) {
    if (!partial) return Format::load(at);
    Stored padded[lanes] = {};
    std::copy_n(at, channels, padded);
    return Format::load(padded);
  };
  const int64_t first = window.rows.first * window.W + window.columns.first;
  Values best[vectors];
  Indices where[vectors];
  for (int k = 0; k < vectors; ++k) {
    const bool exact = profile == Profile::exact;  // its first cell always wins, so the loop may meet it again
    best[k] = exact ? load(window.map + first * window.C + k * lanes) : Format::start();
    where[k] = Indices{} + static_cast<typename Format::Index>(exact ? first : -1);
  }
  for (int64_t row = window.rows.first; row < window.rows.end; ++row) {
    int64_t cell = row * window.W + window.columns.first;
    const Stored* at = window.map + cell * window.C;
    for (const int64_t end = cell + window.columns.size(); cell < end; ++cell, at += window.C) {
      for (int k = 0; k < vectors; ++k) {
        const Values value = load(at + k * lanes);
        const Indices taken = replaces<profile>(value, best[k]);
        best[k] = taken ? value : best[k];
        if (with_argmax) where[k] = taken ? Indices{} + static_cast<typename Format::Index>(cell) : where[k];
      }
    }
  }
  for (int k = 0; k < vectors; ++k) {
    Stored stored[lanes];
    Format::store(best[k], stored);
    const int count = partial ? channels : lanes;
    std::copy_n(stored, count, output + k * lanes);
    if (with_argmax) {
      for (int j = 0; j < count; ++j) argmax[k * lanes + j] = static_cast<int32_t>(where[k][j]);
    }
  }
}

// All channels of one sub-window. The last vector is moved back so as to end with the last channel; what it shares
// with the one before it is computed twice, to the same result.
template <class Format, Profile profile, bool with_argmax>
void pool_window(Window<typename Format::Stored> window, typename Format::Stored* output, int32_t* argmax) {
  constexpr int64_t lanes = Format::lanes, block = kVectorsInBlock * lanes;
  const int64_t C = window.C;
  const auto* map = window.map;
  const auto argmax_at = [&](int64_t channel) { return with_argmax ? argmax + channel : nullptr; };
  int64_t channel = 0;
  for (; channel + block <= C; channel += block) {
    window.map = map + channel;
    pool_channels<Format, profile, with_argmax, kVectorsInBlock>(window, output + channel, argmax_at(channel));
  }
  if (C < lanes) {
    pool_channels<Format, profile, with_argmax, 1, true>(window, output, argmax, static_cast<int>(C));
    return;
  }
  for (; channel < C; channel += lanes) {
    const int64_t here = std::min(channel, C - lanes);
    window.map = map + here;
    pool_channels<Format, profile, with_argmax, 1>(window, output + here, argmax_at(here));
  }
}

template <class Format, Profile profile, bool with_argmax>
void forward_range(const Problem& problem, const Roi* rois, const void* features, void* output, int32_t* argmax,
                   int64_t begin, int64_t end) {
  using Stored = typename Format::Stored;
  const auto [type, _, N, H, W, C, R, P_h, P_w] = problem;
  for (int64_t unit = begin; unit < end; ++unit) {
    const Roi& roi = rois[unit / (P_h * P_w)];
    const Span rows = bin(profile, roi.r, roi.h, P_h, unit / P_w % P_h, H);
    const Span columns = bin(profile, roi.c, roi.w, P_w, unit % P_w, W);
    Stored* const out = static_cast<Stored*>(output) + unit * C;
    int32_t* const indices = with_argmax ? argmax + unit * C : nullptr;
    if (roi.image < 0 || rows.size() <= 0 || columns.size() <= 0) {  // roi-pool.empty, roi-pool.unchecked
      std::fill_n(out, C, Stored{});
      if (with_argmax) std::fill_n(indices, C, -1);
      continue;
    }
    const Stored* const map = static_cast<const Stored*>(features) + roi.image * H * W * C;
    pool_window<Format, profile, with_argmax>(Window<Stored>{map, W, C, rows, columns}, out, indices);
  }
}

}  // namespace detail

// Independent pieces of work: one sub-window of one RoI each.
inline int64_t forward_units(const Problem& problem) { return problem.R * problem.P_h * problem.P_w; }

// Pool the units begin..end - 1. rois: R of them, from project_rois. features: (N, H, W, C). output:
// (R, P_h, P_w, C). argmax: the same shape, or nullptr where it is not wanted, which is quicker.
// Clauses: all of spec/roi-pool.md that say what the output and the argmax are.
inline void forward(const Problem& problem, const Roi* rois, const void* features, void* output, int32_t* argmax,
                    int64_t begin, int64_t end) {
  const IeeeArithmetic ieee;
  with_format(problem.type, [&](auto format) {
    using Format = decltype(format);
    constexpr Profile exact = Profile::exact, caffe = Profile::caffe_2015;
    const bool is_exact = problem.profile == exact;
    const auto range = argmax ? (is_exact ? detail::forward_range<Format, exact, true>
                                          : detail::forward_range<Format, caffe, true>)
                              : (is_exact ? detail::forward_range<Format, exact, false>
                                          : detail::forward_range<Format, caffe, false>);
    range(problem, rois, features, output, argmax, begin, end);
  });
}

}  // namespace frcnn
