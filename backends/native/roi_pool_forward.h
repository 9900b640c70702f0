// RoI max pooling's forward pass; included by roi_pool.h, which says what is read and written.
#pragma once

#include <numeric>
#include <type_traits>

#include "roi_pool.h"

namespace frcnn {

// Where the results go. output: of the features' type. argmax: nullptr where it is not wanted, which is quicker. Both
// (R, P_h, P_w, C), or (R, C, P_h, P_w) where channels_first.
struct Pooled {
  void* output;
  int32_t* argmax;
  bool channels_first;
};

namespace detail {

// Four vectors are enough to keep the loads busy, and with their indices they fit 16 registers.
constexpr int kVectorsInBlock = 4;

// Results of so many bytes, which no cache would hold, are written past them, in whole vectors at their own alignment: with a multiple of
// this many channels every block of any type is so many.
constexpr int64_t kWholeChannels = kVectorBytes / 2;
constexpr size_t kPastCaches = size_t{1} << 25;

template <class Format>
bool goes_past_caches(const Problem& problem, const Pooled& pooled) {
  const int64_t numbers = problem.R * problem.P_h * problem.P_w * problem.C;
  const auto aligned = [](const void* data) { return reinterpret_cast<uintptr_t>(data) % kVectorBytes == 0; };
  const bool whole = problem.C % kWholeChannels == 0 && aligned(pooled.output) && aligned(pooled.argmax);
  return whole && static_cast<size_t>(numbers) * sizeof(typename Format::Stored) >= kPastCaches;
}

// A non-empty window of one image's map, and where in the map's rows it lies.
template <class Stored>
struct Window {
  const Stored* map;  // (H, W, C) from the first channel to be pooled
  int64_t W, C;
  Span rows, columns;
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
// there is one vector, of which just so many lanes may be read and written. past_caches: see write().
template <class Format, Rule rule, bool with_argmax, int vectors, bool partial = false>
void pool_channels(const Window<typename Format::Stored>& window, bool past_caches, typename Format::Stored* output,
                   int32_t* argmax, int channels = 0) {
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
    const bool exact = rule != Rule::caffe;  // its first cell always wins, so the loop may meet it again
    best[k] = exact ? load(window.map + first * window.C + k * lanes) : Format::start();
    where[k] = Indices{} + static_cast<typename Format::Index>(exact ? first : -1);
  }
  for (int64_t row = window.rows.first; row < window.rows.end; ++row) {
    int64_t cell = row * window.W + window.columns.first;
    const Stored* at = window.map + cell * window.C;
    for (const int64_t end = cell + window.columns.size(); cell < end; ++cell, at += window.C) {
      for (int k = 0; k < vectors; ++k) {
        const Values value = load(at + k * lanes);
        const Indices taken = replaces<rule>(value, best[k]);
        best[k] = taken ? value : best[k];
        if (with_argmax) where[k] = taken ? Indices{} + static_cast<typename Format::Index>(cell) : where[k];
      }
    }
  }
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
void pool_window(Window<typename Format::Stored> window, int64_t channels, bool past_caches,
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

// Units are sub-windows. Each goes through all channels before the next, so that what is read and written lies together:
// a block of channels of all sub-windows before the next block reads the map from a nearer cache, and writes one line of
// each page in turn; that took 1.5 to 3 times as long.
template <class Format, Rule rule, bool with_argmax>
void pool_windows(const Problem& problem, const Roi* rois, const void* features, const Pooled& pooled, int64_t begin,
                  int64_t end) {
  using Stored = typename Format::Stored;
  const auto [type, profile, N, H, W, C, R, P_h, P_w] = problem;
  const bool past_caches = goes_past_caches<Format>(problem, pooled);
  for (int64_t unit = begin; unit < end; ++unit) {
    const Roi& roi = rois[unit / (P_h * P_w)];
    const Span rows = bin(profile, roi.r, roi.h, P_h, unit / P_w % P_h, H);
    const Span columns = bin(profile, roi.c, roi.w, P_w, unit % P_w, W);
    Stored* const output = static_cast<Stored*>(pooled.output) + unit * C;
    int32_t* const argmax = with_argmax ? pooled.argmax + unit * C : nullptr;
    if (roi.image < 0 || rows.size() <= 0 || columns.size() <= 0) {
      fill_empty(output, argmax, C);
      continue;
    }
    const Stored* const map = static_cast<const Stored*>(features) + roi.image * H * W * C;
    pool_window<Format, rule, with_argmax>({map, W, C, rows, columns}, C, past_caches, output, argmax);
  }
  if (past_caches) fence();
}

// (windows, channels) to (channels, windows); past the caches by way of `beside`, since there it goes in whole vectors.
template <class Element>
void turn(const std::vector<Element>& from, int64_t windows, int64_t channels, bool past_caches,
          std::vector<Element>* beside, Element* to) {
  Element* const turned = past_caches ? beside->data() : to;
  for (int64_t channel = 0; channel < channels; ++channel) {
    for (int64_t i = 0; i < windows; ++i) {
      turned[channel * windows + i] = from[static_cast<size_t>(i * channels + channel)];
    }
  }
  if (!past_caches) return;
  typedef char Bytes __attribute__((vector_size(kVectorBytes)));
  constexpr int64_t elements = kVectorBytes / sizeof(Element);
  for (int64_t i = 0; i < channels * windows; i += elements) {
    Bytes bytes;
    std::memcpy(&bytes, turned + i, sizeof bytes);
    write(bytes, to + i, true);
  }
}

// Units are RoIs, whose results have their channels first. A block of channels of all sub-windows is turned while it is
// in the first-level cache: 7 x 7 sub-windows of 64 float32 are 12.5 KB, and so are their places.
template <class Format, Rule rule, bool with_argmax>
void pool_turned(const Problem& problem, const Roi* rois, const void* features, const Pooled& pooled, int64_t begin,
                 int64_t end) {
  using Stored = typename Format::Stored;
  constexpr int64_t block = kVectorsInBlock * Format::lanes;
  const auto [type, profile, N, H, W, C, R, P_h, P_w] = problem;
  const int64_t windows = P_h * P_w;
  // The last block has the channels that are left over as well, so that none is narrower than a vector.
  std::vector<Stored> maxima(static_cast<size_t>(windows * 2 * block));
  std::vector<int32_t> places(with_argmax ? maxima.size() : 0);
  auto turned_maxima = maxima;
  auto turned_places = places;
  const bool past_caches = goes_past_caches<Format>(problem, pooled);
  for (int64_t i = begin; i < end; ++i) {
    const Roi& roi = rois[i];
    const Stored* const map = static_cast<const Stored*>(features) + std::max(roi.image, 0) * H * W * C;
    for (int64_t first = 0, channels; first < C; first += channels) {
      channels = C - first < 2 * block ? C - first : block;
      for (int64_t window = 0; window < windows; ++window) {
        const Span rows = bin(profile, roi.r, roi.h, P_h, window / P_w, H);
        const Span columns = bin(profile, roi.c, roi.w, P_w, window % P_w, W);
        Stored* const output = maxima.data() + window * channels;
        int32_t* const argmax = with_argmax ? places.data() + window * channels : nullptr;
        if (roi.image < 0 || rows.size() <= 0 || columns.size() <= 0) {
          fill_empty(output, argmax, channels);
        } else {
          pool_window<Format, rule, with_argmax>({map + first, W, C, rows, columns}, channels, false, output, argmax);
        }
      }
      const int64_t at = (i * C + first) * windows;
      turn(maxima, windows, channels, past_caches, &turned_maxima, static_cast<Stored*>(pooled.output) + at);
      if (with_argmax) turn(places, windows, channels, past_caches, &turned_places, pooled.argmax + at);
    }
  }
  if (past_caches) fence();
}

}  // namespace detail

// Independent pieces of work: one sub-window of one RoI each, or one RoI where the results have their channels first.
inline int64_t forward_units(const Problem& problem, const Pooled& pooled) {
  return pooled.channels_first ? problem.R : problem.R * problem.P_h * problem.P_w;
}

// Map cells under R RoIs; one under two of them counts twice.
inline int64_t cells_under(const Problem& problem, const Roi* rois) {
  return std::accumulate(rois, rois + problem.R, int64_t{0}, [&](int64_t cells, const Roi& roi) {
    return cells + std::min<int64_t>(roi.h, problem.H) * std::min<int64_t>(roi.w, problem.W);
  });
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

// Pool the units begin..end - 1. rois: R of them, from project_rois. features: (N, H, W, C). plain: they are known to
// hold no NaN.
// Clauses: all of spec/roi-pool.md that say what the output and the argmax are.
inline void forward(const Problem& problem, const Roi* rois, const void* features, bool plain, const Pooled& pooled,
                    int64_t begin, int64_t end) {
  const IeeeArithmetic ieee;
  const auto pool = [&](auto format, auto rule, auto with_argmax) {
    using Format = decltype(format);
    const auto run = pooled.channels_first ? detail::pool_turned<Format, rule(), with_argmax()>
                                           : detail::pool_windows<Format, rule(), with_argmax()>;
    run(problem, rois, features, pooled, begin, end);
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
