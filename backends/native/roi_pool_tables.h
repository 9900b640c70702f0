// RoI max pooling's forward pass for many RoIs, without the argmax; included by roi_pool_forward.h.
//
// A block of channels is copied out of the map, and with it go tables of its maxima over 2 and over 4 columns. A row of a
// sub-window then costs one read or two for up to eight columns, and all that is read lies together: 3 * H * W * 256
// bytes, 1.7 MB for a 38 x 57 map. For 2,000 RoIs of 7 x 7 forward takes .6 to .8 of the time that it takes sub-window by
// sub-window, most of it to write the results; for 1 x 1 it takes a fifth.
#pragma once

#include <cassert>

#include "pages.h"
#include "roi_pool_window.h"

namespace frcnn {
namespace detail {

// So many bytes of a cell are a block's channels. Memory takes 128 bytes here and there at half the speed; with 512 it took
// as long for 2,000 RoIs and longer for 45,000.
constexpr int64_t kBytesOfACell = 256;
template <class Format>
constexpr int64_t kChannelsInTables = kBytesOfACell / static_cast<int64_t>(sizeof(typename Format::Stored));

constexpr int kLevels = 3;  // tables over 1, 2 and 4 columns

// To make a map's tables takes as long as they save where RoIs cover it about 20 times, if it has 38 x 57 cells, and 30
// to 40 times with four times as many. Tables beyond 16 MB lie in no cache.
constexpr int64_t kTimesCovered = 32, kMostCells = (int64_t{1} << 24) / (kLevels * kBytesOfACell);

// RoIs are pooled group by group, all blocks of one before the next, from tables that are made where they are read. To go
// through all of 45,000 once a block took a tenth longer, since each time all pages of the result are opened anew; tables
// that are made once for all groups lie in farther caches, and that took longer too.
// With two to six groups, so that many threads have something to do, 2,000 RoIs took .63 to .74 of the time that they take
// sub-window by sub-window; with one .64.
constexpr int64_t kRoisInGroup = 2000;  // at most; groups are of one size, but for one RoI

// tables: (kLevels, H, W, channels), of 2^level columns from each cell on; what would reach beyond the last column is
// left out. map: (H, W, C) from the block's first channel. The first of equals stays here as well: of two spans that
// follow or overlap each other the first holds all that comes before the second.
template <class Format, Rule rule>
void make_tables(const typename Format::Stored* map, const Problem& problem, typename Format::Stored* tables) {
  using Stored = typename Format::Stored;
  using Values = typename Format::Values;
  constexpr int64_t lanes = Format::lanes, channels = kChannelsInTables<Format>;
  const int64_t H = problem.H, W = problem.W, numbers = H * W * channels;
  for (int64_t cell = 0; cell < H * W; ++cell) {
    for (int64_t channel = 0; channel < channels; channel += lanes) {
      const Values value = Format::load(map + cell * problem.C + channel), start = Format::start();
      const Values kept = rule == Rule::caffe ? (replaces<rule>(value, start) ? value : start) : value;
      write(Format::stored(kept), tables + cell * channels + channel, false);
    }
  }
  for (int level = 1; level < kLevels; ++level) {
    const int64_t reach = int64_t{1} << level, other = reach / 2 * channels;
    const Stored* const narrower = tables + (level - 1) * numbers;
    for (int64_t row = 0; row < H; ++row) {
      const int64_t begin = row * W * channels, end = begin + std::max<int64_t>(W - reach + 1, 0) * channels;
      for (int64_t at = begin; at < end; at += lanes) {
        const Values best = Format::load(narrower + at), value = Format::load(narrower + at + other);
        write(Format::stored(replaces<rule>(value, best) ? value : best), tables + level * numbers + at, false);
      }
    }
  }
}

// The maximum of a window in some of a block's channels. window: of the table over `reach` columns, as many as it has or
// fewer.
template <class Format, Rule rule, int vectors>
FRCNN_INLINE void pool_from_table(const Window<typename Format::Stored>& window, int64_t reach, bool past_caches,
                                  typename Format::Stored* output) {
  using Stored = typename Format::Stored;
  using Values = typename Format::Values;
  constexpr int64_t lanes = Format::lanes, channels = kChannelsInTables<Format>;
  const Stored* row = window.map + (window.rows.first * window.W + window.columns.first) * channels;
  Values best[vectors];
#pragma GCC unroll 8
  for (int k = 0; k < vectors; ++k) best[k] = Format::load(row + k * lanes);
  const int64_t last = window.columns.size() - reach;
  for (int64_t rows = window.rows.size(); rows > 0; --rows, row += window.W * channels) {
    for (int64_t column = 0;; column = std::min(column + reach, last)) {
#pragma GCC unroll 8
      for (int k = 0; k < vectors; ++k) {
        const Values value = Format::load(row + column * channels + k * lanes);
        best[k] = replaces<rule>(value, best[k]) ? value : best[k];
      }
      if (column == last) break;
    }
  }
#pragma GCC unroll 8
  for (int k = 0; k < vectors; ++k) write(Format::stored(best[k]), output + k * lanes, past_caches);
}

// Units are blocks of channels of a group of RoIs, all blocks of a group before the next group.
template <class Format, Rule rule>
void pool_tables(const Problem& problem, const Roi* rois, const void* features, const Pooled& pooled, int64_t begin,
                 int64_t end) {
  using Stored = typename Format::Stored;
  constexpr int64_t channels = kChannelsInTables<Format>;
  constexpr int vectors = static_cast<int>(std::min<int64_t>(channels / Format::lanes, 8));  // they fit 16 registers
  const auto [type, profile, N, H, W, C, R, P_h, P_w] = problem;
  assert(C % channels == 0 && pooled.argmax == nullptr);
  const bool past_caches = goes_past_caches<Format>(problem, pooled);
  const int64_t blocks = C / channels, groups = pooled.groups, numbers = H * W * channels;
  const Scratch scratch(kLevels * numbers * static_cast<int64_t>(sizeof(Stored)));
  Stored* const tables = static_cast<Stored*>(scratch.data());
  const Stored* made_of = nullptr;
  Grid grid(problem);
  for (int64_t unit = begin; unit < end; ++unit) {
    const int64_t channel = unit % blocks * channels, group = unit / blocks;
    for (int64_t r = R * group / groups; r < R * (group + 1) / groups; ++r) {
      const Stored* const map = static_cast<const Stored*>(features) + std::max(rois[r].image, 0) * H * W * C + channel;
      if (map != made_of && rois[r].image >= 0) {
        make_tables<Format, rule>(map, problem, tables);
        made_of = map;
      }
      grid.cut(problem, rois[r]);
      Stored* output = static_cast<Stored*>(pooled.output) + r * P_h * P_w * C + channel;
      for (const Span& rows : grid.rows) {
        for (const Span& columns : grid.columns) {
          const int level = columns.size() >= 4 ? 2 : columns.size() >= 2 ? 1 : 0;
          Window<Stored> window{tables + level * numbers, W, channels, rows, columns};
          if (window.empty()) {
            fill_empty(output, nullptr, channels);
          } else {
            for (int64_t part = 0; part < channels; part += vectors * Format::lanes) {
              pool_from_table<Format, rule, vectors>(window, int64_t{1} << level, past_caches, output + part);
              window.map += vectors * Format::lanes;
            }
          }
          output += C;
        }
      }
    }
  }
  if (past_caches) fence();
}

}  // namespace detail
}  // namespace frcnn
