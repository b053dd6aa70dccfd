#define _GNU_SOURCE
#include "internal.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

// A file is in memory until it is large, or until all of them together are: then it goes to the folder that was meant for it in the first
// place, with that one's limits. So nobody can fill a worker's memory with files, and "no space" is said by who always said it.

/// What one file may have of the memory.
enum { file_memory_bytes = 256 << 10, first_room_bytes = 2048 };

ceralacca_scratch_figures scratch_figures;
static size_t memory_limit_bytes;
static char overflow_folder[PATH_MAX];
static uint64_t serials;

void *scratch_next(const char *name) {
  void *found = dlsym(RTLD_NEXT, name);
  // Without it nothing can be passed on.
  if (!found) abort();
  return found;
}

int scratch_fails(int code) {
  errno = code;
  return -1;
}

uint64_t scratch_serial(void) { return ++serials; }

int scratch_begin_contents(const char *overflow, size_t memory_bytes) {
  if (strlen(overflow) >= sizeof overflow_folder - 32) return ENAMETOOLONG;
  strcpy(overflow_folder, overflow);
  memory_limit_bytes = memory_bytes;
  return 0;
}

scratch_contents *scratch_make_contents(void) {
  scratch_contents *made = calloc(1, sizeof *made);
  if (!made) return NULL;
  made->real = -1;
  made->users = 1;
  made->serial = scratch_serial();
  return made;
}

static void free_memory(scratch_contents *contents) {
  free(contents->octets);
  scratch_figures.memory_bytes -= contents->room;
  contents->octets = NULL;
  contents->room = 0;
}

void scratch_let_go(scratch_contents *contents) {
  if (--contents->users > 0) return;
  free_memory(contents);
  if (contents->real >= 0) close(contents->real);
  free(contents);
}

/// A file without a name in the folder; -1 with errno.
static int make_real(void) {
  char path[PATH_MAX];
  snprintf(path, sizeof path, "%s/overflow-%llu", overflow_folder, (unsigned long long)scratch_serial());
  int made = open(path, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
  if (made < 0) return -1;
  unlink(path);
  scratch_figures.overflowed++;
  return made;
}

static int write_all(int real, const char *from, uint64_t count) {
  uint64_t at = 0;
  while (at < count) {
    ssize_t written = pwrite(real, from + at, count - at, (off_t)at);
    if (written < 0 && errno == EINTR) continue;
    // Nothing written without a reason: the disk is full.
    if (written <= 0) return written < 0 ? -1 : scratch_fails(ENOSPC);
    at += (uint64_t)written;
  }
  return 0;
}

int scratch_materialize(scratch_contents *contents) {
  if (contents->real >= 0) return contents->real;
  int made = make_real();
  if (made < 0) return -1;
  if (write_all(made, contents->octets, contents->count) != 0) {
    int code = errno;
    close(made);
    return scratch_fails(code);
  }
  free_memory(contents);
  contents->real = made;
  return made;
}

/// Room in memory for so many octets: 1, or 0 when there is none to be had.
static int make_room(scratch_contents *contents, uint64_t count) {
  if (count <= contents->room) return 1;
  if (count > file_memory_bytes) return 0;
  uint64_t room = contents->room ? contents->room : first_room_bytes;
  while (room < count) room *= 2;
  if (scratch_figures.memory_bytes + (room - contents->room) > memory_limit_bytes) return 0;
  char *octets = realloc(contents->octets, room);
  if (!octets) return 0;
  scratch_figures.memory_bytes += room - contents->room;
  contents->octets = octets;
  contents->room = room;
  return 1;
}

ssize_t scratch_read(scratch_contents *contents, void *into, size_t count, uint64_t at) {
  if (contents->real >= 0) return pread(contents->real, into, count, (off_t)at);
  if (at >= contents->count) return 0;
  uint64_t left = contents->count - at;
  size_t got = count < left ? count : (size_t)left;
  memcpy(into, contents->octets + at, got);
  return (ssize_t)got;
}

ssize_t scratch_write(scratch_contents *contents, const void *from, size_t count, uint64_t at) {
  if (count == 0) return 0;
  if (count > SSIZE_MAX || at > (uint64_t)INT64_MAX - count) return scratch_fails(EFBIG);
  if (contents->real < 0 && !make_room(contents, at + count) && scratch_materialize(contents) < 0) return -1;
  if (contents->real >= 0) return pwrite(contents->real, from, count, (off_t)at);
  // A hole reads as zeros.
  if (at > contents->count) memset(contents->octets + contents->count, 0, at - contents->count);
  memcpy(contents->octets + at, from, count);
  if (at + count > contents->count) contents->count = at + count;
  return (ssize_t)count;
}

int scratch_resize(scratch_contents *contents, uint64_t count) {
  if (contents->real < 0 && !make_room(contents, count) && scratch_materialize(contents) < 0) return -1;
  if (contents->real >= 0) return ftruncate(contents->real, (off_t)count);
  if (count > contents->count) memset(contents->octets + contents->count, 0, count - contents->count);
  contents->count = count;
  return 0;
}
