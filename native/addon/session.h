// A backend's session as a JavaScript object.
#pragma once

#include <napi.h>

#include "backends.h"

#include <string>
#include <thread>

namespace meshfl {

/// An error with a status, to throw.
Napi::Error failure(Napi::Env env, mfl_status status, const std::string &message);

/// new Session(backend, instructionSet | null, threads, device = 0): plan, prepare, write(region, values, key = 0), run(callback),
/// read, cancel, dispose. A run has a thread of its own, so that it neither blocks JavaScript nor takes one of libuv's few threads;
/// no other method but cancel and dispose may be called until its callback is.
class Session : public Napi::ObjectWrap<Session> {
 public:
  static Napi::Function define(Napi::Env env);
  explicit Session(const Napi::CallbackInfo &info);
  ~Session() override;

 private:
  Napi::Value plan(const Napi::CallbackInfo &info);
  void prepare(const Napi::CallbackInfo &info);
  void write(const Napi::CallbackInfo &info);
  void run(const Napi::CallbackInfo &info);
  void read(const Napi::CallbackInfo &info);
  void cancel(const Napi::CallbackInfo &info);
  void dispose(const Napi::CallbackInfo &info);

  mfl_session *open(Napi::Env env) const;
  void check(Napi::Env env, mfl_status status) const;
  /// Stops the run, waits for its thread, and frees everything; again, it does nothing.
  void close();
  /// An environment that ends, with its process or its worker, ends its sessions first.
  static void environment_ends(void *session);
  void watch_environment();

  Backend backend_;
  mfl_session *session_ = nullptr;
  Napi::Env env_;
  bool watching_ = false;
  std::thread runner_;
};

}  // namespace meshfl
