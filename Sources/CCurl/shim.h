// libcurl and static inline wrappers for what Swift cannot import: curl_easy_setopt and curl_easy_getinfo are variadic.
#pragma once
// The checking macros of the variadic calls are for constant options; here the wrappers' types do their work.
#define CURL_DISABLE_TYPECHECK 1
#include <curl/curl.h>
#include <signal.h>
#include <stddef.h>

/// Receives octets: of the body, or one header line. Returns how many it took; anything but `count` ends the transfer.
typedef size_t (*ceralacca_curl_sink)(const char *octets, size_t size, size_t count, void *context);

/// Makes libcurl ready, once for the process. A write to a peer that has gone is an error of that write, not the end of the process
/// (CURLOPT_NOSIGNAL leaves that to the program).
static inline CURLcode ceralacca_curl_start(void) {
  signal(SIGPIPE, SIG_IGN);
  return curl_global_init(CURL_GLOBAL_DEFAULT);
}

/// Sets an option that takes a number.
static inline CURLcode ceralacca_curl_number(CURL *handle, CURLoption option, long value) {
  return curl_easy_setopt(handle, option, value);
}

/// Sets an option that takes a size in octets.
static inline CURLcode ceralacca_curl_size(CURL *handle, CURLoption option, long long value) {
  return curl_easy_setopt(handle, option, (curl_off_t)value);
}

/// Sets an option that takes a text, which libcurl copies; NULL puts the option back to nothing.
static inline CURLcode ceralacca_curl_text(CURL *handle, CURLoption option, const char *value) {
  return curl_easy_setopt(handle, option, value);
}

/// Makes the request a POST of these octets, which libcurl copies.
static inline CURLcode ceralacca_curl_post(CURL *handle, const void *octets, long long count) {
  CURLcode code = curl_easy_setopt(handle, CURLOPT_POST, 1L);
  if (!code) code = curl_easy_setopt(handle, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)count);
  if (!code) code = curl_easy_setopt(handle, CURLOPT_COPYPOSTFIELDS, octets ? octets : "");
  return code;
}

/// Lets the name and password be given as they are (RFC 7617), and in no other way.
static inline CURLcode ceralacca_curl_basic(CURL *handle) {
  return curl_easy_setopt(handle, CURLOPT_HTTPAUTH, (long)CURLAUTH_BASIC);
}

/// Gives the request's additional header lines. The list stays the caller's, and must outlive the transfer.
static inline CURLcode ceralacca_curl_headers(CURL *handle, struct curl_slist *lines) {
  return curl_easy_setopt(handle, CURLOPT_HTTPHEADER, lines);
}

/// Gives addresses of hosts, each entry `host:port:address,…`, instead of looking them up. The list stays the caller's, and must outlive
/// the transfer.
static inline CURLcode ceralacca_curl_addresses(CURL *handle, struct curl_slist *entries) {
  return curl_easy_setopt(handle, CURLOPT_RESOLVE, entries);
}

/// Where libcurl writes what went wrong: CURL_ERROR_SIZE octets that must outlive the transfer.
static inline CURLcode ceralacca_curl_words(CURL *handle, char *buffer) {
  return curl_easy_setopt(handle, CURLOPT_ERRORBUFFER, buffer);
}

/// Gives the two sinks their callbacks and the context that both get; it stays the caller's.
static inline CURLcode ceralacca_curl_sinks(CURL *handle, ceralacca_curl_sink body, ceralacca_curl_sink header, void *context) {
  CURLcode code = curl_easy_setopt(handle, CURLOPT_WRITEFUNCTION, body);
  if (!code) code = curl_easy_setopt(handle, CURLOPT_WRITEDATA, context);
  if (!code) code = curl_easy_setopt(handle, CURLOPT_HEADERFUNCTION, header);
  if (!code) code = curl_easy_setopt(handle, CURLOPT_HEADERDATA, context);
  return code;
}

/// Is asked now and then while a transfer goes on; anything but 0 ends it.
typedef int (*ceralacca_curl_watcher)(void *context, curl_off_t, curl_off_t, curl_off_t, curl_off_t);

/// Has the transfer watched; the context stays the caller's.
static inline CURLcode ceralacca_curl_watch(CURL *handle, ceralacca_curl_watcher watcher, void *context) {
  CURLcode code = curl_easy_setopt(handle, CURLOPT_XFERINFOFUNCTION, watcher);
  if (!code) code = curl_easy_setopt(handle, CURLOPT_XFERINFODATA, context);
  if (!code) code = curl_easy_setopt(handle, CURLOPT_NOPROGRESS, 0L);
  return code;
}

/// The status of the last response, 0 when there was none.
static inline long ceralacca_curl_status(CURL *handle) {
  long status = 0;
  return curl_easy_getinfo(handle, CURLINFO_RESPONSE_CODE, &status) == CURLE_OK ? status : 0;
}
