// Whether backward tells each cell's row rightly, on maps of W columns. The row that it tells never falls as cells
// rise, since each rounding keeps their order; so where a row's first and last cell are told rightly, all between are.
// In float32 that is every row of every map that it is for; in float64 rows of some maps, the last ones among them.
#include <cstdio>
#include <cstdlib>
#include <initializer_list>

#include "roi_pool.h"

// The row's first and last cell, and those before and after.
template <class Real>
static void try_row(int64_t row, int64_t W, int64_t cells) {
  const auto has = [&](int64_t cell, int64_t r) {
    if (cell < 0 || cell > cells) return r != row;  // nobody asks
    const frcnn::Span rows{r, r + 1}, columns{0, W};
    const frcnn::detail::Receivers<Real> receivers{static_cast<int32_t>(W), static_cast<int32_t>(cells),
                                                   1 / static_cast<Real>(W), rows, columns};
    return receivers.have(static_cast<int32_t>(cell));
  };
  const int64_t first = row * W, last = first + W - 1;
  const bool right = has(first, row) && (last > cells || has(last, row)) && (row == 0 || has(first - 1, row - 1)) &&
                     (last + 1 > cells || has(last + 1, row + 1));
  if (right) return;
  std::printf("row %lld of a map %lld wide is told wrongly\n", static_cast<long long>(row), static_cast<long long>(W));
  std::exit(1);
}

int main() {
  constexpr int64_t few = frcnn::detail::kFewCells, most = INT32_MAX - 1;
  for (int64_t W = 1; W <= few; ++W) {
    for (int64_t row = 0; row <= few / W; ++row) try_row<float>(row, W, few);
  }
  for (const int64_t W : {1, 2, 3, 7, 750, 1024, 1025, 46340, 46341, 65535, 1 << 20, 715827883, 1 << 30, INT32_MAX}) {
    const int64_t last = most / W;
    for (int64_t row = 0; row <= std::min<int64_t>(last, 10000); ++row) try_row<double>(row, W, most);
    for (int64_t row = std::max<int64_t>(last - 10000, 0); row <= last; ++row) try_row<double>(row, W, most);
  }
  std::printf("every row is right\n");
}
