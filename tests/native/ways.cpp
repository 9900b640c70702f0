// RoI pooling from tables gives the bits of pooling sub-window by sub-window: pools drawn problems both ways, in pieces
// of any size, and compares. Values tie, are signed zeros, NaN, infinite and subnormal; RoIs are in several groups, of
// images in any order or of none, and leave the map. Prints how many were compared.
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <random>
#include <vector>

#include "pages.h"
#include "roi_pool.h"

using frcnn::Problem;
using frcnn::Profile;
using frcnn::Type;
using frcnn::Way;

static std::mt19937 randomness(1);

static int64_t below(int64_t n) { return static_cast<int64_t>(randomness() % static_cast<uint32_t>(n)); }

static std::vector<frcnn::Roi> drawn_rois(const Problem& problem) {
  std::vector<frcnn::Roi> rois(static_cast<size_t>(problem.R));
  const bool in_order = below(2);
  for (size_t r = 0; r < rois.size(); ++r) {
    const int64_t image = in_order ? static_cast<int64_t>(r) * problem.N / problem.R : below(problem.N + 1) - 1;
    const auto cell = [](int64_t size) { return static_cast<int32_t>(below(size + 8) - 4); };
    const auto extent = [](int64_t size) { return static_cast<int32_t>(1 + below(size + 6)); };
    rois[r] = {static_cast<int32_t>(image), cell(problem.H), cell(problem.W), extent(problem.H), extent(problem.W), false};
    if (below(50) == 0) rois[r].w = 1 << 24;
  }
  return rois;
}

template <class Format>
static std::vector<typename Format::Stored> drawn_numbers(int64_t count) {
  const float inf = std::numeric_limits<float>::infinity(), nan = std::numeric_limits<float>::quiet_NaN();
  const std::vector<float> kinds[] = {
      {0, -0.0f, 1, -1, 1e-40f, -1e-40f}, {0, -0.0f, 1, inf, -inf, nan, -FLT_MAX, FLT_MAX}, {-inf, -FLT_MAX, nan}};
  const std::vector<float>& choices = kinds[below(3)];
  std::vector<typename Format::Stored> numbers(static_cast<size_t>(count));
  for (auto& number : numbers) {
    const float value = choices[static_cast<size_t>(below(static_cast<int64_t>(choices.size())))];
    number = Format::narrowed(static_cast<typename Format::Value>(value));
  }
  return numbers;
}

template <class Format>
static void compare(const Problem& problem) {
  using Stored = typename Format::Stored;
  const auto rois = drawn_rois(problem);
  const int64_t count = problem.N * problem.H * problem.W * problem.C;
  const auto features = drawn_numbers<Format>(count);
  const bool plain = !frcnn::holds_nan(problem.type, features.data(), 0, count) && below(2);
  const auto pooled = static_cast<size_t>(problem.R * problem.P_h * problem.P_w * problem.C);
  std::vector<Stored> by_windows(pooled, Stored(1)), by_tables(pooled, Stored(2));
  const auto pool = [&](Way way, std::vector<Stored>& output, int64_t largest_piece) {
    const frcnn::Pooled results{output.data(), nullptr, way, 1 + below(4)};
    const int64_t units = frcnn::forward_units(problem, results);
    for (int64_t unit = 0; unit < units;) {
      const int64_t end = std::min(units, unit + 1 + below(largest_piece));
      frcnn::forward(problem, rois.data(), features.data(), plain, results, unit, end);
      unit = end;
    }
  };
  pool(Way::windows, by_windows, 1 << 20);
  pool(Way::tables, by_tables, 3);
  if (std::memcmp(by_windows.data(), by_tables.data(), pooled * sizeof(Stored)) == 0) return;
  std::printf("other bits: type %d, profile %d, N %d, %d x %d, C %d, R %d, P %d x %d\n", static_cast<int>(problem.type),
              static_cast<int>(problem.profile), static_cast<int>(problem.N), static_cast<int>(problem.H),
              static_cast<int>(problem.W), static_cast<int>(problem.C), static_cast<int>(problem.R),
              static_cast<int>(problem.P_h), static_cast<int>(problem.P_w));
  std::exit(1);
}

static frcnn::Pooled chosen(const Problem& problem, const std::vector<frcnn::Roi>& rois, int64_t threads) {
  frcnn::Pooled pooled{nullptr, nullptr, Way::blocks};
  frcnn::choose_way(problem, rois.data(), frcnn::cells_under(problem, rois.data()), threads, &pooled);
  return pooled;
}

// Tables of no cell are no way, and memory of no byte comes back as any other.
static void try_an_empty_map() {
  const Problem empty{Type::float32, Profile::exact, 1, 0, 7, 512, 1, 1, 1};
  if (chosen(empty, {{0, 0, 0, 1, 1, false}}, 2).way != Way::windows) std::exit(2);
  frcnn::KeptBlocks blocks;
  const auto first = blocks.take(0);
  blocks.give_back(first);
  if (blocks.take(0).data != first.data) std::exit(3);
}

// Two thousand RoIs of 512 channels are pooled from tables by few threads and by many, none of which has an eighth more
// to do than the mean; a hundred are for no number of threads.
static void try_numbers_of_threads() {
  const Problem many{Type::float32, Profile::exact, 1, 38, 57, 512, 2000, 7, 7};
  Problem few = many;
  few.R = 100;
  const std::vector<frcnn::Roi> rois(2000, {0, 2, 3, 15, 15, false});
  for (const int64_t threads : {1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48}) {
    const frcnn::Pooled pooled = chosen(many, rois, threads);
    if (pooled.way != Way::tables || (threads <= 4 && pooled.groups != 1)) std::exit(4);
    const int64_t units = frcnn::forward_units(many, pooled), most = (units + threads - 1) / threads;
    if (8 * most * threads > 9 * units) std::exit(5);
    if (chosen(few, rois, threads).way != Way::windows) std::exit(6);
  }
}

int main() {
  try_an_empty_map();
  try_numbers_of_threads();
  int compared = 0;
  for (int round = 0; round < 120; ++round) {
    for (const Type type : {Type::float16, Type::bfloat16, Type::float32, Type::float64}) {
      for (const Profile profile : {Profile::exact, Profile::caffe_2015}) {
        frcnn::with_format(type, [&](auto format) {
          using Format = decltype(format);
          const int64_t block = frcnn::detail::kChannelsInTables<Format>;
          const int64_t W = round % 8 == 0 ? 40 : 1 + below(14);
          Problem problem{type, profile, 1 + below(3), 1 + below(12), W, block * (1 + below(2)), 1 + below(20),
                          1 + below(8), 1 + below(8)};
          if (round % 12 == 0) problem.R = 2001 + below(2500), problem.P_h = 1 + below(2), problem.P_w = 1;
          compare<Format>(problem);
          ++compared;
        });
      }
    }
  }
  std::printf("the same bits %d times\n", compared);
}
