#define _GNU_SOURCE
#include "internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

// Calls that take a descriptor. A number from `scratch_base` on is ours; everything else is passed on.

/// An open file description; descriptors that were duplicated share one.
typedef struct {
  scratch_contents *contents;
  uint64_t at;
  int flags;
  unsigned users;
} opening;

static opening *openings[scratch_openings];

static opening *find(int descriptor) {
  unsigned number = (unsigned)descriptor - scratch_base;
  opening *found = number < scratch_openings ? openings[number] : NULL;
  if (!found) errno = EBADF;
  return found;
}

scratch_contents *scratch_opened(int descriptor) {
  opening *found = find(descriptor);
  return found ? found->contents : NULL;
}

/// The lowest free descriptor; -1 with EMFILE.
static int take(opening *given) {
  for (int number = 0; number < scratch_openings; number++) {
    if (openings[number]) continue;
    openings[number] = given;
    given->users++;
    scratch_figures.open++;
    return scratch_base + number;
  }
  return scratch_fails(EMFILE);
}

int scratch_open(const char *inner, int flags) {
  if ((flags & O_TMPFILE) == O_TMPFILE) return scratch_fails(EOPNOTSUPP);
  scratch_node *node = scratch_find(inner);
  if (node && (flags & O_CREAT) && (flags & O_EXCL)) return scratch_fails(EEXIST);
  if (!node && (errno != ENOENT || !(flags & O_CREAT))) return -1;
  // A folder is listed with opendir, and is nothing to be read.
  if (node && !node->contents) return scratch_fails(EISDIR);
  if (node && (flags & O_DIRECTORY)) return scratch_fails(ENOTDIR);
  opening *made = calloc(1, sizeof *made);
  if (!made) return scratch_fails(ENOMEM);
  int descriptor = take(made);
  if (descriptor < 0) {
    free(made);
    return -1;
  }
  if (!node) {
    scratch_contents *contents = scratch_make_contents();
    node = contents ? scratch_make(inner, contents) : NULL;
    if (!node) {
      int code = contents ? errno : ENOMEM;
      if (contents) scratch_let_go(contents);
      openings[descriptor - scratch_base] = NULL;
      scratch_figures.open--;
      free(made);
      return scratch_fails(code);
    }
  }
  made->contents = node->contents;
  made->contents->users++;
  made->flags = flags & (O_ACCMODE | O_APPEND | O_NONBLOCK);
  if ((flags & O_TRUNC) && (flags & O_ACCMODE) != O_RDONLY && scratch_resize(made->contents, 0) != 0) {
    int code = errno;
    close(descriptor);
    return scratch_fails(code);
  }
  return descriptor;
}

int scratch_access(int descriptor) {
  opening *found = find(descriptor);
  return found ? found->flags & O_ACCMODE : -1;
}

int scratch_append(int descriptor) {
  opening *found = find(descriptor);
  if (!found) return -1;
  found->flags |= O_APPEND;
  return 0;
}

static int can_read(const opening *of) { return (of->flags & O_ACCMODE) != O_WRONLY; }
static int can_write(const opening *of) { return (of->flags & O_ACCMODE) != O_RDONLY; }

/// Octets in the file; -1 with errno.
static int64_t size(const scratch_contents *contents) {
  if (contents->real < 0) return (int64_t)contents->count;
  struct stat status;
  return fstat(contents->real, &status) == 0 ? status.st_size : -1;
}

static ssize_t read_at(int descriptor, void *into, size_t count, uint64_t at) {
  opening *from = find(descriptor);
  if (!from) return -1;
  return can_read(from) ? scratch_read(from->contents, into, count, at) : scratch_fails(EBADF);
}

static ssize_t write_at(int descriptor, const void *from, size_t count, uint64_t at) {
  opening *to = find(descriptor);
  if (!to) return -1;
  return can_write(to) ? scratch_write(to->contents, from, count, at) : scratch_fails(EBADF);
}

int close(int descriptor) {
  if (!scratch_is(descriptor)) return REAL(close)(descriptor);
  opening *closed = find(descriptor);
  if (!closed) return -1;
  openings[descriptor - scratch_base] = NULL;
  scratch_figures.open--;
  if (--closed->users > 0) return 0;
  scratch_let_go(closed->contents);
  free(closed);
  return 0;
}

int dup(int descriptor) {
  if (!scratch_is(descriptor)) return REAL(dup)(descriptor);
  opening *found = find(descriptor);
  return found ? take(found) : -1;
}

ssize_t read(int descriptor, void *into, size_t count) {
  if (!scratch_is(descriptor)) return REAL(read)(descriptor, into, count);
  opening *from = find(descriptor);
  if (!from) return -1;
  ssize_t got = read_at(descriptor, into, count, from->at);
  if (got > 0) from->at += (uint64_t)got;
  return got;
}

ssize_t write(int descriptor, const void *from, size_t count) {
  if (!scratch_is(descriptor)) return REAL(write)(descriptor, from, count);
  opening *to = find(descriptor);
  if (!to) return -1;
  int64_t end = to->flags & O_APPEND ? size(to->contents) : (int64_t)to->at;
  if (end < 0) return -1;
  ssize_t put = write_at(descriptor, from, count, (uint64_t)end);
  if (put > 0) to->at = (uint64_t)end + (uint64_t)put;
  return put;
}

ssize_t pread64(int descriptor, void *into, size_t count, off64_t at) {
  if (!scratch_is(descriptor)) return REAL(pread64)(descriptor, into, count, at);
  return at < 0 ? scratch_fails(EINVAL) : read_at(descriptor, into, count, (uint64_t)at);
}

ssize_t pwrite64(int descriptor, const void *from, size_t count, off64_t at) {
  if (!scratch_is(descriptor)) return REAL(pwrite64)(descriptor, from, count, at);
  return at < 0 ? scratch_fails(EINVAL) : write_at(descriptor, from, count, (uint64_t)at);
}

// One piece after the other: shorter than asked for when one of them is.

ssize_t readv(int descriptor, const struct iovec *pieces, int count) {
  if (!scratch_is(descriptor)) return REAL(readv)(descriptor, pieces, count);
  ssize_t sum = 0;
  for (int number = 0; number < count; number++) {
    ssize_t got = read(descriptor, pieces[number].iov_base, pieces[number].iov_len);
    if (got < 0) return sum > 0 ? sum : -1;
    sum += got;
    if ((size_t)got < pieces[number].iov_len) break;
  }
  return sum;
}

ssize_t writev(int descriptor, const struct iovec *pieces, int count) {
  if (!scratch_is(descriptor)) return REAL(writev)(descriptor, pieces, count);
  ssize_t sum = 0;
  for (int number = 0; number < count; number++) {
    ssize_t put = write(descriptor, pieces[number].iov_base, pieces[number].iov_len);
    if (put < 0) return sum > 0 ? sum : -1;
    sum += put;
    if ((size_t)put < pieces[number].iov_len) break;
  }
  return sum;
}

off64_t lseek64(int descriptor, off64_t offset, int whence) {
  if (!scratch_is(descriptor)) return REAL(lseek64)(descriptor, offset, whence);
  opening *moved = find(descriptor);
  if (!moved) return -1;
  int64_t from = 0;
  switch (whence) {
  case SEEK_SET: break;
  case SEEK_CUR: from = (int64_t)moved->at; break;
  case SEEK_END: from = size(moved->contents); break;
  default: return scratch_fails(EINVAL);
  }
  int64_t to;
  if (from < 0) return -1;
  if (__builtin_add_overflow(from, offset, &to)) return scratch_fails(EOVERFLOW);
  if (to < 0) return scratch_fails(EINVAL);
  moved->at = (uint64_t)to;
  return to;
}

int scratch_status_of(const scratch_node *node, struct stat *status) {
  // Nobody who has scratch files changes its user any more.
  static uid_t user;
  static gid_t group;
  static int is_known;
  if (!is_known) {
    user = geteuid();
    group = getegid();
    is_known = 1;
  }
  const scratch_contents *contents = node->contents;
  int64_t octets = contents ? size(contents) : 40;
  if (octets < 0) return -1;
  memset(status, 0, sizeof *status);
  status->st_mode = contents ? S_IFREG | 0600 : S_IFDIR | 0700;
  status->st_ino = (ino_t)(contents ? contents->serial : node->serial);
  status->st_nlink = contents ? 1 : 2;
  status->st_uid = user;
  status->st_gid = group;
  status->st_size = octets;
  status->st_blksize = 4096;
  status->st_blocks = (octets + 511) / 512;
  return 0;
}

int fstat64(int descriptor, struct stat64 *status) {
  if (!scratch_is(descriptor)) return REAL(fstat64)(descriptor, status);
  opening *of = find(descriptor);
  if (!of) return -1;
  scratch_node node = {.contents = of->contents};
  return scratch_status_of(&node, (struct stat *)status);
}

int ftruncate64(int descriptor, off64_t count) {
  if (!scratch_is(descriptor)) return REAL(ftruncate64)(descriptor, count);
  opening *of = find(descriptor);
  if (!of) return -1;
  if (count < 0 || !can_write(of)) return scratch_fails(EINVAL);
  return scratch_resize(of->contents, (uint64_t)count);
}

/// Nothing of scratch outlives the process.
static int is_open(int descriptor) { return find(descriptor) ? 0 : -1; }
int fsync(int descriptor) { return scratch_is(descriptor) ? is_open(descriptor) : REAL(fsync)(descriptor); }
int fdatasync(int descriptor) { return scratch_is(descriptor) ? is_open(descriptor) : REAL(fdatasync)(descriptor); }

static int control(int descriptor, int command) {
  opening *of = find(descriptor);
  if (!of) return -1;
  switch (command) {
  case F_GETFL: return of->flags;
  case F_GETFD: return FD_CLOEXEC;
  // There is no exec, and nothing here ever blocks.
  case F_SETFD: return 0;
  case F_DUPFD:
  case F_DUPFD_CLOEXEC: return take(of);
  default: return scratch_fails(EINVAL);
  }
}

int fcntl64(int descriptor, int command, ...) {
  if (scratch_is(descriptor)) return control(descriptor, command);
  va_list arguments;
  va_start(arguments, command);
  void *argument = va_arg(arguments, void *);
  va_end(arguments);
  return REAL(fcntl64)(descriptor, command, argument);
}

// The same under the names of programs that do not say how large files may be: on 64 bits it is one thing.
#define ALIAS(name) __attribute__((alias(#name)))
ssize_t pread(int, void *, size_t, off_t) ALIAS(pread64);
ssize_t pwrite(int, const void *, size_t, off_t) ALIAS(pwrite64);
off_t lseek(int, off_t, int) ALIAS(lseek64);
int ftruncate(int, off_t) ALIAS(ftruncate64);
int fcntl(int, int, ...) ALIAS(fcntl64);
int fstat(int descriptor, struct stat *status) { return fstat64(descriptor, (struct stat64 *)status); }
