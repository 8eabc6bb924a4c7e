/* meshfl_cuda_check --golden <fixtures/golden> [--case <name>] [--device 0] [--edge 64]: is the backend right? Prints a JSON line for
 * every check and ends with the count; exit code 1 when one failed. --case: only that golden case, so that several processes can share the
 * work; refusals belong to the first. --edge: of the cube on which the planned memory is compared with the device's, which needs the
 * device alone: with --case it is left out. */
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>

#include "golden.h"
#include "host/request.h"
#include "json.h"
#include "runner.h"

namespace {

using namespace bench;

// Of float32 against PyTorch on small grids, as in test/conformance.
constexpr double logits_tolerance = 1e-5, gradient_tolerance = 1e-3, loss_tolerance = 1e-6, statistics_tolerance = 1e-5;
// Of bf16, as in test/conformance/bf16.test.ts.
constexpr double bf16_logits_tolerance = 0.03, bf16_loss_tolerance = 0.01, bf16_cosine = 0.999;
/** A tensor whose true gradient is zero holds nothing but rounding: each counts for this share of all at least. */
constexpr double least_share = 1e-2;

int passed = 0, failed = 0;

void report(const std::string &check, const std::string &name, bool good, double error = 0) {
  (good ? passed : failed)++;
  Line().text("check", check).text("case", name).text("verdict", good ? "passed" : "FAILED").number("error", error).print();
}

/** A check that must not throw. */
void attempt(const std::string &check, const std::string &name, const std::function<void()> &work) {
  try {
    work();
  } catch (const std::exception &error) {
    failed++;
    Line().text("check", check).text("case", name).text("verdict", "FAILED").text("why", error.what()).print();
  }
}

/** The status with which a piece of work is refused; MFL_OK when it is not. */
mfl_status refusal(const std::function<void()> &work, std::string *message = nullptr) {
  try {
    work();
  } catch (const Refused &refused) {
    if (message) *message = refused.what();
    return refused.status;
  }
  return MFL_OK;
}

template <class A, class B>
double relative_maximum(const std::vector<A> &found, const std::vector<B> &truth) {
  if (found.size() != truth.size()) return INFINITY;
  double difference = 0, size = 0;
  for (size_t i = 0; i < truth.size(); i++) {
    const double error = std::abs(static_cast<double>(found[i]) - static_cast<double>(truth[i]));
    if (std::isnan(error)) return INFINITY;
    difference = std::max(difference, error);
    size = std::max(size, std::abs(static_cast<double>(truth[i])));
  }
  return difference == 0 ? 0 : difference / size;
}

double norm(const float *from, uint64_t count) {
  double sum = 0;
  for (uint64_t i = 0; i < count; i++) sum += double{from[i]} * from[i];
  return std::sqrt(sum);
}

/** The largest ||a - b|| / ||b|| of the tensors of all parameters. */
double worst_tensor(const mfl_request &r, const std::vector<float> &found, const std::vector<float> &truth) {
  if (found.size() != truth.size()) return INFINITY;
  const double least = least_share * norm(truth.data(), truth.size());
  std::vector<float> difference(truth.size());
  for (size_t i = 0; i < truth.size(); i++) difference[i] = found[i] - truth[i];
  double worst = 0;
  const auto tensor = [&](uint64_t begin, uint64_t count) {
    const double error = norm(&difference[begin], count) / std::max(norm(&truth[begin], count), least);
    worst = std::isnan(error) ? INFINITY : std::max(worst, error);
  };
  for (uint32_t block = 0; block < r.blocks; block++) {
    const uint64_t begin = mfl::cuda::parameters_of(r, block), end = mfl::cuda::parameters_of(r, block + 1);
    const uint64_t weights = 27ull * r.channels * (block == 0 ? 1 : r.channels);
    tensor(begin, weights);
    for (uint64_t at = begin + weights; at < end; at += r.channels) tensor(at, r.channels);
  }
  const uint64_t head = mfl::cuda::parameters_of(r, r.blocks), weights = uint64_t{r.classes} * r.channels;
  tensor(head, weights);
  tensor(head + weights, r.classes);
  return worst;
}

bool is_argmax(const Result &result, const mfl_request &r) {
  const uint64_t voxels = mfl::cuda::voxels_of(r) / r.volumes;
  for (uint64_t i = 0; i < result.labels.size(); i++) {
    const float *logits = &result.logits[i / voxels * voxels * r.classes + i % voxels];
    uint32_t best = 0;
    for (uint32_t k = 1; k < r.classes; k++) {
      if (logits[k * voxels] > logits[best * voxels]) best = k;
    }
    if (best != result.labels[i]) return false;
  }
  return true;
}

void conforms(uint32_t device, const Golden &golden) {
  const std::string &name = golden.name;
  attempt("forward", name, [&] {
    Runner runner(device);
    const mfl_request request = golden.problem.as(MFL_FORWARD, true);
    const Result found = runner.whole(golden.problem, request);
    const double error = relative_maximum(found.logits, golden.logits);
    report("logits are those of PyTorch", name, error < logits_tolerance, error);
    report("labels are the largest logits", name, is_argmax(found, request));
  });
  attempt("evaluate", name, [&] {
    Runner runner(device);
    double worst = 0, counted = 0;
    for (const ScoredLoss &scored : golden.losses) {
      Problem problem = golden.problem;
      problem.loss = scored.loss;
      const Result found = runner.whole(problem, problem.as(MFL_EVALUATE));
      worst = std::max(worst, std::abs(found.loss - scored.value) / std::max(1.0, scored.value));
      counted = 0;
      for (const double count : found.confusion) counted += count;
    }
    report("losses are those of PyTorch", name, worst < loss_tolerance, worst);
    report("the confusion counts every voxel once", name, counted == static_cast<double>(golden.problem.voxels()));
  });
  if (!golden.trains) return;
  attempt("train", name, [&] {
    Runner runner(device);
    const mfl_request &request = golden.problem.request;
    const Result found = runner.whole(golden.problem, request);
    const double loss = std::abs(found.loss - golden.loss) / std::max(1.0, golden.loss);
    report("the loss of training is that of PyTorch", name, loss < loss_tolerance, loss);
    const double gradients = worst_tensor(request, found.gradients, golden.gradients);
    report("gradients are those of PyTorch", name, gradients < gradient_tolerance, gradients);
    const double statistics = relative_maximum(found.batch_statistics, golden.batch_statistics);
    report("batch statistics are those of PyTorch", name, statistics < statistics_tolerance, statistics);
  });
}

/** The way to the same place with 8 bits: a cosine with all of PyTorch's gradients, a logit within a share of the largest. */
void conforms_in_bf16(uint32_t device, const Golden &golden) {
  attempt("bf16", golden.name, [&] {
    Problem problem = golden.problem;
    problem.request.precision = MFL_BF16;
    Runner runner(device);
    const double logits = relative_maximum(runner.whole(problem, problem.as(MFL_FORWARD, true)).logits, golden.logits);
    report("in bf16 logits are near those of PyTorch", golden.name, logits < bf16_logits_tolerance, logits);
    if (!golden.trains) return;
    const Result found = runner.whole(problem, problem.request);
    const double loss = std::abs(found.loss - golden.loss) / golden.loss;
    report("in bf16 the loss is near that of PyTorch", golden.name, loss < bf16_loss_tolerance, loss);
    double product = 0;
    for (size_t i = 0; i < golden.gradients.size(); i++) product += double{found.gradients[i]} * golden.gradients[i];
    const double cosine = product / norm(found.gradients.data(), found.gradients.size()) / norm(golden.gradients.data(), golden.gradients.size());
    report("in bf16 gradients point where those of PyTorch do", golden.name, cosine > bf16_cosine, cosine);
  });
}

/** Whatever must not change a bit of a training step. */
void repeats(uint32_t device, const std::string &name, const Problem &problem) {
  attempt("the same bits", name, [&] {
    Runner runner(device);
    const mfl_request &request = problem.request;
    const Result first = runner.whole(problem, request);
    report("a second run gives the same bits", name, runner.whole(problem, request) == first);
    runner.whole(problem, problem.as(MFL_FORWARD));
    report("so it does after another kind of run", name, runner.whole(problem, request) == first);
    report("so it does in another session", name, Runner(device).whole(problem, request) == first);
    setenv("MESHFL_CUDA_GRAPH", "0", 1);
    report("so it does launched kernel by kernel", name, runner.whole(problem, request) == first);
    unsetenv("MESHFL_CUDA_GRAPH");
    bool same = true;
    for (const mfl_request &fewer : checkpointed(request)) same = same && runner.whole(problem, fewer) == first;
    report("so do all plans that compute blocks again", name, same);
    Problem forgotten = problem;
    std::fill(forgotten.images.begin(), forgotten.images.end(), 0);
    std::fill(forgotten.truth.begin(), forgotten.truth.end(), 0);
    same = runner.whole(problem, request, 7) == first;
    report("volumes under a key stay on the device", name, same && runner.whole(forgotten, request, 7) == first);
    report("another key stands for other volumes", name, !(runner.whole(forgotten, request, 8) == first));
  });
}

void survives(uint32_t device, const Problem &problem) {
  attempt("refusals", "", [&] {
    Runner runner(device);
    const mfl_request &request = problem.request;
    report("nothing is run before it is prepared", "", refusal([&] { runner.run(); }) == MFL_INVALID_ARGUMENT);
    const Result first = runner.whole(problem, request);
    const auto goes_on = [&] { return runner.whole(problem, request) == first; };
    Problem wrong = problem;
    wrong.truth[wrong.truth.size() / 2] = static_cast<uint8_t>(request.classes);
    report("a label that no class has is refused", "",
           refusal([&] { runner.whole(wrong, request); }) == MFL_BAD_LABEL && goes_on());
    wrong = problem;
    wrong.images.pop_back();
    report("an array of another size is refused", "",
           refusal([&] { runner.whole(wrong, request); }) == MFL_INVALID_ARGUMENT && goes_on());
    runner.write(problem, request);
    runner.table().cancel(runner.session());
    report("a run that was cancelled gives nothing, and the next goes on", "",
           refusal([&] { runner.run(); }) == MFL_CANCELLED && goes_on());
    mfl_request vast = request;
    vast.channels = 64;
    vast.volumes = 64;
    vast.depth = vast.height = vast.width = 1024;
    std::string message;
    report("out of memory is refused with figures, and the next goes on", "",
           refusal([&] { runner.prepare(vast); }, &message) == MFL_OUT_OF_MEMORY && message.find("bytes") != std::string::npos && goes_on());
    report("there is no device 999", "", refusal([] { Runner runner(999); }) == MFL_INVALID_ARGUMENT);
  });
}

/** What a mode does not give is zero in a new session, not what the device's memory held: all results are copied in one piece. */
void clears(uint32_t device, const Problem &problem) {
  attempt("clears", "", [&] {
    const auto all_zero = [&](mfl_mode mode, uint32_t region, uint64_t count) {
      Runner runner(device);
      runner.write(problem, problem.as(mode));
      runner.run();
      std::vector<unsigned char> bytes(count, 1);
      const mfl_status status = runner.table().read(runner.session(), region, bytes.data(), count);
      if (status != MFL_OK) throw Refused(status, runner.table().last_error());
      return std::count(bytes.begin(), bytes.end(), 0) == static_cast<ptrdiff_t>(count);
    };
    const mfl_request &r = problem.request;
    const uint64_t statistics = 4 * mfl::cuda::statistic_count(r), score = 8 * (1 + uint64_t{r.classes} * r.classes);
    report("the statistics and the score that a forward pass does not give are zero", "",
           all_zero(MFL_FORWARD, MFL_BATCH_STATISTICS, statistics) && all_zero(MFL_FORWARD, MFL_SCORE, score));
    report("the statistics that an evaluation does not give are zero", "", all_zero(MFL_EVALUATE, MFL_BATCH_STATISTICS, statistics));
  });
}

/** The plan says what the device says: within 5 %, and the granularity of its allocations. */
void memory(uint32_t device, uint32_t edge) {
  const auto free_bytes = [&] {
    mfl_device info;
    if (mfl_cuda_v1()->device(device, &info) != MFL_OK) throw std::runtime_error(mfl_cuda_v1()->common.last_error());
    return static_cast<double>(info.free_bytes);
  };
  const Problem problem = meshnet(5, edge);
  std::vector<mfl_request> requests = checkpointed(problem.request);
  requests.insert(requests.begin(), problem.request);
  for (const mfl_request &request : requests) {
    const std::string name = std::to_string(edge) + "^3, kept blocks " + std::to_string(request.kept_low & 0x1ff);
    attempt("memory", name, [&] {
      Runner runner(device);
      const double planned = static_cast<double>(runner.plan(request)), before = free_bytes();
      runner.prepare(request);
      const double taken = before - free_bytes();
      report("the plan is right about the memory: " + std::to_string(static_cast<uint64_t>(planned)) + " bytes", name,
             std::abs(taken - planned) <= 0.05 * planned + (4 << 20), taken / planned - 1);
    });
  }
}

}  // namespace

int main(int count, char **arguments) {
  std::string golden = "fixtures/golden", only;
  uint32_t device = 0, edge = 64;
  for (int i = 1; i + 1 < count; i += 2) {
    const std::string name = arguments[i];
    if (name == "--golden") golden = arguments[i + 1];
    if (name == "--case") only = arguments[i + 1];
    if (name == "--device") device = static_cast<uint32_t>(std::atoi(arguments[i + 1]));
    if (name == "--edge") edge = static_cast<uint32_t>(std::atoi(arguments[i + 1]));
  }
  mfl_device info;
  if (mfl_cuda_v1()->device(device, &info) != MFL_OK) {
    Line().text("skipped", mfl_cuda_v1()->common.last_error()).print();
    return std::getenv("MESHFL_REQUIRE") && std::strstr(std::getenv("MESHFL_REQUIRE"), "cuda") ? 1 : 0;
  }
  Line().text("device", info.name).text("instructionSet", info.instruction_set).number("freeBytes", static_cast<double>(info.free_bytes)).print();
  std::vector<Golden> cases = read_golden(golden);
  const std::string first = cases.front().name;
  if (!only.empty()) {
    cases.erase(std::remove_if(cases.begin(), cases.end(), [&](const Golden &one) { return one.name != only; }), cases.end());
  }
  // Golden grids are small: the kernels for whole tiles run on this one.
  const std::string whole_name = "whole-tiles";
  const bool whole = only.empty() || only == whole_name;
  if (cases.empty() && !whole) {
    Line().text("failed", "there is no case " + only).print();
    return 1;
  }
  for (const Golden &one : cases) {
    conforms(device, one);
    conforms_in_bf16(device, one);
  }
  const auto repeats_in_both = [&](const std::string &name, Problem problem) {
    repeats(device, name, problem);
    problem.request.precision = MFL_BF16;
    repeats(device, name + " in bf16", problem);
  };
  for (const Golden &one : cases) {
    if (one.trains) repeats_in_both(one.name, one.problem);
  }
  if (whole) repeats_in_both(whole_name, whole_tiles());
  if (!cases.empty() && cases.front().name == first) {
    clears(device, cases.front().problem);
    survives(device, cases.front().problem);
  }
  if (only.empty()) memory(device, edge);
  Line().number("passed", passed).number("failed", failed).print();
  return failed == 0 ? 0 : 1;
}
