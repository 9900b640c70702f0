// RoI max pooling's forward pass; included by roi_pool.h, which says what is read and written.
#pragma once

#include <numeric>
#include <type_traits>

#include "roi_pool.h"
#include "roi_pool_tables.h"
#include "roi_pool_window.h"
#include "turn.h"

namespace frcnn {
namespace detail {

// Units are sub-windows. Each goes through all channels before the next, so that what is read and written lies together:
// 64 channels of all sub-windows before the next 64 took a third longer.
template <class Format, Rule rule, bool with_argmax>
void pool_windows(const Problem& problem, const Roi* rois, const void* features, const Pooled& pooled, int64_t begin,
                  int64_t end) {
  using Stored = typename Format::Stored;
  const auto [type, profile, N, H, W, C, R, P_h, P_w] = problem;
  const bool past_caches = goes_past_caches<Format>(problem, pooled);
  Grid grid(problem);
  for (int64_t unit = begin; unit < end;) {
    const int64_t r = unit / (P_h * P_w), after = std::min(end, (r + 1) * P_h * P_w);
    const Stored* const map = static_cast<const Stored*>(features) + std::max(rois[r].image, 0) * H * W * C;
    grid.cut(problem, rois[r]);
    auto p = static_cast<size_t>(unit / P_w % P_h), q = static_cast<size_t>(unit % P_w);
    for (; unit < after; ++unit) {
      const Window<Stored> window{map, W, C, grid.rows[p], grid.columns[q]};
      Stored* const output = static_cast<Stored*>(pooled.output) + unit * C;
      int32_t* const argmax = with_argmax ? pooled.argmax + unit * C : nullptr;
      if (window.empty()) {
        fill_empty(output, argmax, C);
      } else {
        pool_window<Format, rule, with_argmax>(window, C, past_caches, output, argmax);
      }
      if (++q == grid.columns.size()) q = 0, ++p;
    }
  }
  if (past_caches) fence();
}

// Maps with their channels first are pooled block of channels by block, from a copy: (H, W, channels) of the first block
// of the first image, then of the next block. A block of a 38 x 57 map fits the second-level cache, and the results of
// all its sub-windows, which must be turned round again, the first: 7 x 7 of 64 float32 are 12.5 KB, and so are their
// places. The last block has the channels that are left over as well, so that none is narrower than a vector.
struct Block {
  int64_t first, channels;
};

template <class Format>
int64_t blocks_of(int64_t C) {
  return C == 0 ? 0 : std::max<int64_t>(1, C / (kVectorsInBlock * Format::lanes));
}

template <class Format>
Block block(int64_t C, int64_t index) {
  const int64_t first = index * kVectorsInBlock * Format::lanes;
  return {first, index + 1 == blocks_of<Format>(C) ? C - first : kVectorsInBlock * Format::lanes};
}

// Units are blocks of channels of one RoI, all RoIs of a block before the next block. The map is in blocks; the results
// have their channels first.
template <class Format, Rule rule, bool with_argmax>
void pool_blocks(const Problem& problem, const Roi* rois, const void* features, const Pooled& pooled, int64_t begin,
                 int64_t end) {
  using Stored = typename Format::Stored;
  const auto [type, profile, N, H, W, C, R, P_h, P_w] = problem;
  const bool past_caches = goes_past_caches<Format>(problem, pooled);
  const int64_t windows = P_h * P_w, widest = std::min<int64_t>(C, 2 * kVectorsInBlock * Format::lanes);
  const auto buffered = static_cast<size_t>(windows * widest);
  std::vector<Stored> maxima(buffered), turned_maxima(past_caches ? buffered : 0);
  std::vector<int32_t> places(with_argmax ? buffered : 0), turned_places(past_caches ? places.size() : 0);
  const auto turn_to = [&](const auto& from, auto& beside, auto* to, int64_t channels) {
    turn<Format::lanes>(from.data(), windows, channels, past_caches ? beside.data() : to);
    if (past_caches) write_past_caches(beside.data(), windows * channels, to);
  };
  Grid grid(problem);
  for (int64_t unit = begin; unit < end; ++unit) {
    const auto [first, channels] = block<Format>(C, unit / R);
    const Roi& roi = rois[unit % R];
    const Stored* const map = static_cast<const Stored*>(features) + (std::max(roi.image, 0) * C + first) * H * W;
    grid.cut(problem, roi);
    Stored* output = maxima.data();
    int32_t* argmax = with_argmax ? places.data() : nullptr;
    for (const Span& rows : grid.rows) {
      for (const Span& columns : grid.columns) {
        const Window<Stored> window{map, W, channels, rows, columns};
        if (window.empty()) {
          fill_empty(output, argmax, channels);
        } else {
          pool_window<Format, rule, with_argmax>(window, channels, false, output, argmax);
        }
        output += channels;
        if (with_argmax) argmax += channels;
      }
    }
    const int64_t at = (unit % R * C + first) * windows;
    turn_to(maxima, turned_maxima, static_cast<Stored*>(pooled.output) + at, channels);
    if (with_argmax) turn_to(places, turned_places, pooled.argmax + at, channels);
  }
  if (past_caches) fence();
}

}  // namespace detail

// Pieces of work of to_blocks: one block of one image each.
inline int64_t blocking_units(const Problem& problem) {
  return with_format(problem.type, [&](auto format) {
    return problem.N * detail::blocks_of<decltype(format)>(problem.C);
  });
}

// Copy the units begin..end - 1 of maps with their channels first, (N, C, H, W), to the order that forward() wants of
// them; as many numbers as they are.
inline void to_blocks(const Problem& problem, const void* features, void* blocks, int64_t begin, int64_t end) {
  with_format(problem.type, [&](auto format) {
    using Format = decltype(format);
    using Stored = typename Format::Stored;
    const int64_t cells = problem.H * problem.W, each = detail::blocks_of<Format>(problem.C);
    for (int64_t unit = begin; unit < end; ++unit) {
      const auto [first, channels] = detail::block<Format>(problem.C, unit % each);
      const int64_t at = (unit / each * problem.C + first) * cells;
      detail::turn<Format::lanes>(static_cast<const Stored*>(features) + at, channels, cells,
                                  static_cast<Stored*>(blocks) + at);
    }
  });
}

// Independent pieces of work: one sub-window of one RoI each; by way of tables a block of channels of two thousand
// RoIs; by way of blocks a block of channels of one RoI.
inline int64_t forward_units(const Problem& problem, const Pooled& pooled) {
  return with_format(problem.type, [&](auto format) {
    using Format = decltype(format);
    switch (pooled.way) {
      case Way::windows: return problem.R * problem.P_h * problem.P_w;
      case Way::tables: return problem.C / detail::kChannelsInTables<Format> * pooled.groups;
      default: return problem.R * detail::blocks_of<Format>(problem.C);
    }
  });
}

// Map cells under R RoIs; one under two of them counts twice.
inline int64_t cells_under(const Problem& problem, const Roi* rois) {
  return std::accumulate(rois, rois + problem.R, int64_t{0}, [&](int64_t cells, const Roi& roi) {
    return cells + std::min<int64_t>(roi.h, problem.H) * std::min<int64_t>(roi.w, problem.W);
  });
}

// Set the way for maps with their channels last. cells: from cells_under. threads: those that will share the work. By way
// of tables where they fit a cache, where they cost less than they save, where a sub-window has two cells of its own or
// more, since there is little to save in one, and where RoIs can be put in groups so that no thread has much more to do
// than the others.
inline void choose_way(const Problem& problem, const Roi* rois, int64_t cells, int64_t threads, Pooled* pooled) {
  pooled->way = Way::windows;
  const int64_t map = problem.H * problem.W;
  const bool wide = cells >= 2 * problem.R * problem.P_h * problem.P_w;
  const bool whole_blocks = with_format(
      problem.type, [&](auto format) { return problem.C % detail::kChannelsInTables<decltype(format)> == 0; });
  if (pooled->argmax || map == 0 || map > detail::kMostCells || !wide || !whole_blocks) return;
  int64_t changes = 0;  // to RoIs of another image, for which tables are made as for another group
  for (int64_t r = 1; r < problem.R; ++r) changes += rois[r].image != rois[r - 1].image;
  Pooled by_tables{pooled->output, nullptr, Way::tables};
  for (int64_t groups = (problem.R + detail::kRoisInGroup - 1) / detail::kRoisInGroup;; ++groups) {
    if (cells < detail::kTimesCovered * (groups + changes) * map) return;
    by_tables.groups = groups;
    const int64_t units = forward_units(problem, by_tables), rounds = (units + threads - 1) / threads;
    if (8 * rounds * threads <= 9 * units) break;
  }
  *pooled = by_tables;
}

// Does it pay to look for NaN in the maps before they are pooled? Where there is none, pooling is quicker; to look takes
// as long as to pool RoIs that cover the maps once or twice. cells: from cells_under.
inline bool worth_looking_for_nan(const Problem& problem, int64_t cells) {
  return problem.profile == Profile::exact && cells >= 4 * problem.N * problem.H * problem.W;
}

// Is there a NaN among the numbers begin..end - 1?
inline bool holds_nan(Type type, const void* numbers, int64_t begin, int64_t end) {
  return with_format(type, [&](auto format) {
    using Format = decltype(format);
    constexpr int64_t lanes = Format::lanes;
    const auto* const stored = static_cast<const typename Format::Stored*>(numbers);
    typename Format::Indices found{};
    int64_t i = begin;
    for (; i + lanes <= end; i += lanes) {
      const auto values = Format::load(stored + i);
      found |= values != values;
    }
    bool any = false;
    for (int64_t k = 0; k < lanes; ++k) any |= found[k] != 0;
    for (; i < end; ++i) {
      const auto value = Format::widened(stored[i]);
      any |= value != value;
    }
    return any;
  });
}

// Pool the units begin..end - 1. rois: R of them, from project_rois. features: (N, H, W, C), or from to_blocks where the
// results have their channels first. plain: they are known to hold no NaN.
// Clauses: all of spec/roi-pool.md that say what the output and the argmax are.
inline void forward(const Problem& problem, const Roi* rois, const void* features, bool plain, const Pooled& pooled,
                    int64_t begin, int64_t end) {
  const IeeeArithmetic ieee;
  const auto pool = [&](auto format, auto rule, auto with_argmax) {
    using Format = decltype(format);
    const auto by = [&](auto way) { way(problem, rois, features, pooled, begin, end); };
    switch (pooled.way) {
      case Way::windows: return by(detail::pool_windows<Format, rule(), with_argmax()>);
      case Way::tables: return by(detail::pool_tables<Format, rule()>);
      default: return by(detail::pool_blocks<Format, rule(), with_argmax()>);
    }
  };
  with_format(problem.type, [&](auto format) {
    using detail::Rule;
    const auto with_rule = [&](auto rule) {
      pooled.argmax ? pool(format, rule, std::true_type{}) : pool(format, rule, std::false_type{});
    };
    if (problem.profile != Profile::exact) {
      with_rule(std::integral_constant<Rule, Rule::caffe>{});
    } else if (plain) {
      with_rule(std::integral_constant<Rule, Rule::exact_plain>{});
    } else {
      with_rule(std::integral_constant<Rule, Rule::exact>{});
    }
  });
}

}  // namespace frcnn
