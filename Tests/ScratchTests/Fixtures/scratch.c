// Does the same to scratch files and to the system's, step by step, and compares what comes of it. The arguments: seed, steps, octets of
// memory, folder for the system's files, folder for what does not fit into memory.
#define _GNU_SOURCE
#include "CScratch.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

enum { held = 12, largest = 300000 };

static unsigned long long state;
static const char *place = "/ceralacca", *folder;
static long step_number;
static char log_line[2 * PATH_MAX];

static unsigned dice(unsigned sides) {
  state = state * 6364136223846793005ULL + 1442695040888963407ULL;
  return (unsigned)(state >> 33) % sides;
}

static void differ(long long ours, int our_errno, long long theirs, int their_errno) {
  printf("step %ld, %s: %lld (%s) for %lld (%s)\n", step_number, log_line, ours, strerror(our_errno), theirs, strerror(their_errno));
  exit(1);
}

/// Both must come to the same; what fails, by the same errno.
#define SAME(ours_expression, theirs_expression)                                                 \
  ({                                                                                             \
    errno = 0;                                                                                   \
    long long ours_ = (long long)(ours_expression);                                              \
    int our_errno_ = ours_ == -1 ? errno : 0;                                                    \
    errno = 0;                                                                                   \
    long long theirs_ = (long long)(theirs_expression);                                          \
    int their_errno_ = theirs_ == -1 ? errno : 0;                                                \
    if (ours_ != theirs_ || our_errno_ != their_errno_) differ(ours_, our_errno_, theirs_, their_errno_); \
    ours_;                                                                                       \
  })

static const char *const names[] = {"a", "b", "c", "d/a", "d/b", "d/e/a", "d/e/b", "d", "d/e", "f", "f/a", "a/x", "./b", "d//a"};
enum { name_count = sizeof names / sizeof *names };

static char ours_path[PATH_MAX], theirs_path[PATH_MAX];

static void choose(void) {
  const char *name = names[dice(name_count)];
  snprintf(ours_path, sizeof ours_path, "%s/%s", place, name);
  snprintf(theirs_path, sizeof theirs_path, "%s/%s", folder, name);
}

static int ours_open[held], theirs_open[held];
static char octets[largest], ours_read[largest], theirs_read[largest];

static size_t any_count(void) { return dice(8) == 0 ? dice(largest) : dice(5000); }

static void compare_read(long long count) {
  if (count > 0 && memcmp(ours_read, theirs_read, (size_t)count) != 0) differ(1, 0, 2, 0);
}

static int is_folder(const char *path) {
  struct stat status;
  return stat(path, &status) == 0 && S_ISDIR(status.st_mode);
}

static void step_open(int slot) {
  static const int ways[] = {O_RDONLY, O_WRONLY, O_RDWR, O_RDWR, O_WRONLY | O_APPEND, O_RDWR | O_APPEND};
  static const int more[] = {0, O_CREAT, O_CREAT, O_CREAT | O_EXCL, O_TRUNC, O_CREAT | O_TRUNC, O_CREAT | O_EXCL | O_TRUNC};
  if (ours_open[slot] >= 0) {
    close(ours_open[slot]);
    close(theirs_open[slot]);
  }
  int flags = ways[dice(6)] | more[dice(7)];
  if ((flags & O_ACCMODE) == O_RDONLY) flags &= ~O_TRUNC;
  choose();
  snprintf(log_line, sizeof log_line, "open %s %o", ours_path, flags);
  // A folder is not opened by this call.
  if (is_folder(theirs_path)) flags |= O_WRONLY;
  if ((flags & O_ACCMODE) == (O_WRONLY | O_RDWR)) flags &= ~O_WRONLY;
  ours_open[slot] = open(ours_path, flags, 0600);
  int our_errno = errno;
  theirs_open[slot] = open(theirs_path, flags, 0600);
  if ((ours_open[slot] < 0) != (theirs_open[slot] < 0) || (ours_open[slot] < 0 && our_errno != errno))
    differ(ours_open[slot], our_errno, theirs_open[slot], errno);
}

static void step_octets(int slot) {
  int ours = ours_open[slot], theirs = theirs_open[slot];
  size_t count = any_count();
  off_t at = dice(6) == 0 ? dice(largest) : dice(6000);
  for (size_t each = 0; each < count; each++) octets[each] = (char)dice(256);
  struct iovec put[2] = {{octets, count / 3}, {octets + count / 3, count - count / 3}};
  struct iovec our_two[2] = {{ours_read, count / 2}, {ours_read + count / 2, count - count / 2}};
  struct iovec their_two[2] = {{theirs_read, count / 2}, {theirs_read + count / 2, count - count / 2}};
  unsigned what = dice(7);
  snprintf(log_line, sizeof log_line, "octets %u, %zu at %lld", what, count, (long long)at);
  switch (what) {
  case 0: SAME(write(ours, octets, count), write(theirs, octets, count)); break;
  case 1: SAME(writev(ours, put, 2), writev(theirs, put, 2)); break;
  case 2: compare_read(SAME(read(ours, ours_read, count), read(theirs, theirs_read, count))); break;
  case 3: compare_read(SAME(pread(ours, ours_read, count, at), pread(theirs, theirs_read, count, at))); break;
  case 4: compare_read(SAME(readv(ours, our_two, 2), readv(theirs, their_two, 2))); break;
  // What the system does where a file is open for appending is not what POSIX says.
  case 5:
    if (!(fcntl(theirs, F_GETFL) & O_APPEND)) SAME(pwrite(ours, octets, count, at), pwrite(theirs, octets, count, at));
    break;
  case 6: {
    static const int whence[] = {SEEK_SET, SEEK_CUR, SEEK_END, 77};
    int from = whence[dice(4)];
    SAME(lseek(ours, at - 2500, from), lseek(theirs, at - 2500, from));
  }
  }
}

static void step_whole(int slot) {
  int ours = ours_open[slot], theirs = theirs_open[slot];
  struct stat our_status, their_status;
  unsigned what = dice(4);
  snprintf(log_line, sizeof log_line, "whole %u", what);
  switch (what) {
  case 0: {
    off_t count = (off_t)any_count();
    SAME(ftruncate(ours, count), ftruncate(theirs, count));
    break;
  }
  case 1:
    if (SAME(fstat(ours, &our_status), fstat(theirs, &their_status)) == 0) SAME(our_status.st_size, their_status.st_size);
    break;
  case 2: SAME(fcntl(ours, F_GETFL) & (O_ACCMODE | O_APPEND), fcntl(theirs, F_GETFL) & (O_ACCMODE | O_APPEND)); break;
  case 3: {
    if (fstat(theirs, &their_status) != 0 || their_status.st_size == 0) return;
    size_t count = (size_t)their_status.st_size;
    char *our_map = mmap(NULL, count, PROT_READ, MAP_PRIVATE, ours, 0);
    int our_errno = errno;
    char *their_map = mmap(NULL, count, PROT_READ, MAP_PRIVATE, theirs, 0);
    if ((our_map == MAP_FAILED) != (their_map == MAP_FAILED)) differ(our_map == MAP_FAILED, our_errno, their_map == MAP_FAILED, errno);
    if (our_map == MAP_FAILED) return;
    if (memcmp(our_map, their_map, count) != 0) differ(1, 0, 2, 0);
    munmap(our_map, count);
    munmap(their_map, count);
  }
  }
}

static void step_duplicate(int slot) {
  int into = (int)dice(held);
  if (into == slot || ours_open[into] >= 0 || ours_open[slot] < 0) return;
  ours_open[into] = dup(ours_open[slot]);
  theirs_open[into] = dup(theirs_open[slot]);
}

/// The file as a FILE from beginning to end, over both.
static void step_stream(void) {
  static const char *const modes[] = {"r", "w", "a", "r+", "w+", "a+"};
  const char *mode = modes[dice(6)];
  choose();
  snprintf(log_line, sizeof log_line, "stream %s %s", ours_path, mode);
  if (is_folder(theirs_path)) return;
  FILE *ours = fopen(ours_path, mode);
  int our_errno = errno;
  FILE *theirs = fopen(theirs_path, mode);
  if (!ours != !theirs || (!ours && our_errno != errno)) differ(ours != NULL, our_errno, theirs != NULL, errno);
  if (!ours) return;
  if (fileno(ours) < 1 << 20) differ(fileno(ours), 0, 1 << 20, 0);
  for (int times = 0; times < 6; times++) {
    size_t count = dice(9000);
    long at = (long)dice(9000);
    for (size_t each = 0; each < count; each++) octets[each] = (char)dice(256);
    int from = dice(2) ? SEEK_SET : SEEK_END;
    SAME(fseek(ours, at, from), fseek(theirs, at, from));
    if (mode[0] == 'r' ? mode[1] == 0 || dice(2) : mode[1] && dice(2)) {
      compare_read(SAME(fread(ours_read, 1, count, ours), fread(theirs_read, 1, count, theirs)));
    } else {
      SAME(fwrite(octets, 1, count, ours), fwrite(octets, 1, count, theirs));
      SAME(fflush(ours), fflush(theirs));
    }
    SAME(ftell(ours), ftell(theirs));
  }
  SAME(fclose(ours), fclose(theirs));
}

static int by_name(const void *one, const void *other) { return strcmp(*(char *const *)one, *(char *const *)other); }

/// The names in a folder with their kinds, sorted, in one text.
static long list(const char *path, char *text, size_t room, int removes) {
  DIR *open_folder = opendir(path);
  if (!open_folder) return -1;
  char *found[64];
  int count = 0;
  for (struct dirent *entry; (entry = readdir(open_folder)) && count < 64;) {
    if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0) continue;
    if (!entry->d_ino) differ(0, 0, 1, 0);
    if (asprintf(&found[count++], "%s:%d", entry->d_name, entry->d_type) < 0) exit(9);
    char inner[2 * PATH_MAX];
    snprintf(inner, sizeof inner, "%s/%s", path, entry->d_name);
    if (removes) remove(inner);
  }
  rewinddir(open_folder);
  int again = 0;
  while (readdir(open_folder)) again++;
  closedir(open_folder);
  // With "." and "..", if at all.
  if (!removes && again != count && again != count + 2) differ(again, 0, count, 0);
  qsort(found, (size_t)count, sizeof *found, by_name);
  size_t length = 0;
  text[0] = 0;
  for (int at = 0; at < count; at++) {
    length += (size_t)snprintf(text + length, room - length, "%s\n", found[at]);
    free(found[at]);
  }
  return count;
}

static void step_names(void) {
  struct stat our_status, their_status;
  char ours_list[8192], theirs_list[8192];
  unsigned what = dice(9);
  choose();
  snprintf(log_line, sizeof log_line, "names %u %s", what, ours_path);
  switch (what) {
  case 0:
  case 1: SAME(mkdir(ours_path, 0700), mkdir(theirs_path, 0700)); break;
  case 2: SAME(rmdir(ours_path), rmdir(theirs_path)); break;
  case 3: SAME(unlink(ours_path), unlink(theirs_path)); break;
  case 4: SAME(remove(ours_path), remove(theirs_path)); break;
  case 5: SAME(access(ours_path, R_OK), access(theirs_path, R_OK)); break;
  case 6:
    if (SAME(stat(ours_path, &our_status), stat(theirs_path, &their_status)) != 0) break;
    SAME(our_status.st_mode & S_IFMT, their_status.st_mode & S_IFMT);
    if (S_ISREG(our_status.st_mode)) SAME(our_status.st_size, their_status.st_size);
    break;
  default: {
    int removes = dice(3) == 0;
    SAME(list(ours_path, ours_list, sizeof ours_list, removes), list(theirs_path, theirs_list, sizeof theirs_list, removes));
    if (is_folder(theirs_path) && strcmp(ours_list, theirs_list) != 0) differ(1, 0, 2, 0);
  }
  }
}

int main(int count, char **words) {
  if (count != 6) return 2;
  state = strtoull(words[1], NULL, 10);
  long steps = atol(words[2]);
  folder = words[4];
  if (ceralacca_scratch_begin(place, words[5], (size_t)atol(words[3])) != 0) return 3;
  for (int slot = 0; slot < held; slot++) ours_open[slot] = theirs_open[slot] = -1;
  for (step_number = 0; step_number < steps; step_number++) {
    int slot = (int)dice(held);
    switch (dice(10)) {
    case 0:
    case 1: step_open(slot); break;
    case 2:
    case 3: step_names(); break;
    case 4: step_stream(); break;
    case 5: step_duplicate(slot); break;
    case 6: if (ours_open[slot] >= 0) step_whole(slot); break;
    default: if (ours_open[slot] >= 0) step_octets(slot);
    }
  }
  for (int slot = 0; slot < held; slot++)
    if (ours_open[slot] >= 0) close(ours_open[slot]);
  size_t overflowed = ceralacca_scratch_now().overflowed;
  ceralacca_scratch_clear();
  ceralacca_scratch_figures left = ceralacca_scratch_now();
  printf("left %zu %zu %zu\noverflowed %zu\n", left.names, left.open, left.memory_bytes, overflowed);
  return 0;
}
