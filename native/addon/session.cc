#include "session.h"

#include <cstring>
#include <system_error>

namespace meshfl {

namespace {

/// How a run ended.
struct Outcome {
  mfl_status status;
  std::string message;
};

void require(Napi::Env env, bool valid, const char *message) {
  if (!valid) throw failure(env, MFL_INVALID_ARGUMENT, message);
}

uint32_t number(const Napi::Value &value, const char *message) {
  require(value.Env(), value.IsNumber(), message);
  const double given = value.As<Napi::Number>().DoubleValue();
  require(value.Env(), given >= 0 && given <= UINT32_MAX && given == static_cast<double>(static_cast<uint32_t>(given)), message);
  return static_cast<uint32_t>(given);
}

/// The words of a request; dilations that are not given are zero.
mfl_request request(const Napi::Value &value) {
  require(value.Env(), value.IsTypedArray(), "a request is a Uint32Array");
  const Napi::TypedArray words = value.As<Napi::TypedArray>();
  require(value.Env(), words.TypedArrayType() == napi_uint32_array && words.ByteLength() <= sizeof(mfl_request),
          "a request is a Uint32Array of at most its size");
  mfl_request request{};
  std::memcpy(&request, static_cast<uint8_t *>(words.ArrayBuffer().Data()) + words.ByteOffset(), words.ByteLength());
  return request;
}

struct Bytes {
  uint8_t *data;
  size_t length;
};

Bytes bytes(const Napi::Value &value) {
  require(value.Env(), value.IsTypedArray(), "values are a typed array");
  const Napi::TypedArray array = value.As<Napi::TypedArray>();
  return {static_cast<uint8_t *>(array.ArrayBuffer().Data()) + array.ByteOffset(), array.ByteLength()};
}

}  // namespace

Napi::Error failure(Napi::Env env, mfl_status status, const std::string &message) {
  Napi::Error error = Napi::Error::New(env, message);
  error.Set("status", Napi::Number::New(env, status));
  return error;
}

Napi::Function Session::define(Napi::Env env) {
  return DefineClass(env, "Session",
                     {InstanceMethod<&Session::plan>("plan"), InstanceMethod<&Session::prepare>("prepare"),
                      InstanceMethod<&Session::write>("write"), InstanceMethod<&Session::run>("run"),
                      InstanceMethod<&Session::read>("read"), InstanceMethod<&Session::cancel>("cancel"),
                      InstanceMethod<&Session::dispose>("dispose")});
}

Session::Session(const Napi::CallbackInfo &info) : Napi::ObjectWrap<Session>(info), env_(info.Env()) {
  require(env_, info[0].IsString(), "the first argument is the name of a backend");
  backend_ = find_backend(info[0].As<Napi::String>());
  if (!backend_) throw failure(env_, MFL_UNSUPPORTED, "this addon was built without that backend");
  const bool named = info[1].IsString();
  require(env_, named || info[1].IsNull() || info[1].IsUndefined(), "the second argument is the name of an instruction set, or null");
  const std::string instruction_set = named ? info[1].As<Napi::String>().Utf8Value() : "";
  const uint32_t threads = number(info[2], "the third argument is a number of threads");
  const uint32_t device = info[3].IsUndefined() ? 0 : number(info[3], "the fourth argument is the number of a device");
  if (backend_.devices) {
    check(env_, backend_.devices->create_on(device, &session_));
  } else {
    require(env_, device == 0, "this backend has no devices to choose from");
    check(env_, backend_->create(named ? instruction_set.c_str() : nullptr, threads, &session_));
  }
  watch_environment();
}

Session::~Session() { close(); }

void Session::close() {
  if (watching_) {
    napi_remove_env_cleanup_hook(env_, environment_ends, this);
    watching_ = false;
  }
  if (!session_) return;
  backend_->cancel(session_);
  if (runner_.joinable()) runner_.join();
  backend_->destroy(session_);
  session_ = nullptr;
}

void Session::environment_ends(void *session) { static_cast<Session *>(session)->close(); }

/// Hooks are called last first, so this one is set anew after whatever must outlive the run's thread.
void Session::watch_environment() {
  if (watching_) napi_remove_env_cleanup_hook(env_, environment_ends, this);
  watching_ = napi_add_env_cleanup_hook(env_, environment_ends, this) == napi_ok;
}

mfl_session *Session::open(Napi::Env env) const {
  require(env, session_ != nullptr, "the session was disposed");
  return session_;
}

void Session::check(Napi::Env env, mfl_status status) const {
  if (status != MFL_OK) throw failure(env, status, backend_->last_error());
}

Napi::Value Session::plan(const Napi::CallbackInfo &info) {
  const mfl_request wanted = request(info[0]);
  uint64_t planned = 0;
  check(info.Env(), backend_->plan(open(info.Env()), &wanted, &planned));
  return Napi::Number::New(info.Env(), static_cast<double>(planned));
}

void Session::prepare(const Napi::CallbackInfo &info) {
  const mfl_request wanted = request(info[0]);
  check(info.Env(), backend_->prepare(open(info.Env()), &wanted));
}

void Session::write(const Napi::CallbackInfo &info) {
  const Napi::Env env = info.Env();
  const uint32_t region = number(info[0], "a region is a number");
  const Bytes from = bytes(info[1]);
  const uint32_t key = info[2].IsUndefined() ? 0 : number(info[2], "a key is a number");
  if (key != 0 && backend_.devices) {
    check(env, backend_.devices->write_kept(open(env), region, key, from.data, from.length));
  } else {
    check(env, backend_->write(open(env), region, from.data, from.length));
  }
}

void Session::read(const Napi::CallbackInfo &info) {
  const Bytes to = bytes(info[1]);
  check(info.Env(), backend_->read(open(info.Env()), number(info[0], "a region is a number"), to.data, to.length));
}

void Session::run(const Napi::CallbackInfo &info) {
  const Napi::Env env = info.Env();
  mfl_session *session = open(env);
  require(env, info[0].IsFunction(), "run takes a callback");
  if (runner_.joinable()) throw failure(env, MFL_BUSY, "the session is running");
  Ref();  // not collected while it runs
  Napi::ThreadSafeFunction done;
  try {
    done = Napi::ThreadSafeFunction::New(env, info[0].As<Napi::Function>(), "meshfl run", 0, 1);
    watch_environment();
    runner_ = std::thread([this, session, done]() mutable {
      Outcome *outcome = new Outcome{backend_->run(session), ""};
      if (outcome->status != MFL_OK) outcome->message = backend_->last_error();
      const napi_status called = done.NonBlockingCall(outcome, [this](Napi::Env env, Napi::Function callback, Outcome *outcome) {
        const Outcome ended = *outcome;
        delete outcome;
        if (env == nullptr || callback == nullptr) return;  // the environment has ended, and the session with it
        if (runner_.joinable()) runner_.join();
        Unref();
        callback.Call({Napi::Number::New(env, ended.status), Napi::String::New(env, ended.message)});
      });
      if (called != napi_ok) delete outcome;
      done.Release();
    });
  } catch (const std::system_error &error) {
    done.Release();
    Unref();
    throw failure(env, MFL_OUT_OF_MEMORY, error.what());
  }
}

void Session::cancel(const Napi::CallbackInfo &info) { check(info.Env(), backend_->cancel(open(info.Env()))); }

void Session::dispose(const Napi::CallbackInfo &) { close(); }

}  // namespace meshfl
