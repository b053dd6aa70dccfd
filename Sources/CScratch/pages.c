#define _GNU_SOURCE
#include "internal.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>

// libclamav maps fresh pages for each layer that it looks at, and unmaps them after. Small mappings of that kind come from a stock here:
// what costs is not the calls alone but the pages that fault in anew.

enum { page_bytes = 4096, piece_bytes = 64 << 10, pieces = 32 };

/// Within it every piece stands at a multiple of its size.
static char *stock;
/// Octets in use of each piece, in whole pages; 0: free.
static size_t used[pieces];

void scratch_begin_pages(void) {
  void *made = mmap64(NULL, (size_t)pieces * piece_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (made != MAP_FAILED) stock = made;
}

static size_t whole_pages(size_t count) { return (count + page_bytes - 1) / page_bytes * page_bytes; }

static void *take_piece(size_t count) {
  for (size_t number = 0; number < pieces; number++) {
    if (used[number]) continue;
    used[number] = whole_pages(count);
    return memset(stock + number * piece_bytes, 0, used[number]);
  }
  return NULL;
}

/// A mapping of a file: of one of the kernel's, if it is scratch.
static void *map_file(void *where, size_t count, int protection, int flags, int descriptor, off64_t at) {
  int access = scratch_access(descriptor);
  if (access < 0) return MAP_FAILED;
  int writes = (flags & MAP_TYPE) != MAP_PRIVATE && (protection & PROT_WRITE);
  if (access == O_WRONLY || (writes && access == O_RDONLY)) return scratch_fails(EACCES), MAP_FAILED;
  int real = scratch_materialize(scratch_opened(descriptor));
  return real < 0 ? MAP_FAILED : REAL(mmap64)(where, count, protection, flags, real, at);
}

void *mmap64(void *where, size_t count, int protection, int flags, int descriptor, off64_t at) {
  int is_plain = flags == (MAP_PRIVATE | MAP_ANONYMOUS) && protection == (PROT_READ | PROT_WRITE);
  if (stock && is_plain && !where && count > 0 && count <= piece_bytes) {
    void *taken = take_piece(count);
    if (taken) return taken;
  }
  if (!(flags & MAP_ANONYMOUS) && scratch_is(descriptor)) return map_file(where, count, protection, flags, descriptor, at);
  return REAL(mmap64)(where, count, protection, flags, descriptor, at);
}

int munmap(void *where, size_t count) {
  size_t from = (size_t)((char *)where - stock);
  if (!stock || (char *)where < stock || from >= (size_t)pieces * piece_bytes) return REAL(munmap)(where, count);
  // What was mapped goes as a whole: a hole in the stock would be somebody else's sooner or later.
  if (from % piece_bytes != 0 || used[from / piece_bytes] == 0 || used[from / piece_bytes] != whole_pages(count))
    return scratch_fails(EINVAL);
  used[from / piece_bytes] = 0;
  return 0;
}

void *mmap(void *, size_t, int, int, int, off_t) __attribute__((alias("mmap64")));
