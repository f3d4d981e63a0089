// The compiler's calls before each access of sources compiled with -fsanitize=thread, taken by the
// executor in place of ThreadSanitizer's runtime, which knows nothing of the kernels' threads.
#include "memory.h"

using hhd::executor::memory::touched;

#define HHD_TAKE(name, bytes)                                                              \
  extern "C" void __tsan_read##name(const void* p) { touched(p, bytes, false); }           \
  extern "C" void __tsan_write##name(const void* p) { touched(p, bytes, true); }           \
  extern "C" void __tsan_unaligned_read##name(const void* p) { touched(p, bytes, false); } \
  extern "C" void __tsan_unaligned_write##name(const void* p) { touched(p, bytes, true); }

HHD_TAKE(1, 1)
HHD_TAKE(2, 2)
HHD_TAKE(4, 4)
HHD_TAKE(8, 8)
HHD_TAKE(16, 16)

extern "C" void __tsan_read_range(const void* p, unsigned long bytes) {
  touched(p, static_cast<int>(bytes), false);
}
extern "C" void __tsan_write_range(const void* p, unsigned long bytes) {
  touched(p, static_cast<int>(bytes), true);
}
extern "C" void __tsan_vptr_update(void**, void*) {}
extern "C" void __tsan_vptr_read(void**) {}
extern "C" void __tsan_func_entry(void*) {}
extern "C" void __tsan_func_exit() {}
extern "C" void __tsan_init() {}
