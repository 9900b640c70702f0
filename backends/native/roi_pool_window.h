// RoI max pooling's sub-windows: where they lie, and how one is pooled going forward; included by roi_pool_forward.h.
#pragma once

#include "roi_pool.h"

namespace frcnn {

// How the forward pass goes about it.
enum class Way {
  windows,  // sub-window by sub-window, all channels of one before the next
  tables,   // block of channels by block, from tables of maxima; without the argmax, and C in whole blocks of 256 bytes
  blocks,   // block of channels by block, for maps and results with their channels first
};

// Where the results go, and by which way. output: of the features' type. argmax: nullptr where it is not wanted, which is
// quicker. Both (R, P_h, P_w, C), or (R, C, P_h, P_w) by way of blocks. groups: of RoIs, by way of tables.
struct Pooled {
  void* output;
  int32_t* argmax;
  Way way;
  int64_t groups = 1;
};

namespace detail {

// Left to the compiler, one more use of a function made forward take up to 1.6 times as long: it then lays the window out
// on the stack for each block of channels, which has nine cells in the mean.
#define FRCNN_INLINE __attribute__((always_inline)) inline

// Four vectors are enough to keep the loads busy, and with their indices they fit 16 registers.
constexpr int kVectorsInBlock = 4;

// Results that go past the caches go in whole vectors at their own alignment: with a multiple of this many channels every
// block of any type is so many.
constexpr int64_t kWholeChannels = kVectorBytes / 2;

template <class Format>
bool goes_past_caches(const Problem& problem, const Pooled& pooled) {
  const int64_t numbers = problem.R * problem.P_h * problem.P_w * problem.C;
  const int64_t bytes_each = sizeof(typename Format::Stored) + (pooled.argmax ? sizeof(int32_t) : 0);
  const bool whole = problem.C % kWholeChannels == 0 && aligned(pooled.output) && aligned(pooled.argmax);
  return whole && numbers * bytes_each >= kPastCaches;
}

// A window of one image's map, and where in the map's rows it lies.
template <class Stored>
struct Window {
  const Stored* map;  // (H, W, C) from the first channel to be pooled
  int64_t W, C;
  Span rows, columns;
  bool empty() const { return rows.size() <= 0 || columns.size() <= 0; }
};

// Clause roi-pool.grid: the sub-windows along one axis of an extent that begins at `start`, clipped to a map of `size`.
// exact's begin at floor(p extent / P) and end at ceil((p + 1) extent / P). Quotient and remainder go along from one to
// the next: with a division for each, to cut the RoIs took up to an eighth of all time.
inline void cut(Profile profile, int64_t start, int64_t extent, int64_t size, std::vector<Span>* windows) {
  const auto P = static_cast<int64_t>(windows->size());
  const auto clipped = [&](int64_t first, int64_t end) {
    return Span{std::clamp<int64_t>(start + first, 0, size), std::clamp<int64_t>(start + end, 0, size)};
  };
  if (profile == Profile::exact) {
    int64_t first = 0, remainder = 0;
    for (Span& window : *windows) {
      int64_t next = first + extent / P;
      remainder += extent % P;
      if (remainder >= P) remainder -= P, ++next;
      window = clipped(first, remainder > 0 ? next + 1 : next);
      first = next;
    }
  } else {
    const float bin_size = static_cast<float>(extent) / static_cast<float>(P);
    for (int64_t p = 0; p < P; ++p) {
      const float first = static_cast<float>(p) * bin_size, end = static_cast<float>(p + 1) * bin_size;
      (*windows)[static_cast<size_t>(p)] =
          clipped(static_cast<int64_t>(std::floor(first)), static_cast<int64_t>(std::ceil(end)));
    }
  }
}

// One RoI's sub-windows: their rows and their columns. An unusable RoI's have none.
struct Grid {
  explicit Grid(const Problem& problem)
      : rows(static_cast<size_t>(problem.P_h)), columns(static_cast<size_t>(problem.P_w)) {}

  void cut(const Problem& problem, const Roi& roi) {
    detail::cut(problem.profile, roi.r, roi.h, problem.H, &rows);
    detail::cut(problem.profile, roi.c, roi.w, problem.W, &columns);
    if (roi.image < 0) std::fill(rows.begin(), rows.end(), Span{0, 0});
  }

  std::vector<Span> rows, columns;
};

// How the running maximum goes on. Clauses roi-pool.tie, roi-pool.nan and roi-pool.infinity: the first of equals stays.
enum class Rule {
  exact,        // the first NaN wins and stays
  exact_plain,  // the same where there is no NaN: one comparison in place of two, which saves a quarter of the time
  caffe,        // strict >, from -FLT_MAX: a NaN never wins
};

template <Rule rule, class Values>
auto replaces(Values value, Values best) {
  if constexpr (rule == Rule::exact) {
    return ~(value <= best) & (best == best);
  } else {
    return value > best;
  }
}

// Maximum and argmax of the window in `vectors` vectors of channels. `channels` is looked at only with `partial`: then
// there is one vector, of which just so many lanes may be read and written. past_caches: see write(). Only unrolled do
// the vectors stay in registers from one loop to the next, and the cell is a vector too, since to fill one with it each
// time takes longer: both together saved a fifth.
template <class Format, Rule rule, bool with_argmax, int vectors, bool partial = false>
FRCNN_INLINE void pool_channels(const Window<typename Format::Stored>& window, bool past_caches,
                                typename Format::Stored* output, int32_t* argmax, int channels = 0) {
  using Stored = typename Format::Stored;
  using Values = typename Format::Values;
  using Indices = typename Format::Indices;
  using Index = typename Format::Index;
  constexpr int lanes = Format::lanes;
  const auto load = [&](const Stored* at) {
    if (!partial) return Format::load(at);
    Stored padded[lanes] = {};
    std::copy_n(at, channels, padded);
    return Format::load(padded);
  };
  const int64_t first = window.rows.first * window.W + window.columns.first;
  const int64_t width = window.columns.size(), skipped = window.W - width;
  const Stored* at = window.map + first * window.C;
  Indices cell = Indices{} + static_cast<Index>(first);
  Values best[vectors];
  Indices where[vectors];
#pragma GCC unroll 4
  for (int k = 0; k < vectors; ++k) {
    const bool exact = rule != Rule::caffe;  // its first cell always wins, so the loop may meet it again
    best[k] = exact ? load(at + k * lanes) : Format::start();
    where[k] = exact ? cell : Indices{} - 1;
  }
  for (int64_t rows = window.rows.size(); rows > 0; --rows) {
    for (int64_t columns = width; columns > 0; --columns) {
#pragma GCC unroll 4
      for (int k = 0; k < vectors; ++k) {
        const Values value = load(at + k * lanes);
        const Indices taken = replaces<rule>(value, best[k]);
        best[k] = taken ? value : best[k];
        if (with_argmax) where[k] = taken ? cell : where[k];
      }
      at += window.C;
      cell += 1;
    }
    at += skipped * window.C;
    cell += static_cast<Index>(skipped);
  }
#pragma GCC unroll 4
  for (int k = 0; k < vectors; ++k) {
    const auto stored = Format::stored(best[k]);
    const auto places = __builtin_convertvector(where[k], typename Format::Places);
    if (partial) {
      std::memcpy(output, &stored, static_cast<size_t>(channels) * sizeof(Stored));
      if (with_argmax) std::memcpy(argmax, &places, static_cast<size_t>(channels) * sizeof(int32_t));
    } else {
      write(stored, output + k * lanes, past_caches);
      if (with_argmax) write(places, argmax + k * lanes, past_caches);
    }
  }
}

// The channels of one sub-window from the first to `channels`, at least as many as a vector has lanes or all there are.
// The last vector is moved back so as to end with the last channel; what it shares with the one before it is computed
// twice, to the same result.
template <class Format, Rule rule, bool with_argmax>
FRCNN_INLINE void pool_window(Window<typename Format::Stored> window, int64_t channels, bool past_caches,
                              typename Format::Stored* output, int32_t* argmax) {
  constexpr int64_t lanes = Format::lanes, block = kVectorsInBlock * lanes;
  const auto* map = window.map;
  const auto argmax_at = [&](int64_t channel) { return with_argmax ? argmax + channel : nullptr; };
  if (channels < lanes) {
    pool_channels<Format, rule, with_argmax, 1, true>(window, false, output, argmax, static_cast<int>(channels));
    return;
  }
  int64_t channel = 0;
  for (; channel + block <= channels; channel += block) {
    window.map = map + channel;
    pool_channels<Format, rule, with_argmax, kVectorsInBlock>(window, past_caches, output + channel,
                                                              argmax_at(channel));
  }
  for (; channel < channels; channel += lanes) {
    const int64_t here = std::min(channel, channels - lanes);
    window.map = map + here;
    pool_channels<Format, rule, with_argmax, 1>(window, past_caches, output + here, argmax_at(here));
  }
}

template <class Stored>
void fill_empty(Stored* output, int32_t* argmax, int64_t channels) {  // roi-pool.empty, roi-pool.unchecked
  std::fill_n(output, channels, Stored{});
  if (argmax) std::fill_n(argmax, channels, -1);
}

}  // namespace detail
}  // namespace frcnn
