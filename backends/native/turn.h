// Turning a matrix: what is read row after row is written column after column. A square of as many numbers a side as
// the maps' vectors have lanes is turned in registers, which reads and writes whole vectors; number by number, all of
// RoI pooling takes 1.6 times as long.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <type_traits>
#include <utility>

namespace frcnn {
namespace detail {

// The elements of two vectors in turn, from both halves that begin at `half`: a0 b0 a1 b1 ...
template <int half, class Row, int... lane>
Row interleaved(Row a, Row b, std::integer_sequence<int, lane...>) {
  constexpr int lanes = sizeof...(lane);
#if defined(__clang__)
  return __builtin_shufflevector(a, b, (half + lane / 2 + lane % 2 * lanes)...);
#else
  using Lane = std::conditional_t<sizeof(a[0]) == 8, int64_t, std::conditional_t<sizeof(a[0]) == 4, int32_t, int16_t>>;
  typedef Lane Mask __attribute__((vector_size(sizeof(Row))));
  return __builtin_shuffle(a, b, Mask{(half + lane / 2 + lane % 2 * lanes)...});
#endif
}

// One square. Each round moves the highest bit of a number's row to the lowest of its column and the others one up; as
// many rounds as a row's index has bits exchange the two.
template <class Element, int lanes>
void turn_square(const Element* from, int64_t columns, Element* to, int64_t rows) {
  typedef Element Row __attribute__((vector_size(lanes * sizeof(Element))));
  constexpr std::make_integer_sequence<int, lanes> each{};
  Row now[lanes], next[lanes];
  for (int i = 0; i < lanes; ++i) std::memcpy(&now[i], from + i * columns, sizeof(Row));
  for (int round = 1; round < lanes; round *= 2) {
    for (int i = 0; i < lanes / 2; ++i) {
      next[2 * i] = interleaved<0>(now[i], now[i + lanes / 2], each);
      next[2 * i + 1] = interleaved<lanes / 2>(now[i], now[i + lanes / 2], each);
    }
    std::copy_n(next, lanes, now);
  }
  for (int i = 0; i < lanes; ++i) std::memcpy(to + i * rows, &now[i], sizeof(Row));
}

// (rows, columns) to (columns, rows), both contiguous. The last squares are moved back so as to end with the last row or
// column; what they share with those before is written twice. What is narrower than a square goes number by number.
template <int lanes, class Element>
void turn(const Element* from, int64_t rows, int64_t columns, Element* to) {
  const bool narrow = rows < lanes || columns < lanes;
  const int64_t side = narrow ? 1 : lanes;
  for (int64_t row = 0; row < rows; row += side) {
    for (int64_t column = 0; column < columns; column += side) {
      const int64_t i = std::min(row, rows - side), j = std::min(column, columns - side);
      if (narrow) {
        to[j * rows + i] = from[i * columns + j];
      } else {
        turn_square<Element, lanes>(from + i * columns + j, columns, to + j * rows + i, rows);
      }
    }
  }
}

}  // namespace detail
}  // namespace frcnn
