#include "session.h"

#include <cstdlib>
#include <cstring>

#include "devices.h"

namespace mfl::cuda {

namespace {

/** Requests whose launches are remembered: forward, evaluation and training, each for a whole batch and for the last. */
constexpr size_t most_runs = 8;
/** Multiply-adds, twice, of a run that is launched kernel by kernel, so that it can be cancelled in between: seconds on any GPU. */
constexpr double long_run = 1e14;

double work_of(const mfl_request &r) {
  const double convolutions = 2.0 * 27 * r.channels * (1.0 + r.channels * (r.blocks - 1.0)) * static_cast<double>(voxels_of(r));
  return convolutions * (is_train(r) ? 3 : 1);
}

/** MESHFL_CUDA_GRAPH=0 launches kernel by kernel, for tools that look at each. */
bool runs_as_graph(const mfl_request &request) {
  const char *asked = std::getenv("MESHFL_CUDA_GRAPH");
  return !(asked && std::strcmp(asked, "0") == 0) && work_of(request) < long_run;
}

std::string bytes_of(const mfl_request &request) {
  return std::string(reinterpret_cast<const char *>(&request), sizeof request);
}

/** A run copies its results out in one piece, with the gaps between regions and the regions that its mode does not give: so that nothing
 * reaches the host that was never written. */
void clear_results(const Exchange &copies, cudaStream_t stream) {
  check(cudaMemsetAsync(copies.results, 0, copies.result_bytes, stream), "clearing the results");
  std::memset(copies.pinned_results, 0, copies.result_bytes);
  // Volumes come on another stream, and the next plan may have them where this one has its results.
  check(cudaStreamSynchronize(stream), "clearing the results");
}

}  // namespace

template <class Work>
void Session::hold(Work work) {
  const std::unique_lock<std::mutex> lock(mutex_, std::try_to_lock);
  if (!lock) throw Failure(MFL_BUSY, "the session is running");
  if (!lost_.empty()) throw Failure(MFL_INTERNAL, lost_);
  use_device(index_);
  try {
    work();
  } catch (const Failure &failure) {
    if (!failure.fatal) throw;
    lost_ = "the session is lost, its device failed while " + std::string(failure.what());
    lose_device(index_, failure.what());
    throw Failure(MFL_INTERNAL, lost_ + "\nstart the process again; the other engines go on");
  }
}

Session::Session(uint32_t device) : index_(device) {
  device_info(device);  // refuses one that is not there
  check(describe_device(static_cast<int>(device), &device_), "asking what a device can do");
  stream_ = new_stream();
  done_ = new_event();
  upload_.emplace();
}

Session::~Session() {
  // Whichever thread this is; on a device that is lost, giving back fails silently.
  cudaSetDevice(static_cast<int>(index_));
}

uint64_t Session::plan(const mfl_request &request) const { return Plan(request, device_).bytes(); }

void Session::prepare(const mfl_request &request) {
  const std::string name = bytes_of(request);
  hold([&] {
    current_ = nullptr;
    auto found = runs_.find(name);
    if (found == runs_.end()) {
      const Plan plan(request, device_);
      grow(plan);
      clear_results(exchange(plan), stream_.get());
      if (runs_.size() >= most_runs) runs_.clear();
      found = runs_.emplace(name, Run{plan, launches_of(plan, memory_.get()), std::nullopt}).first;
    }
    current_ = &found->second;
    cancelled_ = false;
  });
}

void Session::grow(const Plan &plan) {
  const uint64_t exchanged = plan.inputs_end() - plan.inputs_begin() + plan.results_end() - plan.results_begin();
  if (exchanged > pinned_bytes_) {
    runs_.clear();  // their graphs name the old addresses
    pinned_bytes_ = 0;
    pinned_ = pinned_memory(exchanged);
    pinned_bytes_ = exchanged;
  }
  if (plan.bytes() <= memory_bytes_) return;
  runs_.clear();
  memory_.reset();
  memory_bytes_ = 0;
  memory_ = try_device_memory(plan.bytes());
  if (!memory_ && !resident_.empty()) {
    resident_.clear();
    memory_ = try_device_memory(plan.bytes());
  }
  if (!memory_) throw Failure(MFL_OUT_OF_MEMORY, plan_that_fits(plan.request));
  memory_bytes_ = plan.bytes();
}

std::string Session::plan_that_fits(const mfl_request &request) const {
  size_t free = 0, total = 0;
  check(cudaMemGetInfo(&free, &total), "asking for free memory");
  const std::string needed = "the run takes " + std::to_string(plan(request)) + " bytes, the device has " + std::to_string(free) +
                             " of " + std::to_string(total) + " free";
  uint64_t least = UINT64_MAX;
  for (const mfl_request &other : with_fewer_kept(request)) {
    const Plan plan(other, device_);
    if (plan.bytes() <= free) {
      return needed + "\na plan that computes " + std::to_string(plan.recomputed_blocks()) + " of " + std::to_string(request.blocks) +
             " blocks again takes " + std::to_string(plan.bytes()) + " bytes and fits";
    }
    least = std::min(least, plan.bytes());
  }
  return needed + (least < UINT64_MAX ? "\nno plan fits: the smallest takes " + std::to_string(least) + " bytes" : "");
}

const Session::Run &Session::prepared(uint32_t region, uint64_t bytes) const {
  if (!current_) throw Failure(MFL_INVALID_ARGUMENT, "nothing was prepared");
  const uint64_t expected = current_->plan.region_bytes(region);
  if (expected == bytes) return *current_;
  throw Failure(MFL_INVALID_ARGUMENT,
                "region " + std::to_string(region) + " has " + std::to_string(expected) + " bytes, not " + std::to_string(bytes));
}

Exchange Session::exchange(const Plan &plan) const {
  const uint64_t inputs = plan.inputs_end() - plan.inputs_begin(), results = plan.results_end() - plan.results_begin();
  char *const base = memory_.get();
  return {pinned_.get(), base + plan.inputs_begin(), inputs, pinned_.get() + inputs, base + plan.results_begin(), results};
}

void Session::write(uint32_t region, uint64_t key, const void *from, uint64_t bytes) {
  hold([&] {
    const Plan &plan = prepared(region, bytes).plan;
    if (Plan::is_input(region)) {
      std::memcpy(pinned_.get() + plan.offset(region) - plan.inputs_begin(), from, bytes);
      return;
    }
    if (region != MFL_IMAGES && region != MFL_TRUTH) {
      throw Failure(MFL_INVALID_ARGUMENT, "region " + std::to_string(region) + " is a result");
    }
    char *const to = memory_.get() + plan.offset(region);
    if (key == 0) return upload_->copy(to, from, bytes);
    if (const char *held = resident_.find(region, key, bytes)) return upload_->copy_within(to, held, bytes);
    char *const kept = resident_.add(region, key, bytes);
    if (!kept) return upload_->copy(to, from, bytes);
    try {
      upload_->copy(kept, from, bytes);
      upload_->copy_within(to, kept, bytes);
    } catch (...) {
      resident_.remove(region, key);
      throw;
    }
  });
}

void Session::launch(Run &run) {
  const Exchange copies = exchange(run.plan);
  upload_->before(stream_.get());
  bool whole = true;
  if (runs_as_graph(run.plan.request)) {
    if (!run.graph) run.graph.emplace(run.launches, copies, stream_.get());
    run.graph->launch(stream_.get());
  } else {
    whole = launch_each(run.launches, copies, stream_.get(), cancelled_);
  }
  check(cudaEventRecord(done_.get(), stream_.get()), "running");
  check(cudaEventSynchronize(done_.get()), "running");
  if (!whole || cancelled_) throw Failure(MFL_CANCELLED, "the run was cancelled");
}

void Session::run() {
  hold([&] {
    if (!current_) throw Failure(MFL_INVALID_ARGUMENT, "nothing was prepared");
    if (cancelled_) throw Failure(MFL_CANCELLED, "the run was cancelled");
    try {
      launch(*current_);
    } catch (...) {
      cudaStreamSynchronize(stream_.get());  // nothing may still work in memory that the caller fills in again
      throw;
    }
    const Plan &plan = current_->plan;
    if (!is_scored(plan.request)) return;
    LossTerms loss;
    std::memcpy(&loss, exchange(plan).pinned_results + plan.offset(terms) - plan.results_begin(), sizeof loss);
    if (loss.bad_label) throw Failure(MFL_BAD_LABEL, "a label is not a class");
  });
}

void Session::read(uint32_t region, void *to, uint64_t bytes) {
  hold([&] {
    const Plan &plan = prepared(region, bytes).plan;
    if (Plan::is_input(region)) {
      std::memcpy(to, pinned_.get() + plan.offset(region) - plan.inputs_begin(), bytes);
    } else if (!Plan::is_volume(region)) {
      std::memcpy(to, exchange(plan).pinned_results + plan.offset(region) - plan.results_begin(), bytes);
    } else {
      check(cudaMemcpy(to, memory_.get() + plan.offset(region), bytes, cudaMemcpyDeviceToHost), "reading a volume");
    }
  });
}

}  // namespace mfl::cuda
