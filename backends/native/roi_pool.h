// RoI max pooling on a CPU, forward and backward: spec/roi-pool.md. No framework in here; a binding brings the threads.
//
// Symbols. N images, C channels, map H x W, channels innermost; R RoIs; output grid P_h x P_w. A RoI is a row (image
// index, x1, y1, x2, y2), inclusive corners in image pixels; (r, c, h, w) is the paper's own four-tuple, in map cells.
// argmax is row * W + column, -1 for none.
//
// What is read and written, with s bytes an element and n the cells of all sub-windows together (a cell that two
// sub-windows share counts twice), never less than R * h * w:
//   forward    reads n * C * s, writes R * P_h * P_w * C * s, and as many times 4 more where the argmax is wanted;
//              to look for NaN first reads N * H * W * C * s, and to put maps with their channels first into blocks
//              reads and writes as much; by way of tables it writes three times as much to a near cache, once a group of
//              2,000 RoIs at most and where the next RoI is of another image, and reads what it needs from there, a third
//              of n * C * s at 7 x 7 and all of it where sub-windows are one column wide
//   backward   reads R * P_h * P_w * C * (s + 4), writes N * H * W * C * s; its sums stay in a buffer of
//              H * W * 32 float32 (float64 for float64) a thread, kept for the next call from 32 MB on
// At 7 x 7 on a 38 x 57 map n is about 1.7 times the cells of the RoIs, so forward lives on the cache's bandwidth.
//
// Requirements, and their reasons:
// - GCC or clang, C++17, on any processor: the vectors are the compilers' own extension, so there are no intrinsics.
// - Compile with -ffp-contract=off and without -ffast-math: clauses roi-pool.projection and roi-pool.grid count
//   roundings.
// - Nothing is read or written out of bounds, whatever RoIs and argmax hold. Sizes and pointers are the caller's word.
// - H * W < 2^31, so that an argmax fits int32; the caller checks it.
#pragma once

#include <algorithm>
#include <cfenv>
#include <cfloat>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <string>
#include <vector>

#include "formats.h"

namespace frcnn {

enum class Profile { exact, caffe_2015 };

struct Problem {
  Type type;  // of features, output and their gradients; the RoIs have their own
  Profile profile;
  int64_t N, H, W, C, R, P_h, P_w;
};

// A RoI on the map. image is -1 where the row is unusable (clause roi-pool.unchecked); malformed where a second corner
// lies before the first.
struct Roi {
  int32_t image, r, c, h, w;
  bool malformed;
};

// Half-open, clipped to the map (clause roi-pool.clip); empty where first >= end.
struct Span {
  int64_t first, end;
  int64_t size() const { return end - first; }
};

// False where no profile goes by this name.
inline bool parse_profile(const std::string& name, Profile* profile) {
  *profile = name == "caffe-2015" ? Profile::caffe_2015 : Profile::exact;
  return name == "exact" || name == "caffe-2015";
}

// Round to nearest, with subnormal numbers, while this object lives. Some frameworks let their threads flush subnormal
// numbers to zero, and then 1e-40 would tie with 0.
class IeeeArithmetic {
 public:
  IeeeArithmetic() {
    std::fegetenv(&before_);
    std::fesetenv(FE_DFL_ENV);
  }
  ~IeeeArithmetic() { std::fesetenv(&before_); }
  IeeeArithmetic(const IeeeArithmetic&) = delete;
  IeeeArithmetic& operator=(const IeeeArithmetic&) = delete;

 private:
  std::fenv_t before_;
};

namespace detail {

// Beyond 2^24 float32 no longer holds every whole number, so a pixel there has no exact place.
constexpr double kLargestCoordinate = 16777216.0;

// As Python's format(value, "g").
inline std::string text(double value) {
  char buffer[32];
  std::snprintf(buffer, sizeof buffer, "%g", value);
  return std::isnan(value) ? "nan" : buffer;
}

// Clause roi-pool.round: half away from zero. The subtraction is exact, so no x + .5 is ever rounded.
template <class Real>
int32_t round_half_away(Real x) {
  const Real whole = std::trunc(x);
  return static_cast<int32_t>(whole) + (std::abs(x - whole) >= Real(0.5) ? (x < 0 ? -1 : 1) : 0);
}

// Clauses roi-pool.error-image-index and roi-pool.error-coordinate: may this row be pooled? The arithmetic is in Real,
// the type that the RoIs are projected in.
template <class Real>
bool usable(const Real* box, Real scale, int64_t N) {
  bool good = box[0] >= 0 && box[0] < static_cast<Real>(N) && box[0] == std::floor(box[0]);
  for (int k = 1; k < 5; ++k) {
    good = good && std::abs(box[k]) <= Real(kLargestCoordinate) && std::abs(box[k] * scale) <= Real(kLargestCoordinate);
  }
  return good;
}

// Why a row may not be pooled, in the words of the reference.
template <class Real>
std::string complaint(const Real* box, int64_t row, Real scale, int64_t N, const std::string& boxes_name,
                      const std::string& input_name) {
  const std::string subject = boxes_name + "[" + std::to_string(row) + "] has ";
  if (!(box[0] >= 0 && box[0] < static_cast<Real>(N) && box[0] == std::floor(box[0]))) {
    return subject + "image index " + text(box[0]) + ", but " + input_name + " holds " + std::to_string(N) + " images" +
           (N > 0 ? " (0.." + std::to_string(N - 1) + ")" : "");
  }
  int k = 1;
  while (std::abs(box[k]) <= Real(kLargestCoordinate) && std::abs(box[k] * scale) <= Real(kLargestCoordinate)) ++k;
  static const char* const names[] = {"", "x1", "y1", "x2", "y2"};
  return subject + names[k] + " = " + text(box[k]) + ", " + text(box[k] * scale) +
         " on the map; coordinates must be finite and at most 2^24 in size, before and after spatial_scale";
}

// Clauses roi-pool.projection, roi-pool.round, roi-pool.extent and roi-pool.rchw for one usable row: one IEEE
// multiplication, in Real.
template <class Real>
Roi project(const Real* box, Real scale) {
  const int32_t x1 = round_half_away<Real>(box[1] * scale), y1 = round_half_away<Real>(box[2] * scale);
  const int32_t x2 = round_half_away<Real>(box[3] * scale), y2 = round_half_away<Real>(box[4] * scale);
  return Roi{static_cast<int32_t>(box[0]), y1, x1, std::max(y2 - y1 + 1, 1), std::max(x2 - x1 + 1, 1),
             y2 < y1 || x2 < x1};
}

template <class Format, class Real>
std::string project_rows(const void* boxes, int64_t R, double spatial_scale, int64_t N, bool validate,
                         const char* boxes_name, const char* input_name, std::vector<Roi>* rois) {
  const Real scale = static_cast<Real>(spatial_scale);
  if (!(std::isfinite(scale) && scale > 0)) {
    return "spatial_scale must be positive and finite in float" + std::to_string(8 * sizeof(Real)) + ", got " +
           text(spatial_scale);
  }
  rois->assign(static_cast<size_t>(R), Roi{-1, 0, 0, 1, 1, false});
  for (int64_t row = 0; row < R; ++row) {
    Real box[5];
    for (int k = 0; k < 5; ++k) {
      box[k] = Format::widened(static_cast<const typename Format::Stored*>(boxes)[row * 5 + k]);
    }
    if (usable<Real>(box, scale, N)) {
      (*rois)[static_cast<size_t>(row)] = project<Real>(box, scale);
    } else if (validate) {
      return complaint<Real>(box, row, scale, N, boxes_name, input_name);
    }
  }
  return "";
}

}  // namespace detail

// Check every RoI and take it to the map. boxes: (R, 5) of boxes_type, image pixels. spatial_scale: map cells per image
// pixel. Returns "", or a sentence that names the argument and the value: for a bad spatial_scale always, for the first
// row that cannot be pooled only with `validate`; without, that row's image is -1 and nobody reads or writes for it.
// Clauses: roi-pool.projection, roi-pool.round, roi-pool.extent, roi-pool.rchw, roi-pool.unchecked,
// roi-pool.error-scale, roi-pool.error-image-index, roi-pool.error-coordinate.
inline std::string project_rois(Type boxes_type, const void* boxes, int64_t R, double spatial_scale, int64_t N,
                                bool validate, const char* boxes_name, const char* input_name,
                                std::vector<Roi>* rois) {
  const IeeeArithmetic ieee;
  return with_format(boxes_type, [&](auto format) {
    using Format = decltype(format);
    return detail::project_rows<Format, typename Format::Value>(boxes, R, spatial_scale, N, validate, boxes_name,
                                                                input_name, rois);
  });
}

}  // namespace frcnn

#include "roi_pool_backward.h"
#include "roi_pool_forward.h"
