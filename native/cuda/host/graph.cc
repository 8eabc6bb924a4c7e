#include "graph.h"

namespace mfl::cuda {

namespace {

/** Launches that wait on the device: enough that it never waits for the host. */
constexpr size_t most_under_way = 3;

void copy_in(const Exchange &exchange, cudaStream_t stream) {
  check(cudaMemcpyAsync(exchange.inputs, exchange.pinned_inputs, exchange.input_bytes, cudaMemcpyHostToDevice, stream),
        "copying the parameters");
}

void copy_out(const Exchange &exchange, cudaStream_t stream) {
  check(cudaMemcpyAsync(exchange.pinned_results, exchange.results, exchange.result_bytes, cudaMemcpyDeviceToHost, stream),
        "copying the results");
}

}  // namespace

Graph::Graph(const std::vector<Launch> &launches, const Exchange &exchange, cudaStream_t stream) {
  check(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal), "capturing a run");
  OwnGraph graph;
  const auto end = [&] {
    cudaGraph_t captured = nullptr;
    const cudaError_t error = cudaStreamEndCapture(stream, &captured);
    graph.reset(captured);
    return error;
  };
  try {
    copy_in(exchange, stream);
    for (const Launch &launch : launches) check(launch.start(stream), launch.name);
    copy_out(exchange, stream);
  } catch (...) {
    end();  // the stream must not stay in capture
    cudaGetLastError();
    throw;
  }
  check(end(), "capturing a run");
  cudaGraphExec_t executable = nullptr;
  check(cudaGraphInstantiate(&executable, graph.get(), 0), "making a graph of a run");
  executable_.reset(executable);
}

void Graph::launch(cudaStream_t stream) const { check(cudaGraphLaunch(executable_.get(), stream), "launching a run"); }

bool launch_each(const std::vector<Launch> &launches, const Exchange &exchange, cudaStream_t stream, const std::atomic<bool> &cancelled) {
  copy_in(exchange, stream);
  std::vector<OwnEvent> ends;
  for (size_t i = 0; i < most_under_way; i++) ends.push_back(new_event());
  for (size_t i = 0; i < launches.size(); i++) {
    const cudaEvent_t end = ends[i % most_under_way].get();
    check(cudaEventSynchronize(end), launches[i].name);
    if (cancelled) return false;
    check(launches[i].start(stream), launches[i].name);
    check(cudaEventRecord(end, stream), launches[i].name);
  }
  copy_out(exchange, stream);
  return true;
}

}  // namespace mfl::cuda
