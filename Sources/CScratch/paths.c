#define _GNU_SOURCE
#include "internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

// Calls that take a path. Each asks first whose it is: PLACE ends the function with `otherwise` when it is not ours.

#define PLACE(path, otherwise)                      \
  char inner[PATH_MAX];                             \
  int place_ = scratch_place(path, inner);          \
  if (place_ == 0) return otherwise;                \
  if (place_ < 0) return -1

int open64(const char *path, int flags, ...) {
  va_list arguments;
  va_start(arguments, flags);
  // Where there is none nobody looks at it.
  mode_t mode = va_arg(arguments, mode_t);
  va_end(arguments);
  PLACE(path, REAL(open64)(path, flags, mode));
  return scratch_open(inner, flags);
}

int openat64(int folder, const char *path, int flags, ...) {
  va_list arguments;
  va_start(arguments, flags);
  mode_t mode = va_arg(arguments, mode_t);
  va_end(arguments);
  return scratch_is_whole(folder, path) ? open64(path, flags, mode) : REAL(openat64)(folder, path, flags, mode);
}

int mkdir(const char *path, mode_t mode) {
  PLACE(path, REAL(mkdir)(path, mode));
  if (scratch_find(inner)) return scratch_fails(EEXIST);
  return scratch_make(inner, NULL) ? 0 : -1;
}

int rmdir(const char *path) {
  PLACE(path, REAL(rmdir)(path));
  scratch_node *node = scratch_find(inner);
  if (!node) return -1;
  if (node->contents) return scratch_fails(ENOTDIR);
  if (node->first) return scratch_fails(ENOTEMPTY);
  // The place itself.
  if (!node->parent) return scratch_fails(EBUSY);
  scratch_remove(node);
  return 0;
}

int unlink(const char *path) {
  PLACE(path, REAL(unlink)(path));
  scratch_node *node = scratch_find(inner);
  if (!node) return -1;
  if (!node->contents) return scratch_fails(EISDIR);
  scratch_remove(node);
  return 0;
}

int unlinkat(int folder, const char *path, int flags) {
  if (!scratch_is_whole(folder, path)) return REAL(unlinkat)(folder, path, flags);
  PLACE(path, REAL(unlinkat)(folder, path, flags));
  return flags & AT_REMOVEDIR ? rmdir(path) : unlink(path);
}

int remove(const char *path) {
  PLACE(path, REAL(remove)(path));
  scratch_node *node = scratch_find(inner);
  if (!node) return -1;
  return node->contents ? unlink(path) : rmdir(path);
}

/// Nothing renames scratch files; whoever begins to is told that it does not go.
int rename(const char *from, const char *to) {
  PLACE(from, (scratch_place(to, inner) == 0 ? REAL(rename)(from, to) : scratch_fails(EXDEV)));
  return scratch_fails(EXDEV);
}

int stat64(const char *path, struct stat64 *status) {
  PLACE(path, REAL(stat64)(path, status));
  scratch_node *node = scratch_find(inner);
  return node ? scratch_status_of(node, (struct stat *)status) : -1;
}

int lstat64(const char *path, struct stat64 *status) {
  PLACE(path, REAL(lstat64)(path, status));
  scratch_node *node = scratch_find(inner);
  return node ? scratch_status_of(node, (struct stat *)status) : -1;
}

int fstatat64(int folder, const char *path, struct stat64 *status, int flags) {
  if (scratch_is(folder) && (flags & AT_EMPTY_PATH) && scratch_is_empty(path)) return fstat64(folder, status);
  if (!scratch_is_whole(folder, path)) return REAL(fstatat64)(folder, path, status, flags);
  PLACE(path, REAL(fstatat64)(folder, path, status, flags));
  return stat64(path, status);
}

int statx(int folder, const char *path, int flags, unsigned mask, struct statx *answer) {
  struct stat64 status;
  if (scratch_is(folder) && scratch_is_empty(path)) {
    if (fstat64(folder, &status) != 0) return -1;
  } else {
    if (!scratch_is_whole(folder, path)) return REAL(statx)(folder, path, flags, mask, answer);
    PLACE(path, REAL(statx)(folder, path, flags, mask, answer));
    if (stat64(path, &status) != 0) return -1;
  }
  memset(answer, 0, sizeof *answer);
  answer->stx_mask = STATX_TYPE | STATX_MODE | STATX_NLINK | STATX_UID | STATX_GID | STATX_INO | STATX_SIZE | STATX_BLOCKS;
  answer->stx_mode = (uint16_t)status.st_mode;
  answer->stx_nlink = (uint32_t)status.st_nlink;
  answer->stx_uid = status.st_uid;
  answer->stx_gid = status.st_gid;
  answer->stx_ino = status.st_ino;
  answer->stx_size = (uint64_t)status.st_size;
  answer->stx_blocks = (uint64_t)status.st_blocks;
  answer->stx_blksize = 4096;
  return 0;
}

/// What is scratch may be read and written, and has no other mode than that.
static int is_there(const char *inner) { return scratch_find(inner) ? 0 : -1; }

int access(const char *path, int mode) {
  PLACE(path, REAL(access)(path, mode));
  return is_there(inner);
}

int chmod(const char *path, mode_t mode) {
  PLACE(path, REAL(chmod)(path, mode));
  return is_there(inner);
}

int chdir(const char *path) {
  PLACE(path, REAL(chdir)(path));
  return scratch_fails(EACCES);
}

/// The number behind "/proc/self/fd/" when it is one of ours, else -1.
static int linked_descriptor(const char *path) {
  static const char links[] = "/proc/self/fd/";
  if (!path || strncmp(path, links, sizeof links - 1) != 0) return -1;
  char *end;
  long number = strtol(path + sizeof links - 1, &end, 10);
  return *end == 0 && number >= scratch_base && number < scratch_base + scratch_openings ? (int)number : -1;
}

/// libclamav asks in this way for the path of what is open.
ssize_t readlink(const char *path, char *into, size_t room) {
  int descriptor = linked_descriptor(path);
  if (descriptor >= 0) {
    scratch_contents *contents = scratch_opened(descriptor);
    if (!contents) return scratch_fails(ENOENT);
    const scratch_node *node = scratch_named(contents);
    if (!node) return scratch_fails(ENOENT);
    char whole[2 * PATH_MAX];
    int length = snprintf(whole, sizeof whole, "%s/%s", scratch_place_path(), node->path);
    size_t count = (size_t)length < room ? (size_t)length : room;
    memcpy(into, whole, count);
    return (ssize_t)count;
  }
  PLACE(path, REAL(readlink)(path, into, room));
  return is_there(inner) == 0 ? scratch_fails(EINVAL) : -1;
}

char *realpath(const char *path, char *into) {
  char inner[PATH_MAX];
  int placed = scratch_place(path, inner);
  if (placed == 0) return REAL(realpath)(path, into);
  if (placed < 0 || !scratch_find(inner)) return NULL;
  size_t room = strlen(scratch_place_path()) + strlen(inner) + 2;
  if (room > PATH_MAX) return scratch_fails(ENAMETOOLONG), NULL;
  char *whole = into ? into : malloc(room);
  if (whole) snprintf(whole, room, "%s%s%s", scratch_place_path(), *inner ? "/" : "", inner);
  return whole;
}

#define ALIAS(name) __attribute__((alias(#name)))
int open(const char *, int, ...) ALIAS(open64);
int openat(int, const char *, int, ...) ALIAS(openat64);
int stat(const char *path, struct stat *status) { return stat64(path, (struct stat64 *)status); }
int lstat(const char *path, struct stat *status) { return lstat64(path, (struct stat64 *)status); }
int fstatat(int folder, const char *path, struct stat *status, int flags) {
  return fstatat64(folder, path, (struct stat64 *)status, flags);
}
