// libzip, and a static inline wrapper where a plain signature is clearer than its own.
#pragma once
#include <string.h>
#include <time.h>
#include <zip.h>

/// Adds a member that lies in `pieces` (octets stay the caller's until the archive is closed), deflated and sealed by AES-256
/// (WinZip's AE-2) under `password`. 0, or -1: then zip_strerror says why.
static inline int ceralacca_zip_add(zip_t *archive, const char *name, const zip_buffer_fragment_t *pieces, uint64_t count,
                                    int64_t modified, const char *password) {
  zip_source_t *source = zip_source_buffer_fragment(archive, pieces, count, 0);
  if (!source) return -1;
  zip_int64_t index = zip_file_add(archive, name, source, ZIP_FL_ENC_UTF_8);
  if (index < 0) {
    zip_source_free(source);
    return -1;
  }
  if (zip_set_file_compression(archive, (zip_uint64_t)index, ZIP_CM_DEFLATE, 0)) return -1;
  if (zip_file_set_mtime(archive, (zip_uint64_t)index, (time_t)modified, 0)) return -1;
  // A regular file that only its owner may read, where it is unpacked by a tool that keeps modes.
  if (zip_file_set_external_attributes(archive, (zip_uint64_t)index, 0, ZIP_OPSYS_UNIX, 0100600u << 16)) return -1;
  return zip_file_set_encryption(archive, (zip_uint64_t)index, ZIP_EM_AES_256, password);
}

/// Adds a member that lies in `pieces` as above, deflated and open to everybody, with the first day that a zip can name as its date: the
/// same members make the same archive, whenever and wherever it is made. 0, or -1: then zip_strerror says why.
static inline int ceralacca_zip_add_plain(zip_t *archive, const char *name, const zip_buffer_fragment_t *pieces, uint64_t count) {
  zip_source_t *source = zip_source_buffer_fragment(archive, pieces, count, 0);
  if (!source) return -1;
  zip_int64_t index = zip_file_add(archive, name, source, ZIP_FL_ENC_UTF_8);
  if (index < 0) {
    zip_source_free(source);
    return -1;
  }
  if (zip_set_file_compression(archive, (zip_uint64_t)index, ZIP_CM_DEFLATE, 0)) return -1;
  if (zip_file_set_dostime(archive, (zip_uint64_t)index, 0, (1 << 5) | 1, 0)) return -1;
  return zip_file_set_external_attributes(archive, (zip_uint64_t)index, 0, ZIP_OPSYS_UNIX, 0100644u << 16);
}

/// An archive that lies in `octets`, for reading; they stay the caller's until it is discarded. Its directory and the members' own headers
/// must say the same. NULL, and the reason in `words`.
static inline zip_t *ceralacca_zip_reading(const void *octets, uint64_t count, char *words, size_t room) {
  zip_error_t error;
  zip_error_init(&error);
  zip_source_t *source = zip_source_buffer_create(octets, count, 0, &error);
  zip_t *archive = source ? zip_open_from_source(source, ZIP_RDONLY | ZIP_CHECKCONS, &error) : NULL;
  if (!archive) {
    if (source) zip_source_free(source);
    strncpy(words, zip_error_strerror(&error), room - 1);
    words[room - 1] = 0;
  }
  zip_error_fini(&error);
  return archive;
}

/// An empty archive in memory; `*memory` keeps what is written and is the caller's to free. NULL without memory.
static inline zip_t *ceralacca_zip_in_memory(zip_source_t **memory) {
  zip_error_t error;
  zip_error_init(&error);
  *memory = zip_source_buffer_create(NULL, 0, 0, &error);
  if (!*memory) return NULL;
  zip_t *archive = zip_open_from_source(*memory, ZIP_CREATE | ZIP_TRUNCATE, &error);
  if (!archive) {
    zip_source_free(*memory);
    *memory = NULL;
    return NULL;
  }
  // The archive's closing releases one reference; this one stays with the caller.
  zip_source_keep(*memory);
  return archive;
}
