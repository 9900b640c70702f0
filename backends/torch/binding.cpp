// The native kernels as torch operators, private to this folder: frcnn_native::forward and ::backward, of RoI pooling
// (cpu.py), ::sgd_step (sgd.py) and ::nms (nms.py).
//
// Maps are NCHW in any memory format; the kernels want channels innermost. An input that is not channels-last is copied
// once a call; a result that shall not be is turned while it is in the cache. The includes are few because they decide
// how long the first use compiles.

#include <ATen/EmptyTensor.h>
#include <ATen/Parallel.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>
#include <c10/core/CPUAllocator.h>
#include <torch/library.h>

#include <atomic>
#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "nms.h"
#include "pages.h"
#include "roi_pool.h"
#include "sgd.h"

namespace {

using at::MemoryFormat;
using at::Tensor;

// Work below which a second thread costs more than it saves, in elements read.
constexpr int64_t kGrain = 32768;

frcnn::Type native_type(const Tensor& tensor, const char* name) {
  switch (tensor.scalar_type()) {
    case at::kHalf: return frcnn::Type::float16;
    case at::kBFloat16: return frcnn::Type::bfloat16;
    case at::kFloat: return frcnn::Type::float32;
    case at::kDouble: return frcnn::Type::float64;
    default: break;
  }
  TORCH_CHECK_TYPE(false, name, " must have one of the types float16, bfloat16, float32, float64, got ",
                   tensor.scalar_type());
}

frcnn::Problem problem_of(frcnn::Type type, const std::string& profile, at::IntArrayRef map, at::IntArrayRef pooled) {
  frcnn::Problem problem{type, {}, map[0], map[2], map[3], map[1], pooled[0], pooled[2], pooled[3]};
  TORCH_CHECK_VALUE(frcnn::parse_profile(profile, &problem.profile), "profile must be one of exact, caffe-2015, got '",
                    profile, "'");
  TORCH_CHECK_VALUE(problem.H == 0 || problem.W <= std::numeric_limits<int32_t>::max() / problem.H,
                    "a map must have fewer than 2^31 cells, got ", problem.H, " x ", problem.W);
  return problem;
}

std::vector<frcnn::Roi> project(const frcnn::Problem& problem, const Tensor& boxes, double spatial_scale,
                                bool validate) {
  const Tensor rows = boxes.contiguous();
  std::vector<frcnn::Roi> rois;
  const std::string complaint = frcnn::project_rois(native_type(rows, "boxes"), rows.const_data_ptr(), problem.R,
                                                    spatial_scale, problem.N, validate, "boxes", "input", &rois);
  TORCH_CHECK_VALUE(complaint.empty(), complaint);
  return rois;
}

bool is_channels_last(const Tensor& tensor) {
  return tensor.is_contiguous(MemoryFormat::ChannelsLast) && !tensor.is_contiguous();
}

// The same of each RoI of (R, C, P_h, P_w), so that R = 0 makes no difference.
bool each_is_channels_last(const Tensor& tensor) {
  const auto lies_as = [&](std::initializer_list<int64_t> axes) {
    int64_t step = 1;
    for (const int64_t axis : axes) {
      if (tensor.size(axis) != 1 && tensor.stride(axis) != step) return false;
      step *= tensor.size(axis);
    }
    return true;
  };
  return lies_as({1, 3, 2}) && !lies_as({3, 2, 1});
}

// As at::empty, but a large one in memory that an earlier result has left.
Tensor fresh(at::IntArrayRef shape, const at::TensorOptions& options, MemoryFormat layout) {
  using Block = frcnn::KeptBlocks::Block;
  const size_t bytes = at::detail::computeStorageNbytesContiguous(shape, options.dtype().itemsize());  // or throws
  const Block block = bytes < frcnn::kLargePage ? Block{} : frcnn::kept_blocks().take(bytes);
  if (!block.data) return at::empty(shape, options, layout);  // which also says so where memory is short
  const auto give_back = [](void* context) {
    const std::unique_ptr<Block> mine(static_cast<Block*>(context));
    frcnn::kept_blocks().give_back(*mine);
  };
  c10::DataPtr data(block.data, new Block(block), give_back, at::kCPU);
  auto storage = c10::make_intrusive<c10::StorageImpl>(c10::StorageImpl::use_byte_size_t(), bytes, std::move(data),
                                                       c10::GetCPUAllocator(), /*resizable=*/true);
  const Tensor tensor = at::detail::make_tensor<c10::TensorImpl>(
      std::move(storage), c10::DispatchKeySet(c10::DispatchKey::CPU), options.dtype());
  tensor.unsafeGetTensorImpl()->set_sizes_contiguous(shape);
  tensor.unsafeGetTensorImpl()->empty_tensor_restride(layout);
  return tensor;
}

// Whether the maps are known to hold no NaN.
bool plain(const frcnn::Problem& problem, const Tensor& features, int64_t cells) {
  if (!frcnn::worth_looking_for_nan(problem, cells)) return false;
  std::atomic<bool> nan{false};
  at::parallel_for(0, features.numel(), 16 * kGrain, [&](int64_t begin, int64_t end) {
    if (frcnn::holds_nan(problem.type, features.const_data_ptr(), begin, end)) nan = true;
  });
  return !nan;
}

// Contiguous maps in the order in which they are pooled.
Tensor in_blocks(const frcnn::Problem& problem, const Tensor& maps) {
  const Tensor blocks = fresh(maps.sizes(), maps.options(), MemoryFormat::Contiguous);
  at::parallel_for(0, frcnn::blocking_units(problem), 1, [&](int64_t begin, int64_t end) {
    frcnn::to_blocks(problem, maps.const_data_ptr(), blocks.mutable_data_ptr(), begin, end);
  });
  return blocks;
}

// out: where the output goes, of the result's shape, type and layout; none for a fresh one.
std::tuple<Tensor, Tensor> forward(const Tensor& input, const Tensor& boxes, int64_t P_h, int64_t P_w,
                                   double spatial_scale, const std::string& profile, bool with_argmax, bool validate,
                                   const std::optional<Tensor>& out) {
  const frcnn::Problem problem =
      problem_of(native_type(input, "input"), profile, input.sizes(), {boxes.size(0), input.size(1), P_h, P_w});
  const std::vector<frcnn::Roi> rois = project(problem, boxes, spatial_scale, validate);
  const bool last = is_channels_last(input);
  const auto layout = last ? MemoryFormat::ChannelsLast : MemoryFormat::Contiguous;
  const std::vector<int64_t> shape = {problem.R, problem.C, P_h, P_w};
  const Tensor output = out ? *out : fresh(shape, input.options(), layout);
  const auto indices = input.options().dtype(at::kInt);
  const Tensor argmax = with_argmax ? fresh(shape, indices, layout) : at::empty({0}, indices);
  if (output.numel() == 0) return {output, argmax};

  const Tensor features = last ? input : in_blocks(problem, input.contiguous());
  const int64_t cells = frcnn::cells_under(problem, rois.data());
  const bool no_nan = plain(problem, features, cells);
  frcnn::Pooled pooled{output.mutable_data_ptr(), with_argmax ? argmax.mutable_data_ptr<int32_t>() : nullptr,
                       frcnn::Way::blocks};
  if (last) frcnn::choose_way(problem, rois.data(), cells, at::get_num_threads(), &pooled);
  const int64_t units = frcnn::forward_units(problem, pooled);
  const int64_t elements_in_unit = (cells * problem.C + output.numel()) / units;
  at::parallel_for(0, units, std::max<int64_t>(1, kGrain / (1 + elements_in_unit)), [&](int64_t begin, int64_t end) {
    frcnn::forward(problem, rois.data(), features.const_data_ptr(), no_nan, pooled, begin, end);
  });
  return {output, argmax};
}

Tensor backward(const Tensor& grad, const Tensor& argmax, const Tensor& boxes, at::IntArrayRef input_size,
                double spatial_scale, const std::string& profile, bool validate) {
  const frcnn::Problem problem = problem_of(native_type(grad, "grad"), profile, input_size, grad.sizes());
  const std::vector<frcnn::Roi> rois = project(problem, boxes, spatial_scale, validate);
  const Tensor gradients = grad.contiguous(MemoryFormat::ChannelsLast);
  const Tensor argmaxes = argmax.contiguous(MemoryFormat::ChannelsLast);
  const int32_t* const places = argmaxes.const_data_ptr<int32_t>();
  const Tensor sums = fresh(input_size, grad.options(), MemoryFormat::ChannelsLast);
  const int64_t units = frcnn::backward_units(problem);
  std::atomic<bool> good{units > 0 || frcnn::argmax_on_map(problem, places, argmaxes.numel())};
  at::parallel_for(0, units, 1, [&](int64_t begin, int64_t end) {
    const bool all = frcnn::backward(problem, rois.data(), gradients.const_data_ptr(), places, sums.mutable_data_ptr(),
                                     begin, end);
    if (!all) good = false;
  });
  TORCH_CHECK_VALUE(good, frcnn::argmax_complaint(problem));
  return each_is_channels_last(argmax) ? sums : sums.contiguous();
}

template <class Element>
void update(const Tensor& weights, const Tensor& gradients, const Tensor& velocity, double rate, double momentum,
            double decay, Tensor& new_weights, Tensor& new_velocity) {
  at::parallel_for(0, weights.numel(), kGrain, [&](int64_t begin, int64_t end) {
    frcnn::sgd_step(weights.const_data_ptr<Element>(), gradients.const_data_ptr<Element>(),
                    velocity.const_data_ptr<Element>(), static_cast<Element>(rate), static_cast<Element>(momentum),
                    static_cast<Element>(decay), new_weights.mutable_data_ptr<Element>(),
                    new_velocity.mutable_data_ptr<Element>(), begin, end);
  });
}

// Shapes and types are the caller's word.
void sgd_step(const Tensor& weights, const Tensor& gradients, const Tensor& velocity, double rate, double momentum,
              double decay, Tensor new_weights, Tensor new_velocity) {
  TORCH_CHECK(new_weights.is_contiguous() && new_velocity.is_contiguous(), "results must be contiguous");
  const auto run = weights.scalar_type() == at::kFloat ? update<float> : update<double>;
  run(weights.contiguous(), gradients.contiguous(), velocity.contiguous(), rate, momentum, decay, new_weights,
      new_velocity);
}

template <class Element>
void remove(const Tensor& boxes, const Tensor& starts, frcnn::Removal removal, Tensor& kept) {
  const int64_t groups = starts.numel() - 1;
  const int64_t pairs = boxes.size(0) * boxes.size(0) / std::max<int64_t>(1, groups * groups);  // of a group, at most
  at::parallel_for(0, groups, std::max<int64_t>(1, kGrain / (1 + pairs)), [&](int64_t begin, int64_t end) {
    frcnn::nms_groups(boxes.const_data_ptr<Element>(), starts.const_data_ptr<int64_t>(), removal,
                      kept.mutable_data_ptr<bool>(), begin, end);
  });
}

// boxes (R, 4) in the order of the visit; starts (G + 1,), the first row of each group and R. (R,) bool: which stay.
Tensor nms(const Tensor& boxes, const Tensor& starts, double threshold, bool reaching) {
  Tensor kept = at::empty({boxes.size(0)}, boxes.options().dtype(at::kBool));
  const auto run = boxes.scalar_type() == at::kFloat ? remove<float> : remove<double>;
  run(boxes.contiguous(), starts.contiguous(), {threshold, reaching}, kept);
  return kept;
}

}  // namespace

TORCH_LIBRARY(frcnn_native, library) {
  library.def(
      "forward(Tensor input, Tensor boxes, int pooled_height, int pooled_width, float spatial_scale, str profile, "
      "bool with_argmax, bool validate, *, Tensor(a!)? out=None) -> (Tensor, Tensor)");
  library.def(
      "backward(Tensor grad, Tensor argmax, Tensor boxes, int[] input_size, float spatial_scale, str profile, "
      "bool validate) -> Tensor");
  library.def(
      "sgd_step(Tensor weights, Tensor gradients, Tensor velocity, float rate, float momentum, float decay, "
      "Tensor(a!) new_weights, Tensor(b!) new_velocity) -> ()");
  library.def("nms(Tensor boxes, Tensor starts, float threshold, bool reaching) -> Tensor");
}

TORCH_LIBRARY_IMPL(frcnn_native, CPU, library) {
  library.impl("forward", &forward);
  library.impl("backward", &backward);
  library.impl("sgd_step", &sgd_step);
  library.impl("nms", &nms);
}
