#define _GNU_SOURCE
#include "internal.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

// Calls that make or take a FILE or a DIR. Our FILEs are the C library's own, over cookies: fread, fseek, fflush and the rest know them.

/// By descriptor: a FILE over a cookie has no number of its own.
static FILE *streams[scratch_openings];
static unsigned stream_count;

static int descriptor_of(void *cookie) { return (int)(intptr_t)cookie; }

static ssize_t read_cookie(void *cookie, char *into, size_t count) { return read(descriptor_of(cookie), into, count); }

static ssize_t write_cookie(void *cookie, const char *from, size_t count) {
  ssize_t put = write(descriptor_of(cookie), from, count);
  // For a cookie nothing is the error.
  return put < 0 ? 0 : put;
}

static int seek_cookie(void *cookie, off64_t *at, int whence) {
  off64_t to = lseek64(descriptor_of(cookie), *at, whence);
  if (to < 0) return -1;
  *at = to;
  return 0;
}

static int close_cookie(void *cookie) {
  streams[descriptor_of(cookie) - scratch_base] = NULL;
  stream_count--;
  return close(descriptor_of(cookie));
}

/// What the mode of fopen says to open; -1 with EINVAL.
static int flags_of(const char *mode) {
  int both = strchr(mode, '+') != NULL;
  int more = strchr(mode, 'x') ? O_EXCL : 0;
  switch (mode[0]) {
  case 'r': return both ? O_RDWR : O_RDONLY;
  case 'w': return (both ? O_RDWR : O_WRONLY) | O_CREAT | O_TRUNC | more;
  case 'a': return (both ? O_RDWR : O_WRONLY) | O_CREAT | O_APPEND | more;
  default: return scratch_fails(EINVAL);
  }
}

FILE *fdopen(int descriptor, const char *mode) {
  if (!scratch_is(descriptor)) return REAL(fdopen)(descriptor, mode);
  int flags = flags_of(mode);
  if (flags < 0 || !scratch_opened(descriptor)) return NULL;
  FILE **held = &streams[descriptor - scratch_base];
  // A second one over the same descriptor would hide the first from fileno.
  if (*held) return scratch_fails(EBUSY), NULL;
  if ((flags & O_APPEND) && scratch_append(descriptor) != 0) return NULL;
  cookie_io_functions_t calls = {.read = read_cookie, .write = write_cookie, .seek = seek_cookie, .close = close_cookie};
  *held = fopencookie((void *)(intptr_t)descriptor, mode, calls);
  if (*held) stream_count++;
  return *held;
}

FILE *fopen64(const char *path, const char *mode) {
  char inner[PATH_MAX];
  int placed = scratch_place(path, inner);
  if (placed == 0) return REAL(fopen64)(path, mode);
  int flags = placed < 0 ? -1 : flags_of(mode);
  if (flags < 0) return NULL;
  int descriptor = scratch_open(inner, flags);
  if (descriptor < 0) return NULL;
  FILE *made = fdopen(descriptor, mode);
  if (made) return made;
  int code = errno;
  close(descriptor);
  return scratch_fails(code), NULL;
}

int fileno(FILE *stream) {
  for (unsigned at = 0, seen = 0; seen < stream_count && at < scratch_openings; at++) {
    if (!streams[at]) continue;
    if (streams[at] == stream) return scratch_base + (int)at;
    seen++;
  }
  return REAL(fileno)(stream);
}

// Folders

/// A folder that is being listed. By serial, since names go away meanwhile: they stand in the order in which they were made.
typedef struct {
  char path[PATH_MAX];
  uint64_t last;
  /// The one that was listed last, as long as nothing was removed since.
  scratch_node *at;
  uint64_t removals;
  struct dirent64 entry;
} listing;

enum { maximum_listings = 64 };
static listing *listings[maximum_listings];
static unsigned listing_count;

/// Its place in the list, -1 for one of the C library's.
static int number_of(DIR *folder) {
  for (int number = 0; listing_count > 0 && number < maximum_listings; number++)
    if ((DIR *)listings[number] == folder) return number;
  return -1;
}

DIR *opendir(const char *path) {
  char inner[PATH_MAX];
  int placed = scratch_place(path, inner);
  if (placed == 0) return REAL(opendir)(path);
  scratch_node *node = placed < 0 ? NULL : scratch_find(inner);
  if (!node) return NULL;
  if (node->contents) return scratch_fails(ENOTDIR), NULL;
  int number = 0;
  while (number < maximum_listings && listings[number]) number++;
  if (number == maximum_listings) return scratch_fails(EMFILE), NULL;
  listing *made = calloc(1, sizeof *made);
  if (!made) return NULL;
  strcpy(made->path, inner);
  listings[number] = made;
  listing_count++;
  return (DIR *)made;
}

struct dirent64 *readdir64(DIR *folder) {
  if (number_of(folder) < 0) return REAL(readdir64)(folder);
  listing *listed = (listing *)folder;
  scratch_node *node = scratch_find(listed->path);
  // Removed meanwhile: there is nothing in it.
  if (!node || node->contents) return NULL;
  scratch_node *next = listed->at && listed->removals == scratch_removals() ? listed->at->next : node->first;
  // Whoever removes what is listed has the next one in front.
  while (next && next->serial <= listed->last) next = next->next;
  if (!next) return NULL;
  listed->last = next->serial;
  listed->at = next;
  listed->removals = scratch_removals();
  struct dirent64 *entry = &listed->entry;
  entry->d_ino = (ino64_t)next->serial;
  entry->d_off = (off64_t)next->serial;
  entry->d_reclen = sizeof *entry;
  entry->d_type = next->contents ? DT_REG : DT_DIR;
  // Never longer: the name was made with that limit.
  strcpy(entry->d_name, scratch_name(next));
  return entry;
}

void rewinddir(DIR *folder) {
  if (number_of(folder) < 0) REAL(rewinddir)(folder);
  else ((listing *)folder)->last = 0, ((listing *)folder)->at = NULL;
}

int closedir(DIR *folder) {
  int number = number_of(folder);
  if (number < 0) return REAL(closedir)(folder);
  free(listings[number]);
  listings[number] = NULL;
  listing_count--;
  return 0;
}

/// A listing has none.
int dirfd(DIR *folder) { return number_of(folder) < 0 ? REAL(dirfd)(folder) : scratch_fails(ENOTSUP); }

DIR *fdopendir(int descriptor) { return scratch_is(descriptor) ? (scratch_fails(ENOTDIR), NULL) : REAL(fdopendir)(descriptor); }

#define ALIAS(name) __attribute__((alias(#name)))
FILE *fopen(const char *, const char *) ALIAS(fopen64);
struct dirent *readdir(DIR *folder) { return (struct dirent *)readdir64(folder); }
