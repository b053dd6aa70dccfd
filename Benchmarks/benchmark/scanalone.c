/* libclamav and nothing else: how often a second it can look at a message, by processes that share one database.

     scanalone DATABASE FOLDER-FOR-TEMPORARY-FILES MESSAGE PROCESSES MILLISECONDS

   Prints the scans of all processes a second. Every message is read from memory, and every format is looked into. */
#include <clamav.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static int64_t now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return (int64_t)time.tv_sec * 1000000000 + time.tv_nsec;
}

static int fail(const char *what, int code) {
  fprintf(stderr, "scanalone: %s: %s\n", what, cl_strerror(code));
  return 1;
}

static int scan(struct cl_engine *engine, cl_fmap_t *message) {
  struct cl_scan_options options;
  memset(&options, 0, sizeof options);
  options.general = CL_SCAN_GENERAL_HEURISTICS;
  options.parse = ~0U;
  const char *found = NULL;
  unsigned long scanned = 0;
  return cl_scanmap_callback(message, NULL, &found, &scanned, engine, &options, NULL);
}

static void work(struct cl_engine *engine, void *octets, size_t size, int64_t end, volatile uint64_t *count) {
  while (now() < end) {
    cl_fmap_t *message = cl_fmap_open_memory(octets, size);
    if (!message || scan(engine, message) != CL_CLEAN) _exit(1);
    cl_fmap_close(message);
    ++*count;
  }
  _exit(0);
}

int main(int argc, char **argv) {
  if (argc != 6) return fprintf(stderr, "usage: scanalone DATABASE FOLDER MESSAGE PROCESSES MILLISECONDS\n"), 64;
  int processes = atoi(argv[4]), code = cl_init(CL_INIT_DEFAULT), file = open(argv[3], O_RDONLY);
  if (code != CL_SUCCESS) return fail("cl_init", code);
  struct cl_engine *engine = cl_engine_new();
  unsigned int signatures = 0;
  code = cl_load(argv[1], engine, &signatures, CL_DB_STDOPT);
  if (code != CL_SUCCESS) return fail(argv[1], code);
  cl_engine_set_str(engine, CL_ENGINE_TMPDIR, argv[2]);
  /* The same message again and again is to be looked at again and again. */
  cl_engine_set_num(engine, CL_ENGINE_DISABLE_CACHE, 1);
  code = cl_engine_compile(engine);
  if (code != CL_SUCCESS) return fail("cl_engine_compile", code);
  off_t size = file < 0 ? -1 : lseek(file, 0, SEEK_END);
  void *octets = size <= 0 ? MAP_FAILED : mmap(NULL, (size_t)size, PROT_READ, MAP_PRIVATE, file, 0);
  uint64_t *counts = mmap(NULL, 65536, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (octets == MAP_FAILED || counts == MAP_FAILED || processes < 1 || processes > 64) return fail(argv[3], CL_EMAP);
  int64_t begin = now(), end = begin + atoll(argv[5]) * 1000000;
  for (int number = 0; number < processes; number++)
    if (fork() == 0) work(engine, octets, (size_t)size, end, &counts[(size_t)number * 128]);
  int status = 0, failed = 0;
  while (wait(&status) > 0) failed |= status;
  if (failed) return fail("a scan", CL_ERROR);
  uint64_t all = 0;
  for (int number = 0; number < processes; number++) all += counts[(size_t)number * 128];
  printf("%.1f\n", (double)all / ((double)(now() - begin) / 1e9));
  return 0;
}
