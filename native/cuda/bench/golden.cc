#include "golden.h"

#include <algorithm>
#include <filesystem>
#include <stdexcept>

#include "json.h"

namespace bench {

namespace {

uint32_t one_of(const std::string &name, const std::vector<std::string> &names) {
  const auto found = std::find(names.begin(), names.end(), name);
  if (found == names.end()) throw std::runtime_error("unknown: " + name);
  return static_cast<uint32_t>(found - names.begin());
}

std::vector<double> loss_of(const Json &json) {
  std::vector<double> loss;
  for (const Json &weight : json["classWeights"].elements()) loss.push_back(weight.number());
  loss.push_back(json["labelSmoothing"].number());
  return loss;
}

mfl_request request_of(const Json &json) {
  const Json &spec = json["spec"], &grid = json["grid"];
  mfl_request r{};
  r.mode = MFL_TRAIN;
  r.channels = static_cast<uint32_t>(spec["channels"].number());
  r.classes = static_cast<uint32_t>(spec["classes"].number());
  r.blocks = static_cast<uint32_t>(spec["dilations"].elements().size());
  r.activation = one_of(spec["activation"].text(), {"elu", "relu", "gelu"});
  r.normalization = one_of(spec["normalization"].text(), {"batch", "instance", "none"});
  r.convolution_bias = static_cast<uint32_t>(spec["convolutionBias"].number());
  r.volumes = static_cast<uint32_t>(json["count"].number());
  r.depth = static_cast<uint32_t>(grid["depth"].number());
  r.height = static_cast<uint32_t>(grid["height"].number());
  r.width = static_cast<uint32_t>(grid["width"].number());
  r.threads = 1;
  r.kept_low = r.kept_high = UINT32_MAX;
  for (uint32_t block = 0; block < r.blocks; block++) {
    r.dilations[block] = static_cast<uint32_t>(spec["dilations"].elements()[block].number());
  }
  return r;
}

Golden golden_of(const Json &json) {
  Golden golden;
  golden.name = json["name"].text();
  Problem &problem = golden.problem;
  problem.request = request_of(json);
  problem.parameters = json["parameters.f32"].values<float>();
  problem.statistics = json["statistics.f32"].values<float>();
  const mfl_request &r = problem.request;
  problem.dropout.assign(uint64_t{r.volumes} * r.blocks * r.channels, 1.0f);
  problem.loss = loss_of(json["recipe"]);
  // Beyond the batch there are volumes for more steps of training.
  problem.images = json["images.u8"].values<uint8_t>();
  problem.truth = json["labels.u8"].values<uint8_t>();
  problem.images.resize(problem.voxels());
  problem.truth.resize(problem.voxels());
  if (json.has("logits.f64") && !json["logits.f64"].text().empty()) {
    golden.logits = json["logits.f64"].values<double>();
  } else {
    const std::vector<float> logits = json["logits.f32"].values<float>();
    golden.logits.assign(logits.begin(), logits.end());
  }
  for (const Json &scored : json["losses"].elements()) golden.losses.push_back({loss_of(scored), scored["value"].number()});
  golden.trains = json.has("loss");
  if (!golden.trains) return golden;
  golden.loss = json["loss"].number();
  golden.gradients = json["gradients.f32"].values<float>();
  golden.batch_statistics = json["batchStatistics.f32"].values<float>();
  return golden;
}

}  // namespace

std::vector<Golden> read_golden(const std::string &folder) {
  std::vector<std::string> paths;
  for (const auto &entry : std::filesystem::directory_iterator(folder)) {
    const std::filesystem::path &path = entry.path();
    if (path.extension() == ".json" && path.filename() != "schedule.json") paths.push_back(path.string());
  }
  std::sort(paths.begin(), paths.end());
  std::vector<Golden> cases;
  for (const std::string &path : paths) cases.push_back(golden_of(Json::parse_file(path)));
  if (cases.empty()) throw std::runtime_error("there is no case in " + folder);
  return cases;
}

}  // namespace bench
