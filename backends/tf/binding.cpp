// The native kernels as TensorFlow ops: RoI pooling, its gradient, and the gradient of that one; non-maximum
// suppression; the update of one blob.
//
// Shapes, channels last. N images, map H x W, C channels; R RoIs; output grid P_h x P_w.
//   Frcnn>RoiPool        input (N,H,W,C), boxes (R,5)               -> output, argmax (R,P_h,P_w,C)
//   Frcnn>RoiPoolGrad    grad, argmax (R,P_h,P_w,C), input_size (4) -> (N,H,W,C)        Eq. 4
//   Frcnn>RoiPoolGather  grad (N,H,W,C), argmax (R,P_h,P_w,C)       -> (R,P_h,P_w,C)    the transpose of RoiPoolGrad
//   Frcnn>Nms            boxes (R,4) in groups, in the order of the visit; starts (G + 1)  -> kept (R)
//   Frcnn>SgdStep        weights, gradients, velocity                -> new_weights, new_velocity, all of one shape
// Eq. 4 is linear in grad, so RoiPoolGather and RoiPoolGrad are each other's gradient, to any order.
//
// spatial_scale is an input because an attribute of type float would round it to float32, and float64 RoIs are
// projected in float64. The work is shared out over TensorFlow's own thread pool.

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <limits>
#include <memory>
#include <new>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "nms.h"
#include "pages.h"
#include "roi_pool.h"
#include "sgd.h"
#include "tensorflow/core/framework/op.h"
#include "tensorflow/core/framework/op_kernel.h"
#include "tensorflow/core/framework/shape_inference.h"
#include "tensorflow/core/platform/blocking_counter.h"

namespace {

using tensorflow::DataType;
using tensorflow::OpKernel;
using tensorflow::OpKernelConstruction;
using tensorflow::OpKernelContext;
using tensorflow::Tensor;
using tensorflow::TensorShape;
using tensorflow::shape_inference::InferenceContext;
using tensorflow::shape_inference::ShapeHandle;

// ---- What the ops are -----------------------------------------------------------------------------------------------

absl::Status PoolShape(InferenceContext* c) {
  ShapeHandle input, boxes, scale;
  TF_RETURN_IF_ERROR(c->WithRank(c->input(0), 4, &input));
  TF_RETURN_IF_ERROR(c->Merge(c->input(1), c->MakeShape({c->UnknownDim(), 5}), &boxes));
  TF_RETURN_IF_ERROR(c->WithRank(c->input(2), 0, &scale));
  int64_t P_h, P_w;
  bool with_argmax;
  TF_RETURN_IF_ERROR(c->GetAttr("pooled_height", &P_h));
  TF_RETURN_IF_ERROR(c->GetAttr("pooled_width", &P_w));
  TF_RETURN_IF_ERROR(c->GetAttr("with_argmax", &with_argmax));
  const ShapeHandle pooled = c->MakeShape({c->Dim(boxes, 0), c->MakeDim(P_h), c->MakeDim(P_w), c->Dim(input, 3)});
  c->set_output(0, pooled);
  c->set_output(1, with_argmax ? pooled : c->MakeShape({c->MakeDim(0)}));
  return absl::OkStatus();
}

// Of what RoiPoolGrad and RoiPoolGather share: argmax and boxes are inputs 1 and 2 of both.
absl::Status RoutingShape(InferenceContext* c, ShapeHandle* argmax) {
  ShapeHandle boxes, scale;
  TF_RETURN_IF_ERROR(c->WithRank(c->input(1), 4, argmax));
  TF_RETURN_IF_ERROR(c->Merge(c->input(2), c->MakeShape({c->Dim(*argmax, 0), c->MakeDim(5)}), &boxes));
  return c->WithRank(c->input(3), 0, &scale);
}

absl::Status GradShape(InferenceContext* c) {
  ShapeHandle argmax, input;
  TF_RETURN_IF_ERROR(RoutingShape(c, &argmax));
  TF_RETURN_IF_ERROR(c->Merge(c->input(0), argmax, &argmax));
  TF_RETURN_IF_ERROR(c->MakeShapeFromShapeTensor(4, &input));
  TF_RETURN_IF_ERROR(c->WithRank(input, 4, &input));
  TF_RETURN_IF_ERROR(c->ReplaceDim(input, 3, c->Dim(argmax, 3), &input));
  c->set_output(0, input);
  return absl::OkStatus();
}

absl::Status GatherShape(InferenceContext* c) {
  ShapeHandle argmax, input;
  TF_RETURN_IF_ERROR(RoutingShape(c, &argmax));
  TF_RETURN_IF_ERROR(c->WithRank(c->input(0), 4, &input));
  TF_RETURN_IF_ERROR(c->ReplaceDim(argmax, 3, c->Dim(input, 3), &argmax));
  c->set_output(0, argmax);
  return absl::OkStatus();
}

REGISTER_OP("Frcnn>RoiPool")
    .Input("input: T")
    .Input("boxes: Tboxes")
    .Input("spatial_scale: double")
    .Output("output: T")
    .Output("argmax: int32")
    .Attr("T: {half, bfloat16, float, double}")
    .Attr("Tboxes: {half, bfloat16, float, double}")
    .Attr("pooled_height: int >= 1")
    .Attr("pooled_width: int >= 1")
    .Attr("profile: {'exact', 'caffe-2015'} = 'exact'")
    .Attr("with_argmax: bool = true")
    .Attr("validate: bool = true")
    .SetShapeFn(PoolShape);

REGISTER_OP("Frcnn>RoiPoolGrad")
    .Input("grad: T")
    .Input("argmax: int32")
    .Input("boxes: Tboxes")
    .Input("spatial_scale: double")
    .Input("input_size: int64")
    .Output("input_grad: T")
    .Attr("T: {half, bfloat16, float, double}")
    .Attr("Tboxes: {half, bfloat16, float, double}")
    .Attr("profile: {'exact', 'caffe-2015'} = 'exact'")
    .Attr("validate: bool = true")
    .SetShapeFn(GradShape);

REGISTER_OP("Frcnn>RoiPoolGather")
    .Input("grad: T")
    .Input("argmax: int32")
    .Input("boxes: Tboxes")
    .Input("spatial_scale: double")
    .Output("gathered: T")
    .Attr("T: {half, bfloat16, float, double}")
    .Attr("Tboxes: {half, bfloat16, float, double}")
    .Attr("profile: {'exact', 'caffe-2015'} = 'exact'")
    .Attr("validate: bool = true")
    .SetShapeFn(GatherShape);

REGISTER_OP("Frcnn>Nms")
    .Input("boxes: T")
    .Input("starts: int64")
    .Input("threshold: double")
    .Output("kept: bool")
    .Attr("T: {float, double}")
    .Attr("profile: {'exact', 'caffe-2015'} = 'exact'")
    .SetShapeFn([](InferenceContext* c) {
      ShapeHandle boxes;
      TF_RETURN_IF_ERROR(c->Merge(c->input(0), c->MakeShape({c->UnknownDim(), 4}), &boxes));
      c->set_output(0, c->MakeShape({c->Dim(boxes, 0)}));
      return absl::OkStatus();
    });

REGISTER_OP("Frcnn>SgdStep")
    .Input("weights: T")
    .Input("gradients: T")
    .Input("velocity: T")
    .Input("rate: T")
    .Input("momentum: T")
    .Input("decay: T")
    .Output("new_weights: T")
    .Output("new_velocity: T")
    .Attr("T: {float, double}")
    .SetShapeFn([](InferenceContext* c) {
      ShapeHandle blob = c->input(0), number;
      for (int i = 1; i < 3; ++i) TF_RETURN_IF_ERROR(c->Merge(blob, c->input(i), &blob));
      for (int i = 3; i < 6; ++i) TF_RETURN_IF_ERROR(c->WithRank(c->input(i), 0, &number));
      c->set_output(0, blob);
      c->set_output(1, blob);
      return absl::OkStatus();
    });

// ---- What they share ------------------------------------------------------------------------------------------------

template <typename... Pieces>
absl::Status Invalid(const Pieces&... pieces) {
  return absl::InvalidArgumentError(absl::StrCat(pieces...));
}

void RefuseForMemory(OpKernelContext* context) {
  context->SetStatus(absl::ResourceExhaustedError(absl::StrCat(
      "there is not enough memory for what ", context->op_kernel().type_string(),
      " keeps beside its output; it takes less on a smaller map, for fewer boxes or with fewer threads")));
}

// What all the kernels are: Compute, out of which nothing must be thrown, for TensorFlow would end the process.
class Kernel : public OpKernel {
 public:
  using OpKernel::OpKernel;

  void Compute(OpKernelContext* context) final {
    try {
      Run(context);
    } catch (const std::bad_alloc&) {
      RefuseForMemory(context);
    }
  }

 protected:
  virtual void Run(OpKernelContext* context) = 0;
};

// An output of the op. Under a limit on addresses, memory that is kept for later counts, so it is given up first.
absl::Status Allocate(OpKernelContext* context, int index, const TensorShape& shape, Tensor** output) {
  const absl::Status status = context->allocate_output(index, shape, output);
  if (!absl::IsResourceExhausted(status)) return status;
  frcnn::kept_blocks().give_up_all();
  return context->allocate_output(index, shape, output);
}

// The same, written over an input of this shape that nobody else holds, where there is one.
absl::Status AllocateOver(OpKernelContext* context, int input, int index, const TensorShape& shape, Tensor** output) {
  if (context->forward_input_to_output_with_shape(input, index, shape, output)) return absl::OkStatus();
  return Allocate(context, index, shape, output);
}

// Units of work over TensorFlow's threads, of which the caller is one; cycles: of all units together, about.
//
// Whoever is free takes the next piece. The caller begins at once, so a helper that wakes late costs little, and one
// that wakes when no piece is left may outlive this call: it looks at the counters alone. tensorflow::Shard leaves the
// work to the pool and sleeps, so that two threads have to be woken before anything is done: forward took a fifth longer
// in the benchmark's case A.
template <typename Work>
void Share(OpKernelContext* context, int64_t units, double cycles, const Work& work) {
  constexpr double kCyclesForAHelper = 100000;  // about what it takes to wake one
  constexpr int64_t kPiecesAThread = 16;
  constexpr int kLooks = 200;  // some tens of microseconds, as being woken takes
  if (units <= 0) return;
  const auto& pool = *context->device()->tensorflow_cpu_worker_threads();
  const int64_t worthwhile = 1 + static_cast<int64_t>(cycles / kCyclesForAHelper);
  const int64_t threads = std::min({int64_t{pool.num_threads}, worthwhile, units});
  // Work that finds no memory must not throw out of a helper, nor end this call while helpers are at it.
  const auto finds_memory = [](const Work& work, int64_t begin, int64_t end) {
    try {
      work(begin, end);
      return true;
    } catch (const std::bad_alloc&) {
      return false;
    }
  };
  if (threads <= 1) return work(0, units);

  struct Counters {
    explicit Counters(int64_t pieces) : unfinished(static_cast<int>(pieces)) {}
    std::atomic<int64_t> taken{0}, finished{0};
    std::atomic<bool> enough{true};
    tensorflow::BlockingCounter unfinished;
  };
  const int64_t pieces = threads * kPiecesAThread;
  const auto counters = std::make_shared<Counters>(pieces);
  const auto take_pieces = [=, &work] {
    for (int64_t k; (k = counters->taken++) < pieces; counters->unfinished.DecrementCount()) {
      // Pieces that are taken together lie far apart: backward took a sixth longer with neighbouring channels.
      const int64_t piece = k % threads * kPiecesAThread + k / threads;
      const int64_t begin = units * piece / pieces, end = units * (piece + 1) / pieces;
      if (begin < end && !finds_memory(work, begin, end)) counters->enough = false;
      ++counters->finished;
    }
  };
  try {
    for (int64_t helper = 1; helper < threads; ++helper) pool.workers->Schedule(take_pieces);
  } catch (const std::bad_alloc&) {  // those that are there, the caller at least, do all of it
  }
  take_pieces();
  for (int look = 0; look < kLooks && counters->finished < pieces; ++look) std::this_thread::yield();
  counters->unfinished.Wait();
  if (!counters->enough) throw std::bad_alloc();
}

frcnn::Type NativeType(DataType type) {
  switch (type) {
    case tensorflow::DT_HALF: return frcnn::Type::float16;
    case tensorflow::DT_BFLOAT16: return frcnn::Type::bfloat16;
    case tensorflow::DT_FLOAT: return frcnn::Type::float32;
    default: return frcnn::Type::float64;  // The attribute admits no fifth.
  }
}

// The attributes that every one of the three ops has, and the checks of what they share.
class RoiPoolKernel : public Kernel {
 public:
  explicit RoiPoolKernel(OpKernelConstruction* construction) : Kernel(construction) {
    std::string profile;
    OP_REQUIRES_OK(construction, construction->GetAttr("profile", &profile));
    OP_REQUIRES(construction, frcnn::parse_profile(profile, &profile_), Invalid("unknown profile ", profile));
    OP_REQUIRES_OK(construction, construction->GetAttr("validate", &validate_));
  }

 protected:
  // A map of N x H x W x C, its cells countable by an int32 argmax.
  absl::Status SetMap(const TensorShape& shape, const char* name, frcnn::Problem* problem) const {
    if (shape.dims() != 4) return Invalid(name, " must have shape (N, H, W, C), got ", shape.DebugString());
    problem->profile = profile_;
    problem->N = shape.dim_size(0), problem->H = shape.dim_size(1);
    problem->W = shape.dim_size(2), problem->C = shape.dim_size(3);
    const bool countable = problem->H == 0 || problem->W <= std::numeric_limits<int32_t>::max() / problem->H;
    if (countable) return absl::OkStatus();
    return Invalid(name, " must have fewer than 2^31 cells in a map, got ", problem->H, " x ", problem->W);
  }

  absl::Status Project(const Tensor& boxes, const Tensor& scale, frcnn::Problem* problem,
                       std::vector<frcnn::Roi>* rois) const {
    if (boxes.dims() != 2 || boxes.dim_size(1) != 5) {
      return Invalid("boxes must have shape (R, 5), got ", boxes.shape().DebugString());
    }
    if (scale.dims() != 0) return Invalid("spatial_scale must be a number, got ", scale.shape().DebugString());
    problem->R = boxes.dim_size(0);
    const std::string complaint = frcnn::project_rois(NativeType(boxes.dtype()), boxes.data(), problem->R,
                                                      scale.scalar<double>()(), problem->N, validate_, "boxes",
                                                      "input", rois);
    return complaint.empty() ? absl::OkStatus() : Invalid(complaint);
  }

  // The pooled shape from argmax, input 1 of RoiPoolGrad and RoiPoolGather.
  absl::Status SetPooled(const Tensor& argmax, frcnn::Problem* problem) const {
    if (argmax.dims() != 4 || argmax.dim_size(0) != problem->R || argmax.dim_size(3) != problem->C) {
      return Invalid("argmax must have shape (R, P_h, P_w, C) with R = ", problem->R, " and C = ", problem->C,
                     ", got ", argmax.shape().DebugString());
    }
    problem->P_h = argmax.dim_size(1), problem->P_w = argmax.dim_size(2);
    return absl::OkStatus();
  }

  frcnn::Profile profile_;
  bool validate_;  // without, an unusable RoI and an argmax off the map are left out and not refused
};

// ---- The kernels ----------------------------------------------------------------------------------------------------

class RoiPoolOp : public RoiPoolKernel {
 public:
  explicit RoiPoolOp(OpKernelConstruction* construction) : RoiPoolKernel(construction) {
    OP_REQUIRES_OK(construction, construction->GetAttr("pooled_height", &P_h_));
    OP_REQUIRES_OK(construction, construction->GetAttr("pooled_width", &P_w_));
    OP_REQUIRES_OK(construction, construction->GetAttr("with_argmax", &with_argmax_));
  }

  void Run(OpKernelContext* context) override {
    const Tensor& input = context->input(0);
    frcnn::Problem problem{};
    problem.type = NativeType(input.dtype()), problem.P_h = P_h_, problem.P_w = P_w_;
    std::vector<frcnn::Roi> rois;
    OP_REQUIRES_OK(context, SetMap(input.shape(), "input", &problem));
    OP_REQUIRES_OK(context, Project(context->input(1), context->input(2), &problem, &rois));

    TensorShape pooled;
    OP_REQUIRES_OK(context, TensorShape::BuildTensorShape({problem.R, P_h_, P_w_, problem.C}, &pooled));
    Tensor *output, *argmax;
    OP_REQUIRES_OK(context, Allocate(context, 0, pooled, &output));
    OP_REQUIRES_OK(context, Allocate(context, 1, with_argmax_ ? pooled : TensorShape({0}), &argmax));
    if (pooled.num_elements() == 0) return;

    const int64_t cells = frcnn::cells_under(problem, rois.data());
    const int threads = context->device()->tensorflow_cpu_worker_threads()->num_threads;
    frcnn::Pooled results{output->data(), with_argmax_ ? argmax->flat<int32_t>().data() : nullptr, frcnn::Way::windows};
    frcnn::choose_way(problem, rois.data(), cells, threads, &results);
    const bool plain = Plain(context, problem, input, cells);
    const double cycles = static_cast<double>(cells) * problem.C;
    Share(context, frcnn::forward_units(problem, results), cycles, [&](int64_t begin, int64_t end) {
      frcnn::forward(problem, rois.data(), input.data(), plain, results, begin, end);
    });
  }

 private:
  // Whether the maps are known to hold no NaN.
  static bool Plain(OpKernelContext* context, const frcnn::Problem& problem, const Tensor& input, int64_t cells) {
    if (!frcnn::worth_looking_for_nan(problem, cells)) return false;
    std::atomic<bool> nan{false};
    Share(context, input.NumElements(), input.NumElements() / 16.0, [&](int64_t begin, int64_t end) {
      if (frcnn::holds_nan(problem.type, input.data(), begin, end)) nan = true;
    });
    return !nan;
  }

  int64_t P_h_, P_w_;
  bool with_argmax_;
};

class RoiPoolGradOp : public RoiPoolKernel {
 public:
  using RoiPoolKernel::RoiPoolKernel;

  void Run(OpKernelContext* context) override {
    const Tensor &grad = context->input(0), &argmax = context->input(1), &input_size = context->input(4);
    OP_REQUIRES(context, input_size.dims() == 1 && input_size.dim_size(0) == 4,
                Invalid("input_size must hold N, H, W, C, got shape ", input_size.shape().DebugString()));
    TensorShape shape;
    OP_REQUIRES_OK(context, TensorShape::BuildTensorShape(input_size.vec<int64_t>(), &shape));
    frcnn::Problem problem{};
    problem.type = NativeType(grad.dtype());
    std::vector<frcnn::Roi> rois;
    OP_REQUIRES_OK(context, SetMap(shape, "input_size", &problem));
    OP_REQUIRES_OK(context, Project(context->input(2), context->input(3), &problem, &rois));
    OP_REQUIRES_OK(context, SetPooled(argmax, &problem));
    OP_REQUIRES(context, grad.shape() == argmax.shape(),
                Invalid("grad must have the shape of argmax, ", argmax.shape().DebugString(), ", got ",
                        grad.shape().DebugString()));

    Tensor* input_grad;
    OP_REQUIRES_OK(context, Allocate(context, 0, shape, &input_grad));
    const int32_t* const places = argmax.flat<int32_t>().data();
    const double cells = static_cast<double>(shape.num_elements()) + 2.0 * grad.NumElements();
    const int64_t units = frcnn::backward_units(problem);
    std::atomic<bool> good{units > 0 || frcnn::argmax_on_map(problem, places, argmax.NumElements())};
    Share(context, units, cells, [&](int64_t begin, int64_t end) {
      if (!frcnn::backward(problem, rois.data(), grad.data(), places, input_grad->data(), begin, end)) good = false;
    });
    OP_REQUIRES(context, good || !validate_, Invalid(frcnn::argmax_complaint(problem)));
  }
};

class RoiPoolGatherOp : public RoiPoolKernel {
 public:
  using RoiPoolKernel::RoiPoolKernel;

  void Run(OpKernelContext* context) override {
    const Tensor &grad = context->input(0), &argmax = context->input(1);
    frcnn::Problem problem{};
    problem.type = NativeType(grad.dtype());
    std::vector<frcnn::Roi> rois;
    OP_REQUIRES_OK(context, SetMap(grad.shape(), "grad", &problem));
    OP_REQUIRES_OK(context, Project(context->input(2), context->input(3), &problem, &rois));
    OP_REQUIRES_OK(context, SetPooled(argmax, &problem));

    Tensor* gathered;
    OP_REQUIRES_OK(context, Allocate(context, 0, argmax.shape(), &gathered));
    const int bytes = tensorflow::DataTypeSize(grad.dtype());
    const auto gather = bytes == 2 ? Gather<uint16_t> : bytes == 4 ? Gather<uint32_t> : Gather<uint64_t>;
    const int32_t* const places = argmax.flat<int32_t>().data();
    const int64_t windows = gathered->NumElements() == 0 ? 0 : problem.R * problem.P_h * problem.P_w, C = problem.C;
    std::atomic<bool> good{true};
    Share(context, windows, 2.0 * gathered->NumElements(), [&](int64_t begin, int64_t end) {
      if (validate_ && !frcnn::argmax_on_map(problem, places + begin * C, (end - begin) * C)) good = false;
      gather(problem, rois.data(), grad.data(), places, gathered->data(), begin, end);
    });
    OP_REQUIRES(context, good, Invalid(frcnn::argmax_complaint(problem)));
  }

 private:
  // The sub-windows begin..end - 1: from each cell that frcnn::backward adds to. Bits are copied, so all that counts of
  // a type is its size.
  template <typename Bits>
  static void Gather(const frcnn::Problem& problem, const frcnn::Roi* rois, const void* grad, const int32_t* argmax,
                     void* gathered, int64_t begin, int64_t end) {
    const auto [type, profile, N, H, W, C, R, P_h, P_w] = problem;
    const bool caffe = profile == frcnn::Profile::caffe_2015;
    frcnn::Span rows{0, H}, columns{0, W};
    for (int64_t unit = begin; unit < end; ++unit) {
      const frcnn::Roi& roi = rois[unit / (P_h * P_w)];
      Bits* const out = static_cast<Bits*>(gathered) + unit * C;
      std::fill_n(out, C, Bits{});
      if (roi.image < 0 || (caffe && roi.malformed)) continue;
      if (caffe) {
        rows = frcnn::detail::kept_by_caffe(roi.r, roi.h, P_h, unit / P_w % P_h);
        columns = frcnn::detail::kept_by_caffe(roi.c, roi.w, P_w, unit % P_w);
      }
      const Bits* const map = static_cast<const Bits*>(grad) + roi.image * H * W * C;
      for (int64_t j = 0; j < C; ++j) {
        const int64_t cell = argmax[unit * C + j];
        if (cell < 0 || cell >= H * W) continue;
        const int64_t row = cell / W, column = cell % W;
        const bool kept = row >= rows.first && row < rows.end && column >= columns.first && column < columns.end;
        if (kept) out[j] = map[cell * C + j];
      }
    }
  }
};

template <typename Element>
class NmsOp : public Kernel {
 public:
  explicit NmsOp(OpKernelConstruction* construction) : Kernel(construction) {
    std::string profile;
    OP_REQUIRES_OK(construction, construction->GetAttr("profile", &profile));
    removal_.reaching = profile != "exact";
  }

  void Run(OpKernelContext* context) override {
    const Tensor &boxes = context->input(0), &starts = context->input(1), &threshold = context->input(2);
    OP_REQUIRES(context, boxes.dims() == 2 && boxes.dim_size(1) == 4,
                Invalid("boxes must have shape (R, 4), got ", boxes.shape().DebugString()));
    const int64_t R = boxes.dim_size(0), G = starts.NumElements() - 1;
    const auto first = starts.flat<int64_t>();
    bool rising = G >= 0 && first(0) == 0 && first(G) == R;
    for (int64_t g = 0; rising && g < G; ++g) rising = first(g) <= first(g + 1);
    OP_REQUIRES(context, rising, Invalid("starts must rise from 0 to the ", R, " boxes"));
    OP_REQUIRES(context, threshold.dims() == 0, Invalid("threshold must be a number"));
    frcnn::Removal removal = removal_;
    removal.threshold = threshold.scalar<double>()();
    Tensor* kept;
    OP_REQUIRES_OK(context, Allocate(context, 0, TensorShape({R}), &kept));
    const double pairs = static_cast<double>(R) * static_cast<double>(R) / std::max<int64_t>(G, 1);
    Share(context, G, pairs, [&](int64_t begin, int64_t end) {
      frcnn::nms_groups(boxes.flat<Element>().data(), first.data(), removal, kept->flat<bool>().data(), begin, end);
    });
  }

 private:
  frcnn::Removal removal_{};
};

// The new velocity is written where the old one is, if nobody else holds it; the new weights likewise.
template <typename Element>
class SgdStepOp : public Kernel {
 public:
  using Kernel::Kernel;

  void Run(OpKernelContext* context) override {
    const Tensor &weights = context->input(0), &gradients = context->input(1), &velocity = context->input(2);
    OP_REQUIRES(context, gradients.shape() == weights.shape() && velocity.shape() == weights.shape(),
                Invalid("gradients and velocity must have the shape of weights, ", weights.shape().DebugString(),
                        ", got ", gradients.shape().DebugString(), " and ", velocity.shape().DebugString()));
    Element numbers[3];
    for (int i = 0; i < 3; ++i) {
      const Tensor& number = context->input(3 + i);
      OP_REQUIRES(context, number.dims() == 0, Invalid("rate, momentum and decay must be numbers"));
      numbers[i] = number.scalar<Element>()();
    }
    Tensor *new_weights, *new_velocity;
    OP_REQUIRES_OK(context, AllocateOver(context, 0, 0, weights.shape(), &new_weights));
    OP_REQUIRES_OK(context, AllocateOver(context, 2, 1, weights.shape(), &new_velocity));
    Share(context, weights.NumElements(), 4.0 * weights.NumElements(), [&](int64_t begin, int64_t end) {
      frcnn::sgd_step(weights.flat<Element>().data(), gradients.flat<Element>().data(),
                      velocity.flat<Element>().data(), numbers[0], numbers[1], numbers[2],
                      new_weights->flat<Element>().data(), new_velocity->flat<Element>().data(), begin, end);
    });
  }
};

#define REGISTER_FOR(Element)                                                                                 \
  REGISTER_KERNEL_BUILDER(Name("Frcnn>Nms").Device(tensorflow::DEVICE_CPU).TypeConstraint<Element>("T"),      \
                          NmsOp<Element>);                                                                    \
  REGISTER_KERNEL_BUILDER(Name("Frcnn>SgdStep").Device(tensorflow::DEVICE_CPU).TypeConstraint<Element>("T"),  \
                          SgdStepOp<Element>)
REGISTER_FOR(float);
REGISTER_FOR(double);
#undef REGISTER_FOR

REGISTER_KERNEL_BUILDER(Name("Frcnn>RoiPool").Device(tensorflow::DEVICE_CPU), RoiPoolOp);
REGISTER_KERNEL_BUILDER(Name("Frcnn>RoiPoolGrad").Device(tensorflow::DEVICE_CPU), RoiPoolGradOp);
REGISTER_KERNEL_BUILDER(Name("Frcnn>RoiPoolGather").Device(tensorflow::DEVICE_CPU), RoiPoolGatherOp);

}  // namespace
