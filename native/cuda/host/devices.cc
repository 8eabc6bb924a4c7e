#include "devices.h"

#include <cstdio>
#include <map>
#include <mutex>
#include <sstream>


namespace mfl::cuda {

namespace {

/** What CMake was told to compile for; the shim's code runs whatever it claims to be. */
#ifdef MESHFL_CUDA_ARCHITECTURES
constexpr const char *built_for = MESHFL_CUDA_ARCHITECTURES;
#else
constexpr const char *built_for = "10";
#endif

std::mutex lost_mutex;
std::map<uint32_t, std::string> lost;

std::string version(int number) { return std::to_string(number / 1000) + "." + std::to_string(number % 1000 / 10); }

/** Throws when this build has no code for a device. */
void check_architecture(uint32_t index, const cudaDeviceProp &properties) {
  const int capability = 10 * properties.major + properties.minor;
  if (serves(built_for, capability)) return;
  throw Failure(MFL_UNSUPPORTED, "device " + std::to_string(index) + " (" + properties.name + ", sm_" + std::to_string(capability) +
                                     ") cannot run this build, which has code for " + built_for +
                                     "\nbuild again on this machine, or with MESHFL_CUDA_ARCHITECTURES=" + std::to_string(capability));
}

}  // namespace

bool serves(const std::string &architectures, int capability) {
  std::istringstream words(architectures);
  std::string word;
  while (words >> word) {
    size_t digits = 0;
    const int built = std::stoi(word, &digits);
    const std::string suffix = word.substr(digits);
    if (built == capability) return true;
    // Machine code runs on later ones of its major number, unless it is of one kind only (90a); PTX is compiled for any later one.
    const bool only = !suffix.empty() && (suffix[0] == 'a' || suffix[0] == 'f');
    const bool machine_code = suffix != "-virtual", portable = suffix != "-real";
    if (!only && built < capability && (portable || (machine_code && built / 10 == capability / 10))) return true;
  }
  return false;
}

std::string why_no_device(cudaError_t error, int driver_version, int runtime_version) {
  const std::string code = ": " + describe(error);
  switch (static_cast<int>(error)) {
    case 35:
      if (driver_version == 0) {
        return "there is no NVIDIA driver" + code +
               "\ninstall NVIDIA's driver; in a container, give it the GPUs (docker run --gpus all, with nvidia-container-toolkit)";
      }
      return "the NVIDIA driver supports CUDA " + version(driver_version) + ", this build needs " + version(runtime_version) + code +
             "\ninstall a newer driver, or build with an older CUDA toolkit";
    case 100:
      return "no NVIDIA GPU can be seen" + code +
             "\nlook at nvidia-smi, at CUDA_VISIBLE_DEVICES, and in a container at its --gpus option";
    case 101:
      return "CUDA_VISIBLE_DEVICES names a GPU that is not here" + code + "\nunset it, or name one that nvidia-smi -L lists";
    case 46:
      return "the GPU is taken by another process" + code +
             "\nend that process, or set the compute mode to default (nvidia-smi -c 0)";
    case 2:
      return "the GPU has no memory left for a context" + code + "\nend the processes that nvidia-smi shows on it";
    case 802:
      return "the GPUs are not ready yet" + code + "\nstart NVIDIA's fabric manager (systemctl start nvidia-fabricmanager)";
    case 803:
      return "the NVIDIA driver and its library are of different versions" + code + "\nrestart the machine after the driver's update";
    case 804:
      return "the CUDA compatibility package does not support this GPU" + code + "\nremove it, and install a newer driver";
    default:
      return "CUDA cannot be used" + code +
             "\ntry nvidia-smi; after a suspend or an update of the driver, restart the machine or reload nvidia_uvm";
  }
}

int device_count() {
  int count = 0;
  const cudaError_t error = cudaGetDeviceCount(&count);
  if (error == cudaSuccess && count > 0) return count;
  cudaGetLastError();
  int driver = 0, runtime = 0;
  cudaDriverGetVersion(&driver);
  cudaRuntimeGetVersion(&runtime);
  throw Failure(MFL_UNSUPPORTED, why_no_device(error == cudaSuccess ? cudaErrorNoDevice : error, driver, runtime));
}

mfl_device device_info(uint32_t index) {
  const int count = device_count();
  if (index >= static_cast<uint32_t>(count)) {
    throw Failure(MFL_INVALID_ARGUMENT, "there is no device " + std::to_string(index) + ": this machine has " + std::to_string(count));
  }
  use_device(index);
  cudaDeviceProp properties;
  check(cudaGetDeviceProperties(&properties, static_cast<int>(index)), "asking what a device is");
  check_architecture(index, properties);
  size_t free = 0, total = 0;
  const cudaError_t error = cudaMemGetInfo(&free, &total);  // the first call that needs a context
  if (error != cudaSuccess) {
    cudaGetLastError();
    throw Failure(MFL_UNSUPPORTED, why_no_device(error, 0, 0));
  }
  mfl_device device{};
  std::snprintf(device.name, sizeof device.name, "%s", properties.name);
  std::snprintf(device.instruction_set, sizeof device.instruction_set, "sm_%d%d", properties.major, properties.minor);
  device.memory_bytes = total;
  device.free_bytes = free;
  return device;
}

const char *instruction_set(uint32_t index) {
  static std::mutex mutex;
  static std::map<uint32_t, std::string> names;  // what was given stays
  const std::lock_guard<std::mutex> lock(mutex);
  try {
    return names.try_emplace(index, device_info(index).instruction_set).first->second.c_str();
  } catch (const std::exception &error) {
    remember(error.what());
    return nullptr;
  }
}

void use_device(uint32_t index) {
  {
    const std::lock_guard<std::mutex> lock(lost_mutex);
    const auto found = lost.find(index);
    if (found != lost.end()) {
      throw Failure(MFL_INTERNAL, "device " + std::to_string(index) + " is lost to this process, because of an earlier error: " +
                                      found->second + "\nstart the process again; the other engines go on");
    }
  }
  check(cudaSetDevice(static_cast<int>(index)), "choosing a device");
}

void lose_device(uint32_t index, const std::string &why) {
  const std::lock_guard<std::mutex> lock(lost_mutex);
  lost.try_emplace(index, why);
}

}  // namespace mfl::cuda
