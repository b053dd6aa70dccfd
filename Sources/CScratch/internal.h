#ifndef CERALACCA_CSCRATCH_INTERNAL_H
#define CERALACCA_CSCRATCH_INTERNAL_H

#include "CScratch.h"

#include <limits.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/types.h>

/// The definition that ours hides: the C library's.
void *scratch_next(const char *name);
#define REAL(name)                                                    \
  ({                                                                  \
    static __typeof__(&name) found_;                                  \
    if (!found_) found_ = (__typeof__(&name))scratch_next(#name);     \
    found_;                                                           \
  })

/// Notes the errno; always -1.
int scratch_fails(int code);

// Contents: contents.c

/// What is in a file: in memory, or in a file without a name (`real`, else -1).
typedef struct {
  char *octets;
  uint64_t count, room;
  int real;
  /// One for its name, and one for each description that it is open by.
  unsigned users;
  uint64_t serial;
} scratch_contents;

extern ceralacca_scratch_figures scratch_figures;
/// Sets up the overflow: 0 or an errno.
int scratch_begin_contents(const char *overflow, size_t memory_bytes);
uint64_t scratch_serial(void);
/// With one user; NULL when there is no memory.
scratch_contents *scratch_make_contents(void);
void scratch_let_go(scratch_contents *contents);
/// As pread, pwrite, ftruncate.
ssize_t scratch_read(scratch_contents *contents, void *into, size_t count, uint64_t at);
ssize_t scratch_write(scratch_contents *contents, const void *from, size_t count, uint64_t at);
int scratch_resize(scratch_contents *contents, uint64_t count);
/// A descriptor of the kernel's with these contents, which stays the contents' own; -1 with errno.
int scratch_materialize(scratch_contents *contents);

// Names: tree.c

typedef struct scratch_node {
  struct scratch_node *parent, *first, *last, *previous, *next, *chain;
  /// NULL: a folder.
  scratch_contents *contents;
  uint64_t serial;
  uint32_t hash;
  /// Below the place; the place itself is "".
  char path[];
} scratch_node;

/// Whether a path is scratch: 1 with what follows the place in `inner`, 0 when it is not, -1 with errno when that cannot be said.
int scratch_place(const char *path, char inner[PATH_MAX]);
int scratch_begin_tree(const char *place);
/// Whether a call with a folder's descriptor means the path by itself. A path below a descriptor of the kernel's is never scratch: there
/// are none of our folders there. These stand apart because callers do pass NULL where the C library's headers say that nobody does.
int scratch_is_whole(int folder, const char *path);
int scratch_is_empty(const char *path);
/// NULL with errno.
scratch_node *scratch_find(const char *inner);
/// Makes a name, with contents or as a folder; takes the contents over if it succeeds. NULL with errno.
scratch_node *scratch_make(const char *inner, scratch_contents *contents);
/// Removes a name, which has nothing below it.
void scratch_remove(scratch_node *node);
/// Counts the names that were removed: who holds a node must look whether it is still there.
uint64_t scratch_removals(void);
const char *scratch_name(const scratch_node *node);
/// The name of these contents, NULL when it was removed.
const scratch_node *scratch_named(const scratch_contents *contents);
const char *scratch_place_path(void);

// Descriptors: descriptors.c

enum { scratch_base = 1 << 28, scratch_openings = 256 };
static inline int scratch_is(int descriptor) { return descriptor >= scratch_base; }

/// As open and stat, of a path within the place.
int scratch_open(const char *inner, int flags);
int scratch_status_of(const scratch_node *node, struct stat *status);
/// The contents of an open descriptor; NULL with EBADF.
scratch_contents *scratch_opened(int descriptor);
/// O_RDONLY, O_WRONLY or O_RDWR; -1 with EBADF.
int scratch_access(int descriptor);
int scratch_append(int descriptor);

// Pages: pages.c

/// From now on small mappings without a file come from a stock.
void scratch_begin_pages(void);

#endif
