#include "reference.h"

namespace mfl::cuda::test {

namespace {

struct Case {
  Head shape;
  Activation activation;
  double smoothing;
};

std::vector<Case> cases() {
  std::vector<Case> all;
  for (Precision p : {Precision::fp32, Precision::bf16}) {
    all.push_back({{{1, 5, 6, 7}, 5, 3, p}, Activation::elu, 0.01});
    all.push_back({{{2, 9, 11, 70}, 5, 3, p}, Activation::gelu, 0.3});
    all.push_back({{{1, 1, 1, 1}, 5, 3, p}, Activation::elu, 0});
    all.push_back({{{2, 3, 4, 33}, 5, 2, p}, Activation::relu, 0.1});
    all.push_back({{{1, 4, 9, 44}, 5, 2, p}, Activation::elu, 0.05});
    all.push_back({{{2, 3, 4, 40}, 5, 4, p}, Activation::elu, 0.1});
    all.push_back({{{1, 3, 5, 37}, 1, 2, p}, Activation::gelu, 0});
    all.push_back({{{2, 3, 5, 9}, 21, 18, p}, Activation::elu, 0.05});
    all.push_back({{{1, 2, 3, 35}, 64, 128, p}, Activation::relu, 0.02});
    all.push_back({{{1, 20, 30, 33}, 3, 5, p}, Activation::elu, 0.02});
    // Rows of whole words of labels, with and without what a row of a tensor has beyond them.
    all.push_back({{{1, 20, 30, 36}, 5, 3, p}, Activation::elu, 0.02});
    all.push_back({{{2, 3, 30, 64}, 5, 3, p}, Activation::elu, 0.1});
  }
  return all;
}

struct Given {
  Tensor z;
  std::vector<Coefficients> coefficients;
  std::vector<float> weights, biases;
  Tensor inputs, logits;
  std::vector<uint8_t> truth;
  std::vector<double> loss;

  explicit Given(const Case &c)
      : z(noise_tensor(c.shape.grid, c.shape.channels, c.shape.precision, 1, 1.5)),
        coefficients(noise_coefficients(c.shape.grid.volumes, c.shape.channels, 2)),
        weights(noise_floats(3, c.shape.channels * c.shape.classes, 0.7)),
        biases(noise_floats(4, c.shape.classes, 0.3)),
        inputs(activated_tensor(z, c.activation, coefficients)),
        logits(c.shape.grid, c.shape.classes) {
    logits.for_each([&](uint32_t n, uint32_t k, int d, int h, int w) {
      double sum = biases[k];
      for (uint32_t i = 0; i < c.shape.channels; i++) sum += static_cast<double>(weights[k * c.shape.channels + i]) * inputs.read(n, i, d, h, w);
      logits.at(n, k, d, h, w) = sum;
    });
    const size_t voxels = logits.values.size() / c.shape.classes;
    for (size_t i = 0; i < voxels; i++) truth.push_back(static_cast<uint8_t>((i * i + i / 3) % c.shape.classes));
    for (uint32_t k = 0; k < c.shape.classes; k++) loss.push_back(0.2 + 0.1 * k);
    loss.push_back(c.smoothing);
  }

  size_t voxel(const Tensor &t, uint32_t n, int d, int h, int w) const {
    return ((static_cast<size_t>(n) * t.grid.depth + d) * t.grid.height + h) * t.grid.width + w;
  }
};

/** What the head gives, in float64. */
struct Right {
  double loss = 0;
  std::vector<double> confusion, by_weights, by_biases;
  Tensor gradient;
};

/** The larger of two logits must be larger by this for their order to be certain in single precision. */
constexpr double clear = 1e-4;

Right right_of(const Case &c, const Given &given) {
  const uint32_t classes = c.shape.classes, channels = c.shape.channels;
  Right right{0, std::vector<double>(classes * classes), std::vector<double>(classes * channels), std::vector<double>(classes), Tensor(c.shape.grid, channels)};
  double total = 0;
  for (uint8_t label : given.truth) total += given.loss[label];
  const Tensor voxels(c.shape.grid, 1);
  voxels.for_each([&](uint32_t n, uint32_t, int d, int h, int w) {
    const uint32_t truth = given.truth[given.voxel(voxels, n, d, h, w)];
    double sum = 0;
    uint32_t best = 0;
    const auto logit = [&](uint32_t k) { return given.logits.read(n, k, d, h, w); };
    for (uint32_t k = 0; k < classes; k++) {
      sum += std::exp(logit(k));
      if (logit(k) > logit(best)) best = k;
    }
    right.confusion[truth * classes + best]++;
    // Weights of the negative log-probabilities, as torch.nn.CrossEntropyLoss smooths them.
    std::vector<double> shares(classes);
    double shares_sum = 0;
    for (uint32_t k = 0; k < classes; k++) {
      shares[k] = c.smoothing / classes * given.loss[k] + (k == truth ? (1 - c.smoothing) * given.loss[k] : 0);
      shares_sum += shares[k];
      right.loss += shares[k] * (std::log(sum) - logit(k)) / total;
    }
    for (uint32_t k = 0; k < classes; k++) {
      const double slope = (shares_sum * std::exp(logit(k)) / sum - shares[k]) / total;
      right.by_biases[k] += slope;
      for (uint32_t i = 0; i < channels; i++) {
        right.by_weights[k * channels + i] += slope * given.inputs.read(n, i, d, h, w);
        const Coefficients &q = given.coefficients[n * channels + i];
        const double u = static_cast<double>(q.scale) * given.z.read(n, i, d, h, w) + q.shift;
        right.gradient.at(n, i, d, h, w) += slope * static_cast<double>(given.weights[k * channels + i]) * q.factor * slope_of(c.activation, u);
      }
    }
  });
  return right;
}

std::string name(const Case &c) {
  return std::to_string(c.shape.channels) + " channels, " + std::to_string(c.shape.classes) + " classes, width " +
         std::to_string(c.shape.grid.width) + (c.shape.precision == Precision::bf16 ? ", bf16" : ", fp32");
}

}  // namespace

TEST("labels are the largest logits, and logits those of float64 loops") {
  for (const Case &c : cases()) {
    const Given given(c);
    const DeviceTensor z(given.z, c.shape.precision);
    const Buffer<Coefficients> coefficients(given.coefficients);
    const Buffer<float> weights(given.weights), biases(given.biases), logits(given.logits.values.size());
    const Buffer<uint8_t> labels(given.truth.size());
    const Activated input = {z.get(), coefficients.get(), c.activation};
    expect(head_forward(nullptr, {90, 0}, c.shape, input, weights.get(), biases.get(), labels.get(), logits.get()));
    check(largest_error(logits.read(), given.logits.values) < 2e-5, name(c) + ": logits");
    const std::vector<uint8_t> got = labels.read();
    const Tensor voxels(c.shape.grid, 1);
    voxels.for_each([&](uint32_t n, uint32_t, int d, int h, int w) {
      const uint32_t label = got[given.voxel(voxels, n, d, h, w)];
      check(label < c.shape.classes, name(c) + ": a label that is no class");
      for (uint32_t k = 0; k < c.shape.classes; k++) {
        check(given.logits.read(n, k, d, h, w) <= given.logits.read(n, label, d, h, w) + clear, name(c) + ": a label that is not the largest logit's");
      }
    });
  }
}

TEST("the loss, its counts and its gradients are those of float64 loops") {
  for (const Case &c : cases()) {
    const Given given(c);
    const Right right = right_of(c, given);
    const uint32_t classes = c.shape.classes, channels = c.shape.channels;
    Device device;
    expect(describe_device(0, &device));
    const DeviceTensor z(given.z, c.shape.precision), gradient(c.shape.grid, channels, c.shape.precision);
    const Buffer<Coefficients> coefficients(given.coefficients);
    const Buffer<float> weights(given.weights), biases(given.biases), by_weights(classes * channels), by_biases(classes);
    const Buffer<uint8_t> truth(given.truth);
    const Buffer<double> loss(given.loss), partials(head_partials(device, c.shape)), score(1 + classes * classes);
    const Buffer<unsigned long long> counts(256), confusion(classes * classes);
    const Buffer<LossTerms> terms(1);
    const Activated input = {z.get(), coefficients.get(), c.activation};
    for (void *to : {gradient.get(), static_cast<void *>(nullptr)}) {
      expect(count_labels(nullptr, c.shape.grid, truth.get(), counts.get()));
      expect(prepare_loss(nullptr, classes, counts.get(), loss.get(), terms.get()));
      expect(head_score(nullptr, device, c.shape, input, weights.get(), biases.get(), truth.get(), loss.get(), terms.get(), to, partials.get(), confusion.get()));
      expect(finish_score(nullptr, device, c.shape, partials.get(), terms.get(), confusion.get(), score.get(), to ? by_weights.get() : nullptr, to ? by_biases.get() : nullptr));
      const std::vector<double> got = score.read();
      check(terms.read()[0].bad_label == 0, name(c) + ": a label is called bad");
      check(std::abs(got[0] - right.loss) < 1e-6 * (1 + right.loss), name(c) + ": loss " + std::to_string(got[0]) + " for " + std::to_string(right.loss));
      double misplaced = 0;
      for (uint32_t pair = 0; pair < classes * classes; pair++) misplaced += std::abs(got[1 + pair] - right.confusion[pair]) / 2;
      // Of equal logits rounding may choose the other.
      check(misplaced <= 1, name(c) + ": counts");
    }
    check(largest_error(by_weights.read(), right.by_weights) < 2e-5, name(c) + ": gradient by the weights");
    check(largest_error(by_biases.read(), right.by_biases) < 2e-5, name(c) + ": gradient by the biases");
    const Tensor got = gradient.read();
    const double error = largest_error(got.values, right.gradient.values);
    check(error < (c.shape.precision == Precision::fp32 ? 2e-5 : 3e-2), name(c) + ": gradient, error " + std::to_string(error));
  }
}

TEST("the sums that the head leaves for the last block are those of its gradient") {
  for (const Case &c : cases()) {
    const Given given(c);
    const uint32_t classes = c.shape.classes, channels = c.shape.channels;
    Device device;
    expect(describe_device(0, &device));
    const DeviceTensor z(given.z, c.shape.precision), gradient(c.shape.grid, channels, c.shape.precision);
    const Buffer<Coefficients> coefficients(given.coefficients);
    const Buffer<float> weights(given.weights), biases(given.biases), by_weight(channels), by_offset(channels), by_bias(channels);
    const Buffer<uint8_t> truth(given.truth);
    const Buffer<double> loss(given.loss), partials(head_partials(device, c.shape));
    const Buffer<unsigned long long> counts(256), confusion(classes * classes);
    const Buffer<LossTerms> terms(1);
    expect(count_labels(nullptr, c.shape.grid, truth.get(), counts.get()));
    expect(prepare_loss(nullptr, classes, counts.get(), loss.get(), terms.get()));
    expect(head_score(nullptr, device, c.shape, {z.get(), coefficients.get(), c.activation}, weights.get(), biases.get(), truth.get(), loss.get(), terms.get(), gradient.get(), partials.get(), confusion.get()));
    const GradientSums sums = head_sums(device, c.shape, partials.get());
    expect(finish_normalisation(nullptr, c.shape.grid, channels, true, sums, coefficients.get(), by_weight.get(), by_offset.get(), nullptr));
    const Tensor got = gradient.read();
    std::vector<double> offsets(channels), products(channels);
    got.for_each([&](uint32_t n, uint32_t i, int d, int h, int w) {
      const Coefficients &k = given.coefficients[n * channels + i];
      offsets[i] += got.read(n, i, d, h, w);
      products[i] += got.read(n, i, d, h, w) * (static_cast<double>(k.inverse) * given.z.read(n, i, d, h, w) + k.center);
    });
    check(largest_error(by_offset.read(), offsets) < 1e-4, name(c) + ": gradient by the offset");
    check(largest_error(by_weight.read(), products) < 1e-4, name(c) + ": gradient by the weight");
    expect(finish_normalisation(nullptr, c.shape.grid, channels, false, sums, coefficients.get(), nullptr, nullptr, by_bias.get()));
    check(largest_error(by_bias.read(), offsets) < 1e-4, name(c) + ": gradient by the bias");
  }
}

}  // namespace mfl::cuda::test
