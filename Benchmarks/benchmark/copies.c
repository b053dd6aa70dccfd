/* Counts what a program copies by memcpy, memmove and their kin: loaded before the C library (LD_PRELOAD), called in its place.

   Every process that finds COUNT_COPIES in its environment maps the file COUNT_COPIES/PID for writing, and counts there: whoever reads the
   file needs no answer of the process, which may be confined, or killed. Copies of a few octets are counted, and not told apart; of larger
   ones the table says which calls led to them. Copies that the compiler wrote out as instructions are not seen, and neither are those
   within the C library (stdio). A thread that is counting is not counted.

   The file: "COPIES01", then the numbers of copies below 64 octets and their octets, of others and their octets, of those that found no
   room in the table and their octets (all u64); at 4096 the table: slots of 16 × u64: octets, copies, 14 return addresses, the nearest
   first. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <execinfo.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define SLOTS 8192
#define FRAMES 14
#define OWN_FRAMES 2
#define TOLD_APART 64

struct slot {
  _Atomic uint64_t octets, copies, frames[FRAMES];
};

struct table {
  char mark[8];
  _Atomic uint64_t small_copies, small_octets, copies, octets, lost_copies, lost_octets;
  char rest[4096 - 8 - 6 * 8];
  struct slot slots[SLOTS];
};

static void *(*real_copy)(void *, const void *, size_t);
static void *(*real_move)(void *, const void *, size_t);
static struct table *table;
static __thread int is_counting __attribute__((tls_model("initial-exec")));

static void add(_Atomic uint64_t *number, uint64_t by) { atomic_fetch_add_explicit(number, by, memory_order_relaxed); }

/* The slot of these frames; two threads that make the same one at once may each get a slot of their own, which the reader adds up. */
static struct slot *slot_for(void **frames, int count) {
  uint64_t hash = 1469598103934665603u;
  for (int at = 0; at < count; at++) hash = (hash ^ (uint64_t)(uintptr_t)frames[at]) * 1099511628211u;
  for (int tried = 0; tried < 64; tried++) {
    struct slot *slot = &table->slots[(hash + (uint64_t)tried) % SLOTS];
    uint64_t none = 0, first = (uint64_t)(uintptr_t)frames[0];
    if (atomic_compare_exchange_strong(&slot->frames[0], &none, first)) {
      for (int at = 1; at < count; at++) atomic_store(&slot->frames[at], (uint64_t)(uintptr_t)frames[at]);
      return slot;
    }
    int same = none == first;
    for (int at = 1; same && at < count; at++) same = atomic_load(&slot->frames[at]) == (uint64_t)(uintptr_t)frames[at];
    if (same) return slot;
  }
  return NULL;
}

static __attribute__((noinline)) void count(size_t octets) {
  if (!table || is_counting || octets == 0) return;
  if (octets < TOLD_APART) {
    add(&table->small_copies, 1);
    add(&table->small_octets, octets);
    return;
  }
  is_counting = 1;
  add(&table->copies, 1);
  add(&table->octets, octets);
  void *frames[FRAMES + OWN_FRAMES] = {0};
  int found = backtrace(frames, FRAMES + OWN_FRAMES) - OWN_FRAMES;
  struct slot *slot = found > 0 ? slot_for(frames + OWN_FRAMES, found) : NULL;
  add(slot ? &slot->octets : &table->lost_octets, octets);
  add(slot ? &slot->copies : &table->lost_copies, 1);
  is_counting = 0;
}

/* Until the C library's own are found. */
static void *plainly(void *to, const void *from, size_t octets) {
  volatile char *out = to;
  const volatile char *in = from;
  if (out < in)
    for (size_t at = 0; at < octets; at++) out[at] = in[at];
  else
    for (size_t at = octets; at > 0; at--) out[at - 1] = in[at - 1];
  return to;
}

__attribute__((noinline)) void *memcpy(void *to, const void *from, size_t octets) {
  count(octets);
  return real_copy ? real_copy(to, from, octets) : plainly(to, from, octets);
}

__attribute__((noinline)) void *memmove(void *to, const void *from, size_t octets) {
  count(octets);
  return real_move ? real_move(to, from, octets) : plainly(to, from, octets);
}

__attribute__((noinline)) void *mempcpy(void *to, const void *from, size_t octets) {
  count(octets);
  if (real_copy) real_copy(to, from, octets);
  else plainly(to, from, octets);
  return (char *)to + octets;
}

__attribute__((noinline)) void *__memcpy_chk(void *to, const void *from, size_t octets, size_t room) {
  if (octets > room) abort();
  count(octets);
  return real_copy ? real_copy(to, from, octets) : plainly(to, from, octets);
}

__attribute__((noinline)) void *__memmove_chk(void *to, const void *from, size_t octets, size_t room) {
  if (octets > room) abort();
  count(octets);
  return real_move ? real_move(to, from, octets) : plainly(to, from, octets);
}

/* A process that is forked later, and runs no other program, counts in the same table. */
static void open_table(void) {
  const char *folder = getenv("COUNT_COPIES");
  char path[4096];
  if (!folder || snprintf(path, sizeof path, "%s/%d", folder, (int)getpid()) >= (int)sizeof path) return;
  int file = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
  if (file < 0) return;
  if (ftruncate(file, sizeof(struct table)) == 0) {
    struct table *made = mmap(NULL, sizeof(struct table), PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    if (made != MAP_FAILED) {
      for (int at = 0; at < 8; at++) made->mark[at] = "COPIES01"[at];
      table = made;
    }
  }
  close(file);
}

static __attribute__((constructor)) void begin(void) {
  is_counting = 1;
  real_copy = (void *(*)(void *, const void *, size_t))dlsym(RTLD_NEXT, "memcpy");
  real_move = (void *(*)(void *, const void *, size_t))dlsym(RTLD_NEXT, "memmove");
  /* The first time it loads a library. */
  void *frames[4];
  backtrace(frames, 4);
  open_table();
  is_counting = 0;
}
