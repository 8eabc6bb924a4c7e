/* meshfl_cuda_time [--device 0] [--edge 256] [--channels 5] [--repeats 20] [--launches-only 0]: seconds of forward passes and training
 * steps, as a caller of the C ABI sees them, with images and labels on the device and results left there as the peer's are; then of
 * every launch of a step by CUDA's events, beside what its traffic and its arithmetic take at the device's own measured limits. Prints
 * JSON lines. --launches-only 1, --repeats 0: one step of each precision, launch by launch, as a profiler wants it. */
#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <map>

#include "host/graph.h"
#include "host/resources.h"
#include "host/step.h"
#include "json.h"
#include "runner.h"

namespace {

using namespace bench;
using namespace mfl::cuda;

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

void time_runs(Runner &runner, const Problem &problem, const mfl_request &request, const char *what, int repeats) {
  std::vector<double> seconds;
  runner.whole(problem, request, 1);
  for (int i = 0; i < repeats; i++) {
    const auto start = std::chrono::steady_clock::now();
    runner.write(problem, request, 1);
    runner.run();
    seconds.push_back(std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
  }
  Line()
      .text("what", what)
      .text("precision", request.precision == MFL_FP32 ? "fp32" : "bf16")
      .number("channels", request.channels)
      .number("edge", request.width)
      .number("keptBlocks", request.kept_low & 0x1ff)
      .number("medianSeconds", median(seconds))
      .number("bytes", static_cast<double>(runner.plan(request)))
      .numbers("seconds", seconds)
      .print();
}

OwnEvent timing_event() {
  cudaEvent_t event = nullptr;
  check(cudaEventCreate(&event), "creating an event");
  return OwnEvent(event);
}

double milliseconds(const OwnEvent &start, const OwnEvent &end) {
  float elapsed = 0;
  check(cudaEventElapsedTime(&elapsed, start.get(), end.get()), "timing");
  return elapsed;
}

/** Bytes a second of a copy on the device: reading and writing. */
double copy_rate() {
  constexpr uint64_t bytes = uint64_t{1} << 29;
  const DeviceMemory memory = try_device_memory(2 * bytes);
  if (!memory) return NAN;
  const OwnStream stream = new_stream();
  const OwnEvent start = timing_event(), end = timing_event();
  std::vector<double> rates;
  for (int i = 0; i < 10; i++) {
    check(cudaEventRecord(start.get(), stream.get()), "timing");
    check(cudaMemcpyAsync(memory.get(), memory.get() + bytes, bytes, cudaMemcpyDeviceToDevice, stream.get()), "copying");
    check(cudaEventRecord(end.get(), stream.get()), "timing");
    check(cudaStreamSynchronize(stream.get()), "copying");
    rates.push_back(2.0 * bytes / (milliseconds(start, end) / 1e3));
  }
  return median(rates);
}

/** Least traffic and arithmetic of a launch: every tensor that it reads or writes once, every multiply-add as two operations. */
struct Floor {
  double bytes = 0, operations = 0;
};

Floor floor_of(const Launch &launch, const mfl_request &r) {
  const double voxels = static_cast<double>(voxels_of(r)), element = precision_of(r) == Precision::fp32 ? 4 : 2;
  const double channels = r.channels, inputs = launch.block == 0 ? 1 : channels;
  const double convolution = 2 * 27 * channels * inputs * voxels, tensor = channels * element * voxels;
  const double input = inputs * element * voxels;
  const std::string name = launch.name;
  if (name == "convolve") return {input + tensor, convolution};
  if (name == "weight_gradient") return {input + 3 * tensor, convolution};
  if (name == "data_gradient") return {tensor + 2 * input, convolution};
  if (name == "head_score") return {(is_train(r) ? 2 : 1) * tensor + voxels, 2 * channels * r.classes * voxels * (is_train(r) ? 3 : 1)};
  if (name == "head_forward") return {tensor + voxels, 2 * channels * r.classes * voxels};
  if (name == "convert_images") return {(r.float_images ? 4 : 1) * voxels + element * voxels, 0};
  if (name == "count_labels") return {voxels, 0};
  return {};
}

void time_launches(uint32_t index, const Problem &problem, int repeats) {
  check(cudaSetDevice(static_cast<int>(index)), "choosing a device");
  Device device;
  check(describe_device(static_cast<int>(index), &device), "asking what a device can do");
  const Plan plan(problem.request, device);
  const DeviceMemory memory = try_device_memory(plan.bytes());
  if (!memory) throw std::runtime_error("the device has not " + std::to_string(plan.bytes()) + " bytes");
  const auto put = [&](uint32_t region, const auto &values) {
    check(cudaMemcpy(memory.get() + plan.offset(region), values.data(), plan.region_bytes(region), cudaMemcpyHostToDevice), "copying");
  };
  put(MFL_PARAMETERS, problem.parameters);
  put(MFL_STATISTICS, problem.statistics);
  put(MFL_DROPOUT, problem.dropout);
  put(MFL_LOSS, problem.loss);
  put(MFL_IMAGES, problem.images);
  put(MFL_TRUTH, problem.truth);
  const std::vector<Launch> launches = launches_of(plan, memory.get());
  const OwnStream stream = new_stream();
  std::vector<OwnEvent> marks;
  for (size_t i = 0; i <= launches.size(); i++) marks.push_back(timing_event());
  std::vector<std::vector<double>> times(launches.size());
  for (int repeat = 0; repeat <= repeats; repeat++) {
    check(cudaEventRecord(marks[0].get(), stream.get()), "timing");
    for (size_t i = 0; i < launches.size(); i++) {
      check(launches[i].start(stream.get()), launches[i].name);
      check(cudaEventRecord(marks[i + 1].get(), stream.get()), "timing");
    }
    check(cudaStreamSynchronize(stream.get()), "running");
    for (size_t i = 0; repeat > 0 && i < launches.size(); i++) times[i].push_back(milliseconds(marks[i], marks[i + 1]));
  }
  if (repeats == 0) return;
  const double rate = copy_rate();
  Line().text("what", "copy on the device").number("bytesPerSecond", rate).print();
  for (size_t i = 0; i < launches.size(); i++) {
    const Floor floor = floor_of(launches[i], problem.request);
    const double spent = median(times[i]);
    Line()
        .text("launch", launches[i].name)
        .text("ofPrecision", problem.request.precision == MFL_FP32 ? "fp32" : "bf16")
        .number("block", launches[i].block)
        .number("milliseconds", spent)
        .number("leastBytes", floor.bytes)
        .number("millisecondsOfCopyingThem", 1e3 * floor.bytes / rate)
        .number("operations", floor.operations)
        .number("teraOperationsPerSecond", floor.operations / spent / 1e9)
        .print();
  }
}

}  // namespace

int main(int count, char **arguments) {
  std::map<std::string, int> options = {{"--device", 0}, {"--edge", 256}, {"--channels", 5}, {"--repeats", 20}, {"--launches-only", 0}};
  for (int i = 1; i + 1 < count; i += 2) {
    if (options.count(arguments[i])) options[arguments[i]] = std::atoi(arguments[i + 1]);
  }
  const auto device = static_cast<uint32_t>(options["--device"]);
  try {
    mfl_device info;
    if (mfl_cuda_v1()->device(device, &info) != MFL_OK) throw std::runtime_error(mfl_cuda_v1()->common.last_error());
    Line().text("device", info.name).text("instructionSet", info.instruction_set).number("memoryBytes", static_cast<double>(info.memory_bytes)).print();
    const int repeats = std::max(options["--launches-only"] ? 0 : 1, options["--repeats"]);
    Problem problem = meshnet(static_cast<uint32_t>(options["--channels"]), static_cast<uint32_t>(options["--edge"]));
    for (const mfl_precision precision : {MFL_FP32, MFL_BF16}) {
      problem.request.precision = precision;
      if (!options["--launches-only"]) {
        Runner runner(device);
        time_runs(runner, problem, problem.as(MFL_FORWARD), "forward", repeats);
        time_runs(runner, problem, problem.request, "training step", repeats);
        for (const mfl_request &fewer : checkpointed(problem.request)) time_runs(runner, problem, fewer, "training step", repeats);
      }
      time_launches(device, problem, repeats);
    }
    return 0;
  } catch (const std::exception &error) {
    Line().text("failed", error.what()).print();
    return 1;
  }
}
