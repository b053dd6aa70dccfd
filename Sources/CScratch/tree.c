#define _GNU_SOURCE
#include "internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

/// Names at once: libclamav is told of fewer files in a message.
enum { maximum_names = 100000, buckets = 4096 };

static char place[PATH_MAX];
/// 0: nothing is scratch.
static size_t place_length;
static scratch_node *table[buckets];
/// The place itself: never in the table.
static scratch_node *root;
static uint64_t removals;

int scratch_begin_tree(const char *path) {
  size_t length = strlen(path);
  if (place_length) return EALREADY;
  if (length < 2 || path[0] != '/' || path[length - 1] == '/') return EINVAL;
  if (length >= sizeof place) return ENAMETOOLONG;
  root = calloc(1, sizeof *root + 1);
  if (!root) return ENOMEM;
  root->serial = scratch_serial();
  strcpy(place, path);
  place_length = length;
  return 0;
}

const char *scratch_place_path(void) { return place; }

/// The path without empty steps, "." and "..": its length, or -1 with errno. The longest outcome fits into PATH_MAX.
static int straighten(const char *path, char out[PATH_MAX]) {
  size_t length = 0;
  while (*path) {
    while (*path == '/') path++;
    size_t step = strcspn(path, "/");
    if (step == 0) break;
    if (step == 2 && path[0] == '.' && path[1] == '.') {
      // There are no links in the place: above a folder is the one that it was made in.
      while (length > 0 && out[--length] != '/') {
      }
    } else if (!(step == 1 && path[0] == '.')) {
      if (length + step + 2 > PATH_MAX) return scratch_fails(ENAMETOOLONG);
      out[length++] = '/';
      memcpy(out + length, path, step);
      length += step;
    }
    path += step;
  }
  out[length] = 0;
  return (int)length;
}

int scratch_place(const char *path, char inner[PATH_MAX]) {
  if (place_length == 0 || !path || path[0] != '/') return 0;
  int length = straighten(path, inner);
  if (length < 0) return -1;
  if ((size_t)length < place_length || memcmp(inner, place, place_length) != 0) return 0;
  if (inner[place_length] != 0 && inner[place_length] != '/') return 0;
  size_t from = place_length + (inner[place_length] == '/');
  memmove(inner, inner + from, (size_t)length + 1 - from);
  return 1;
}

int scratch_is_whole(int folder, const char *path) { return folder == AT_FDCWD || (path && path[0] == '/'); }

int scratch_is_empty(const char *path) { return path && !*path; }

/// A path's length and sum, and those of the folder that it names something in.
typedef struct {
  size_t length, above_length;
  uint32_t sum, above_sum;
} measure;

static measure measured(const char *path, size_t limit) {
  measure made = {.sum = 2166136261U, .above_sum = 2166136261U};
  for (; made.length < limit && path[made.length]; made.length++) {
    if (path[made.length] == '/') {
      made.above_length = made.length;
      made.above_sum = made.sum;
    }
    made.sum = (made.sum ^ (unsigned char)path[made.length]) * 16777619U;
  }
  return made;
}

static scratch_node *look_up(const char *path, size_t length, uint32_t sum) {
  if (length == 0) return root;
  for (scratch_node *node = table[sum % buckets]; node; node = node->chain)
    if (node->hash == sum && strncmp(node->path, path, length) == 0 && node->path[length] == 0) return node;
  return NULL;
}

scratch_node *scratch_find(const char *inner) {
  measure whole = measured(inner, PATH_MAX);
  scratch_node *found = look_up(inner, whole.length, whole.sum);
  if (found) return found;
  // Below a file there can be nothing, which is said differently.
  scratch_node *above;
  while (!(above = look_up(inner, whole.above_length, whole.above_sum))) whole = measured(inner, whole.above_length);
  errno = above->contents ? ENOTDIR : ENOENT;
  return NULL;
}

scratch_node *scratch_make(const char *inner, scratch_contents *contents) {
  measure whole = measured(inner, PATH_MAX);
  size_t length = whole.length;
  if (length - whole.above_length > NAME_MAX + 1) return scratch_fails(ENAMETOOLONG), NULL;
  scratch_node *parent = look_up(inner, whole.above_length, whole.above_sum);
  if (!parent) return scratch_find(inner), NULL;
  if (parent->contents) return scratch_fails(ENOTDIR), NULL;
  if (scratch_figures.names >= maximum_names) return scratch_fails(ENOSPC), NULL;
  scratch_node *made = calloc(1, sizeof *made + length + 1);
  if (!made) return scratch_fails(ENOSPC), NULL;
  memcpy(made->path, inner, length + 1);
  made->contents = contents;
  made->serial = scratch_serial();
  made->hash = whole.sum;
  made->chain = table[made->hash % buckets];
  table[made->hash % buckets] = made;
  made->parent = parent;
  made->previous = parent->last;
  if (parent->last) parent->last->next = made;
  else parent->first = made;
  parent->last = made;
  scratch_figures.names++;
  return made;
}

void scratch_remove(scratch_node *node) {
  scratch_node **link = &table[node->hash % buckets];
  while (*link != node) link = &(*link)->chain;
  *link = node->chain;
  if (node->previous) node->previous->next = node->next;
  else node->parent->first = node->next;
  if (node->next) node->next->previous = node->previous;
  else node->parent->last = node->previous;
  if (node->contents) scratch_let_go(node->contents);
  scratch_figures.names--;
  removals++;
  free(node);
}

uint64_t scratch_removals(void) { return removals; }

const char *scratch_name(const scratch_node *node) {
  const char *slash = strrchr(node->path, '/');
  return slash ? slash + 1 : node->path;
}

const scratch_node *scratch_named(const scratch_contents *contents) {
  for (size_t at = 0; at < buckets; at++)
    for (const scratch_node *node = table[at]; node; node = node->chain)
      if (node->contents == contents) return node;
  return NULL;
}

void ceralacca_scratch_clear(void) {
  if (!root) return;
  while (root->first) {
    scratch_node *node = root->first;
    while (node->first) node = node->first;
    scratch_remove(node);
  }
}

int ceralacca_scratch_begin(const char *path, const char *overflow, size_t memory_bytes) {
  int code = scratch_begin_contents(overflow, memory_bytes);
  if (code == 0) code = scratch_begin_tree(path);
  if (code == 0) scratch_begin_pages();
  return code;
}

ceralacca_scratch_figures ceralacca_scratch_now(void) { return scratch_figures; }
