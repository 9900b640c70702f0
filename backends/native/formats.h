// The four floating-point types as the kernels see them: how one is stored, in what it is compared and added up, and
// how a vector of them is read and written.
//
// The vectors are GCC's and clang's own extension, as wide as the registers that the compiler may use. They were chosen
// over plain arrays because the running maxima then stay in registers across a window.
#pragma once

#include <cfloat>
#include <cstdint>
#include <cstring>
#include <limits>

#if defined(__SSE2__)
#include <immintrin.h>
#endif

namespace frcnn {

enum class Type { float16, bfloat16, float32, float64 };

namespace detail {

#if defined(__AVX512F__)
constexpr int kVectorBytes = 64;
#elif defined(__AVX__)
constexpr int kVectorBytes = 32;
#else
constexpr int kVectorBytes = 16;
#endif

template <class To, class From>
To bit_cast(From from) {
  static_assert(sizeof(To) == sizeof(From));
  To to;
  std::memcpy(&to, &from, sizeof to);
  return to;
}

// Write a vector. past_caches: `to` has its alignment, and nobody reads there soon: then the line is not first fetched
// from memory, which is a third of what a large result costs. fence() has to follow before anybody reads.
template <class Vector>
void write(Vector vector, void* to, [[maybe_unused]] bool past_caches) {
#if defined(__SSE2__)
  if (past_caches) {
#if defined(__AVX512F__)
    if constexpr (sizeof vector == 64) return _mm512_stream_si512(static_cast<__m512i*>(to), bit_cast<__m512i>(vector));
#endif
#if defined(__AVX__)
    if constexpr (sizeof vector == 32) return _mm256_stream_si256(static_cast<__m256i*>(to), bit_cast<__m256i>(vector));
#endif
    if constexpr (sizeof vector == 16) return _mm_stream_si128(static_cast<__m128i*>(to), bit_cast<__m128i>(vector));
  }
#endif
  std::memcpy(to, &vector, sizeof vector);
}

inline void fence() {
#if defined(__SSE2__)
  _mm_sfence();
#endif
}

// Results of so many bytes, more than the caches near a core hold, are written past them.
constexpr int64_t kPastCaches = int64_t{1} << 23;

// Does a pointer, or nullptr, have a vector's alignment?
inline bool aligned(const void* data) { return reinterpret_cast<uintptr_t>(data) % kVectorBytes == 0; }

// `count` elements past the caches, in whole vectors at their alignment.
template <class Element>
void write_past_caches(const Element* from, int64_t count, Element* to) {
  typedef char Bytes __attribute__((vector_size(kVectorBytes)));
  for (int64_t i = 0; i < count; i += kVectorBytes / static_cast<int64_t>(sizeof(Element))) {
    Bytes bytes;
    std::memcpy(&bytes, from + i, sizeof bytes);
    write(bytes, to + i, true);
  }
}

// A vector of Lane and the signed integers that its comparisons give, which also hold the indices; Places are those as
// they are stored.
template <class Lane>
struct Vectors;
template <>
struct Vectors<float> {
  static constexpr int lanes = kVectorBytes / 4;
  typedef float Values __attribute__((vector_size(kVectorBytes)));
  typedef int32_t Indices __attribute__((vector_size(kVectorBytes)));
  typedef uint32_t Bits __attribute__((vector_size(kVectorBytes)));
  typedef uint16_t Halves __attribute__((vector_size(kVectorBytes / 2)));
  using Index = int32_t;
  using Places = Indices;
};
template <>
struct Vectors<double> {
  static constexpr int lanes = kVectorBytes / 8;
  typedef double Values __attribute__((vector_size(kVectorBytes)));
  typedef int64_t Indices __attribute__((vector_size(kVectorBytes)));
  typedef int32_t Places __attribute__((vector_size(kVectorBytes / 2)));
  using Index = int64_t;
};

// float32 and float64 are compared as they are.
template <class Real>
struct Native : Vectors<Real> {
  using Stored = Real;
  using Value = Real;
  using typename Vectors<Real>::Values;

  static Value widened(Stored stored) { return stored; }
  static Stored narrowed(Value value) { return value; }
  // What the running maximum of caffe-2015 starts from: float32's, for float64 too.
  static Values start() { return Values{} - FLT_MAX; }
  static Values load(const Stored* at) {
    Values values;
    std::memcpy(&values, at, sizeof values);
    return values;
  }
  static Values stored(Values values) { return values; }
};

// The half types are compared as float32 whose upper half they are. For bfloat16 that is its value; for float16 it is
// another number in the same order, zeros alike included, and infinity becomes a finite one, so that only NaN must be
// told. Either way the winner's own bits are the upper half of the maximum.
template <uint16_t infinity>
struct Half : Vectors<float> {
  using Stored = uint16_t;
  using Value = float;

  // -FLT_MAX rounded to a half type is -inf.
  static Values start() { return Values{} + bit_cast<float>(uint32_t(infinity | 0x8000u) << 16); }
  static Values load(const Stored* at) {
    Halves halves;
    std::memcpy(&halves, at, sizeof halves);
    const Bits bits = __builtin_convertvector(halves, Bits) << 16;
    if (infinity == 0x7f80) return bit_cast<Values>(bits);
    const Bits nan = Bits{} + 0x7fc00000u;
    return bit_cast<Values>((bits & 0x7fffffffu) > (uint32_t(infinity) << 16) ? nan : bits);
  }
  static Halves stored(Values values) { return __builtin_convertvector(bit_cast<Bits>(values) >> 16, Halves); }
};

struct Bfloat16 : Half<0x7f80> {
  static Value widened(Stored stored) { return bit_cast<float>(uint32_t(stored) << 16); }
  // To nearest, ties to even.
  static Stored narrowed(Value value) {
    const uint32_t bits = bit_cast<uint32_t>(value);
    if (value != value) return static_cast<Stored>(bits >> 16 | 0x40);
    return static_cast<Stored>((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
  }
};

struct Float16 : Half<0x7c00> {
  static Value widened(Stored stored) {
    const uint32_t size = stored & 0x7fffu, sign = uint32_t(stored & 0x8000u) << 16;
    // 2^112 moves the exponent's bias from 15 to 127 and is exact for subnormal numbers too.
    const float moved = bit_cast<float>(size << 13) * 0x1p112f;
    const uint32_t bits = size < 0x7c00u ? bit_cast<uint32_t>(moved) : 0x7f800000u | size << 13;
    return bit_cast<float>(bits | sign);
  }
  // To nearest, ties to even.
  static Stored narrowed(Value value) {
    const uint32_t all = bit_cast<uint32_t>(value), size = all & 0x7fffffffu;
    uint32_t bits;
    if (size > 0x7f800000u) {
      bits = 0x7e00;
    } else if (size >= 0x477ff000u) {  // 65520 and more
      bits = 0x7c00;
    } else if (size < 0x38800000u) {  // below 2^-14: in [.5, 1) float32's step is float16's smallest number
      bits = bit_cast<uint32_t>(bit_cast<float>(size) + 0.5f) - 0x3f000000u;
    } else {
      bits = (size - 0x38000000u + 0xfffu + (size >> 13 & 1)) >> 13;
    }
    return static_cast<Stored>(bits | (all >> 16 & 0x8000u));
  }
};

}  // namespace detail

// Call `work` with the object whose type says how `type` is handled.
template <class Work>
auto with_format(Type type, Work work) {
  switch (type) {
    case Type::float16: return work(detail::Float16{});
    case Type::bfloat16: return work(detail::Bfloat16{});
    case Type::float32: return work(detail::Native<float>{});
    default: return work(detail::Native<double>{});
  }
}

}  // namespace frcnn
