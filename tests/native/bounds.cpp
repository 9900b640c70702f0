// Runs the kernels over hostile RoIs and garbled argmax in buffers of exactly the right size. Built with the address
// and undefined-behaviour sanitizers, which end the program at the first step out of bounds. Prints a digest of what was
// pooled.
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <limits>
#include <memory>
#include <random>

#include "roi_pool.h"

using frcnn::Problem;
using frcnn::Profile;
using frcnn::Type;

static std::mt19937 randomness(1);
static uint64_t digest = 14695981039346656037u;  // FNV-1a of what forward gave: on every processor the same bits

static void add_to_digest(const void* data, int64_t bytes) {
  for (int64_t k = 0; k < bytes; ++k) {
    digest = (digest ^ static_cast<const unsigned char*>(data)[k]) * 1099511628211u;
  }
}

template <class T>
static T one_of(const std::vector<T>& choices) {
  return choices[randomness() % choices.size()];
}

// From the heap, so that the sanitizer guards the byte after the last one; aligned as frameworks' buffers are.
struct Buffer {
  explicit Buffer(int64_t bytes) : data(nullptr, &std::free) {
    void* memory = nullptr;
    if (posix_memalign(&memory, 64, static_cast<size_t>(bytes)) != 0) std::abort();
    data.reset(memory);
    auto* const at = static_cast<unsigned char*>(memory);
    for (int64_t k = 0; k < bytes; ++k) at[k] = static_cast<unsigned char>(randomness());
  }
  std::unique_ptr<void, void (*)(void*)> data;
};

static int64_t bytes_of(Type type) { return type == Type::float64 ? 8 : type == Type::float32 ? 4 : 2; }

static Buffer hostile_boxes(int64_t R, int64_t N) {
  const float inf = std::numeric_limits<float>::infinity(), nan = std::numeric_limits<float>::quiet_NaN();
  const float last = static_cast<float>(N) - 1;
  const std::vector<float> corners = {0,   1,        3,         7.5f,     57,    -1,  -40,
                                      300, 16777216, -16777216, 16777218, 1e30f, inf, -inf, nan};
  const std::vector<float> images = {0, 0, 0, 1, -1, 0.5f, last, last + 1, 1e30f, -inf, nan};
  Buffer boxes(R * 5 * 4);
  float* const at = static_cast<float*>(boxes.data.get());
  for (int64_t k = 0; k < R * 5; ++k) {
    const bool usual = randomness() % 4 > 0;
    const float usual_value = k % 5 ? static_cast<float>(static_cast<int>(randomness() % 24) - 4) : 0;
    at[k] = usual ? usual_value : one_of(k % 5 ? corners : images);
  }
  return boxes;
}

static Buffer garbled_argmax(int64_t count, int64_t cells) {
  Buffer argmax(count * 4);
  int32_t* const at = static_cast<int32_t*>(argmax.data.get());
  for (int64_t k = 0; k < count; ++k) {
    const auto anything = static_cast<int32_t>(randomness()), beyond = static_cast<int32_t>(cells);
    at[k] = one_of<int32_t>({-1, 0, beyond - 1, beyond, INT32_MIN, INT32_MAX, anything});
  }
  return argmax;
}

static void run(const Problem& problem) {
  const auto [type, profile, N, H, W, C, R, P_h, P_w] = problem;
  const Buffer boxes = hostile_boxes(R, N);
  const double scale = one_of<double>({1, 1 / 16.0, 1000, 1e-30, 1e30, 0, -1, std::nan("")});
  std::vector<frcnn::Roi> rois;
  const bool validate = randomness() % 4 == 0;
  const auto complaint =
      frcnn::project_rois(Type::float32, boxes.data.get(), R, scale, N, validate, "boxes", "input", &rois);
  if (!complaint.empty()) return;
  const int64_t pooled = R * P_h * P_w * C, cells = N * H * W * C, size = bytes_of(type);
  const Buffer features(cells * size), blocks(cells * size), sums(cells * size);
  const Buffer output(pooled * size), argmax(pooled * 4);
  const Buffer garbled = garbled_argmax(pooled, H * W);
  int32_t* const places = static_cast<int32_t*>(argmax.data.get());
  const int64_t parts = frcnn::backward_units(problem);
  frcnn::to_blocks(problem, features.data.get(), blocks.data.get(), 0, frcnn::blocking_units(problem));
  for (const frcnn::Way way : {frcnn::Way::windows, frcnn::Way::tables, frcnn::Way::blocks}) {
    for (const bool plain : {true, false}) {
      for (int32_t* const argmax : {static_cast<int32_t*>(nullptr), places}) {
        if (way == frcnn::Way::tables && (argmax || C * size % frcnn::detail::kBytesOfACell != 0)) continue;
        const frcnn::Pooled results{output.data.get(), argmax, way, 2};
        const void* const maps = (way == frcnn::Way::blocks ? blocks : features).data.get();
        const int64_t units = frcnn::forward_units(problem, results);
        frcnn::forward(problem, rois.data(), maps, plain, results, 0, units / 2);
        frcnn::forward(problem, rois.data(), maps, plain, results, units / 2, units);
        add_to_digest(output.data.get(), pooled * size);
        if (argmax) add_to_digest(argmax, pooled * 4);
      }
    }
  }
  frcnn::holds_nan(type, features.data.get(), 0, cells);
  if (!frcnn::argmax_on_map(problem, places, pooled)) std::abort();
  for (const int32_t* each : {static_cast<const int32_t*>(places), static_cast<const int32_t*>(garbled.data.get())}) {
    frcnn::backward(problem, rois.data(), output.data.get(), each, sums.data.get(), 0, parts);
  }
}

int main() {
  const std::vector<int64_t> channels = {0, 1, 3, 15, 16, 17, 31, 63, 64, 65, 100, 128}, pools = {1, 2, 7, 22};
  for (int round = 0; round < 150; ++round) {
    for (const Type type : {Type::float16, Type::bfloat16, Type::float32, Type::float64}) {
      for (const Profile profile : {Profile::exact, Profile::caffe_2015}) {
        const auto below = [](int64_t n) { return static_cast<int64_t>(randomness() % n); };
        const int64_t N = below(3), H = below(8), W = below(8), R = below(4);
        run(Problem{type, profile, N, H, W, one_of(channels), R, one_of(pools), one_of(pools)});
      }
    }
  }
  // Results that are written past the caches, the argmax or not.
  for (const Type type : {Type::float16, Type::float64}) {
    const int64_t channels = 128, R = frcnn::detail::kPastCaches / (channels * 49 * bytes_of(type)) + 1;
    run(Problem{type, Profile::exact, 1, 5, 6, channels, R, 7, 7});
  }
  std::printf("in bounds %016llx\n", static_cast<unsigned long long>(digest));
}
