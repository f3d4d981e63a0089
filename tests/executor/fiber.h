// Stacks to switch between, known to AddressSanitizer.
#pragma once

#include <ucontext.h>

#include <cstddef>
#include <memory>

namespace hhd::executor {

class Fiber {
 public:
  Fiber() = default;                // the stack that is running already
  explicit Fiber(void (*entry)());  // a new one; `entry` never returns
  Fiber(const Fiber&) = delete;
  Fiber& operator=(const Fiber&) = delete;

  // Leaves this fibre, which must be the running one, for another; returns when switched back to.
  void switch_to(Fiber& other);

 private:
  static void start();

  void (*entry_)() = nullptr;
  bool started_ = false;
  std::unique_ptr<char[]> memory_;
  const void* bottom_ = nullptr;
  size_t size_ = 0;
  void* fake_stack_ = nullptr;  // AddressSanitizer's
  void* registers_[5] = {};
  ucontext_t context_;
};

}  // namespace hhd::executor
