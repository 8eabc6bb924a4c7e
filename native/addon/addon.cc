// Translates between JavaScript and the C ABI, and does nothing else.
#include "backends.h"
#include "session.h"

namespace {

using namespace meshfl;

Backend backend_of(const Napi::Value &name) { return name.IsString() ? find_backend(name.As<Napi::String>()) : Backend{}; }

/// instructionSets(backend, precision): those of this machine that compute in it, best first; none for a backend that is not here.
Napi::Value instruction_sets(const Napi::CallbackInfo &info) {
  Napi::Array names = Napi::Array::New(info.Env());
  const Backend backend = backend_of(info[0]);
  const uint32_t precision = info[1].IsNumber() ? info[1].As<Napi::Number>().Uint32Value() : MFL_FP32;
  for (uint32_t index = 0; backend && backend->instruction_set(precision, index); index++) {
    names[index] = Napi::String::New(info.Env(), backend->instruction_set(precision, index));
  }
  return names;
}

/// measurePeak(backend, instructionSet, threads): floating-point operations a second. Blocks for a quarter of a second.
Napi::Value measure_peak(const Napi::CallbackInfo &info) {
  const Backend backend = backend_of(info[0]);
  if (!backend || !info[1].IsString() || !info[2].IsNumber()) {
    throw Napi::TypeError::New(info.Env(), "measurePeak takes a backend, an instruction set and a number of threads");
  }
  double flops = 0;
  const std::string isa = info[1].As<Napi::String>();
  if (backend->measure_peak(isa.c_str(), info[2].As<Napi::Number>().Uint32Value(), &flops) != MFL_OK) {
    throw Napi::Error::New(info.Env(), backend->last_error());
  }
  return Napi::Number::New(info.Env(), flops);
}

/// devices(backend): the backend's devices with memory of their own; undefined for a backend that has none or is not here. Throws, with
/// a status, why none can be used.
Napi::Value devices(const Napi::CallbackInfo &info) {
  const Napi::Env env = info.Env();
  const Backend backend = backend_of(info[0]);
  if (!backend.devices) return env.Undefined();
  Napi::Array list = Napi::Array::New(env);
  mfl_device device;
  for (uint32_t index = 0;; index++) {
    const mfl_status status = backend.devices->device(index, &device);
    if (status == MFL_INVALID_ARGUMENT) return list;
    if (status != MFL_OK) throw failure(env, status, backend->last_error());
    Napi::Object described = Napi::Object::New(env);
    described["name"] = Napi::String::New(env, device.name);
    described["instructionSet"] = Napi::String::New(env, device.instruction_set);
    described["memoryBytes"] = Napi::Number::New(env, static_cast<double>(device.memory_bytes));
    described["freeBytes"] = Napi::Number::New(env, static_cast<double>(device.free_bytes));
    list[index] = described;
  }
}

Napi::Object exports_of(Napi::Env env, Napi::Object exports) {
  exports["abiVersion"] = Napi::Number::New(env, MFL_ABI_VERSION);
  exports["requestBytes"] = Napi::Number::New(env, sizeof(mfl_request));
  exports["instructionSets"] = Napi::Function::New<instruction_sets>(env, "instructionSets");
  exports["devices"] = Napi::Function::New<devices>(env, "devices");
  exports["measurePeak"] = Napi::Function::New<measure_peak>(env, "measurePeak");
  exports["Session"] = Session::define(env);
  return exports;
}

}  // namespace

NODE_API_MODULE(meshfl, exports_of)
