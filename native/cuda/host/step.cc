#include "step.h"

namespace mfl::cuda {

namespace {

/** Gathers the launches; every method adds those of one pass. */
class Step {
 public:
  Step(const Plan &plan, char *base) : plan_(plan), r_(plan.request), base_(base) {}

  std::vector<Launch> build() {
    prepare();
    for (uint32_t block = 0; block < r_.blocks; block++) forward(block);
    if (is_scored(r_)) {
      score();
    } else {
      segment();
    }
    if (is_train(r_)) backward();
    return std::move(launches_);
  }

 private:
  template <class T>
  T *at(uint64_t offset) const {
    return reinterpret_cast<T *>(base_ + offset);
  }
  template <class T>
  T *place(uint32_t place) const {
    return at<T>(plan_.offset(place));
  }
  template <class Start>
  void add(const char *name, uint32_t block, Start start) {
    launches_.push_back({name, block, start});
  }

  Coefficients *coefficients_of(uint32_t block) const {
    return place<Coefficients>(coefficients) + uint64_t{block} * r_.volumes * r_.channels;
  }
  float *parameters(uint32_t block, uint32_t region = MFL_PARAMETERS) const { return place<float>(region) + parameters_of(r_, block); }

  /** A block's bias, weight and offset among the parameters or the gradients; null where the model has none. */
  struct Extras {
    float *bias, *weight, *offset;
  };
  Extras extras(uint32_t block, uint32_t region) const {
    float *after = parameters(block, region) + uint64_t{27} * r_.channels * (block == 0 ? 1 : r_.channels);
    float *norm = after + (r_.convolution_bias ? r_.channels : 0);
    const bool normed = has_batch_norm(r_);
    return {r_.convolution_bias ? after : nullptr, normed ? norm : nullptr, normed ? norm + r_.channels : nullptr};
  }
  Affine affine(uint32_t block) const {
    const Extras own = extras(block, MFL_PARAMETERS);
    const float *factors = is_train(r_) ? place<float>(MFL_DROPOUT) + uint64_t{block} * r_.channels : nullptr;
    return {own.bias, own.weight, own.offset, factors, r_.blocks * r_.channels};
  }

  /** What a block reads. */
  Activated input(uint32_t block) const {
    if (block == 0) return {place<void>(image_tensor), nullptr, Activation::identity};
    return output(block - 1);
  }
  Activated output(uint32_t block) const {
    return {at<void>(plan_.output(block)), coefficients_of(block), static_cast<Activation>(r_.activation)};
  }

  void prepare() {
    const Grid grid = grid_of(r_);
    const Precision precision = precision_of(r_);
    void *images = place<void>(MFL_IMAGES), *image = place<void>(image_tensor);
    const bool floats = r_.float_images == 1;
    add("convert_images", r_.blocks, [=](cudaStream_t stream) { return convert_images(stream, grid, images, floats, precision, image); });
    if (!is_scored(r_)) return;
    const uint8_t *truth = place<uint8_t>(MFL_TRUTH);
    auto *counts = place<unsigned long long>(label_counts);
    add("count_labels", r_.blocks, [=](cudaStream_t stream) { return count_labels(stream, grid, truth, counts); });
    const double *loss = place<double>(MFL_LOSS);
    auto *to = place<LossTerms>(terms);
    const uint32_t classes = r_.classes;
    add("prepare_loss", r_.blocks, [=](cudaStream_t stream) { return prepare_loss(stream, classes, counts, loss, to); });
  }

  void forward(uint32_t block) {
    const Device device = plan_.device;
    const Convolution shape = convolution_of(r_, block);
    const Affine own = affine(block);
    Coefficients *to = coefficients_of(block);
    convolve_block(block, measures(r_) ? place<double>(partials) : nullptr);
    const double *sums = place<double>(partials);
    if (!measures(r_)) {
      const float *running = has_batch_norm(r_) ? place<float>(MFL_STATISTICS) + uint64_t{2} * r_.channels * block : nullptr;
      const uint32_t volumes = r_.volumes, channels = r_.channels;
      add("fixed_coefficients", block,
          [=](cudaStream_t stream) { return fixed_coefficients(stream, volumes, channels, running, own, to); });
    } else if (has_batch_norm(r_)) {
      float *measured = place<float>(MFL_BATCH_STATISTICS) + uint64_t{2} * r_.channels * block;
      add("finish_batch_statistics", block,
          [=](cudaStream_t stream) { return finish_batch_statistics(stream, device, shape, sums, own, to, measured); });
    } else {
      add("finish_instance_statistics", block,
          [=](cudaStream_t stream) { return finish_instance_statistics(stream, device, shape, sums, to); });
    }
  }

  /** With sums for statistics, or, to compute a block again, without. */
  void convolve_block(uint32_t block, double *sums) {
    const Device device = plan_.device;
    const Convolution shape = convolution_of(r_, block);
    const Activated from = input(block);
    const float *weights = parameters(block);
    void *z = at<void>(plan_.output(block));
    add("convolve", block, [=](cudaStream_t stream) { return convolve(stream, device, shape, from, weights, z, sums); });
  }

  void segment() {
    const Device device = plan_.device;
    const Head shape = head_of(r_);
    const Activated from = output(r_.blocks - 1);
    const float *weights = parameters(r_.blocks), *biases = weights + uint64_t{r_.classes} * r_.channels;
    uint8_t *labels = place<uint8_t>(MFL_LABELS);
    float *logits = r_.want_logits ? place<float>(MFL_LOGITS) : nullptr;
    add("head_forward", r_.blocks,
        [=](cudaStream_t stream) { return head_forward(stream, device, shape, from, weights, biases, labels, logits); });
  }

  void score() {
    const Device device = plan_.device;
    const Head shape = head_of(r_);
    const Activated from = output(r_.blocks - 1);
    const uint64_t weight_count = uint64_t{r_.classes} * r_.channels;
    const float *weights = parameters(r_.blocks), *biases = weights + weight_count;
    const uint8_t *truth = place<uint8_t>(MFL_TRUTH);
    const double *loss = place<double>(MFL_LOSS);
    const LossTerms *of_loss = place<LossTerms>(terms);
    void *gradient = is_train(r_) ? at<void>(plan_.gradient()) : nullptr;
    double *sums = place<double>(partials), *to = place<double>(MFL_SCORE);
    auto *counts = place<unsigned long long>(confusion);
    add("head_score", r_.blocks, [=](cudaStream_t stream) {
      return head_score(stream, device, shape, from, weights, biases, truth, loss, of_loss, gradient, sums, counts);
    });
    float *by_weights = is_train(r_) ? parameters(r_.blocks, MFL_GRADIENTS) : nullptr;
    float *by_biases = is_train(r_) ? by_weights + weight_count : nullptr;
    add("finish_score", r_.blocks, [=](cudaStream_t stream) {
      return finish_score(stream, device, shape, sums, of_loss, counts, to, by_weights, by_biases);
    });
    if (is_train(r_)) finish_norm(r_.blocks - 1, head_sums(device, shape, sums));
  }

  void finish_norm(uint32_t block, const GradientSums &sums) {
    const Grid grid = grid_of(r_);
    const uint32_t channels = r_.channels;
    const bool normed = has_batch_norm(r_);
    const Extras by = extras(block, MFL_GRADIENTS);
    Coefficients *own = coefficients_of(block);
    add("finish_normalisation", block, [=](cudaStream_t stream) {
      return finish_normalisation(stream, grid, channels, normed, sums, own, by.weight, by.offset, by.bias);
    });
  }

  void backward() {
    const Device device = plan_.device;
    double *sums = place<double>(partials);
    void *gradient = at<void>(plan_.gradient());
    for (uint32_t block = r_.blocks; block-- > 0;) {
      const Segment own = plan_.segment(block);
      if (block == own.last && block + 1 < r_.blocks) {
        for (uint32_t again = own.first; again < block; again++) convolve_block(again, nullptr);
      }
      const Convolution shape = convolution_of(r_, block);
      const Activated from = input(block);
      const Coefficients *through = coefficients_of(block);
      void *z = at<void>(plan_.output(block));
      float *by_weights = parameters(block, MFL_GRADIENTS);
      add("weight_gradient", block, [=](cudaStream_t stream) {
        return weight_gradient(stream, device, shape, from, through, gradient, z, sums);
      });
      add("finish_weight_gradient", block,
          [=](cudaStream_t stream) { return finish_weight_gradient(stream, device, shape, sums, by_weights); });
      if (block == 0) continue;
      const float *weights = parameters(block);
      add("data_gradient", block,
          [=](cudaStream_t stream) { return data_gradient(stream, device, shape, z, weights, from, gradient, sums); });
      finish_norm(block - 1, data_gradient_sums(device, shape, sums));
    }
  }

  const Plan &plan_;
  const mfl_request &r_;
  char *const base_;
  std::vector<Launch> launches_;
};

}  // namespace

std::vector<Launch> launches_of(const Plan &plan, char *base) { return Step(plan, base).build(); }

}  // namespace mfl::cuda
