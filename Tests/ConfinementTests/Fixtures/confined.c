// A process that confines itself, for the tests: a test's own process cannot. Built by them from this file and CConfinement's.
#define _GNU_SOURCE
#include "CConfinement.h"
#include "CScratch.h"

#include <clamav.h>
#include <errno.h>
#include <fcntl.h>
#include <iconv.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static const char *environment(const char *name) {
  const char *value = getenv(name);
  return value && *value ? value : NULL;
}

static ceralacca_confinement plan_of(const char *temporary) {
  return (ceralacca_confinement){
      .database = environment("DATABASE"), .readable = NULL, .temporary = temporary, .user = environment("CONFINED_USER"),
      .memory_bytes = 512 << 20, .file_bytes = 64 << 20, .descriptors = NULL, .descriptor_count = 0};
}

static void confine(int is_worker, const ceralacca_confinement *plan) {
  ceralacca_confinement_fault fault;
  if ((is_worker ? ceralacca_confine_worker(plan, &fault) : ceralacca_confine_parent(plan, &fault)) == 0) return;
  printf("fault\t%s\t%d\n", fault.step, fault.code);
  fflush(stdout);
  _exit(9);
}

static void say(const char *what, int code) { printf("%s\t%s\n", what, code == 0 ? "done" : strerrorname_np(code)); }
static int opened(int descriptor) { return descriptor < 0 ? errno : (close(descriptor), 0); }
static int answer(long result) { return result < 0 ? errno : 0; }

static int leave(int status) {
  fflush(stdout);
  _exit(status);
}

/// How a child ended: its exit code, or 1000 and the signal.
static int end_of(pid_t child) {
  int status;
  if (waitpid(child, &status, 0) != child) return -1;
  return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
}

static void probe(int is_worker) {
  const char *what;
  int skipped;
  for (int number = 0;; number++) {
    int code = ceralacca_probe(number, is_worker, environment("KEY"), &what, &skipped);
    if (code < 0) break;
    if (!skipped) say(what, code);
  }
}

static void *double_it(void *number) { return (void *)((intptr_t)number * 2); }

/// What the parent must be able to do.
static void parent_does(const char *temporary) {
  char path[4096];
  printf("user\t%d %d\n", (int)getuid(), (int)getgid());
  printf("groups\t%d\n", getgroups(0, NULL));
  printf("dumpable\t%d\n", prctl(PR_GET_DUMPABLE));
  printf("new privileges\t%d\n", prctl(PR_GET_NO_NEW_PRIVS) ? 0 : 1);
  say("read the database", opened(open(environment("DATABASE"), O_RDONLY)));
  snprintf(path, sizeof path, "%s/new", environment("DATABASE"));
  say("write the database", opened(open(path, O_RDWR | O_CREAT, 0600)));
  iconv_t texts = iconv_open("UTF-8", "EUC-KR");
  say("convert Korean", texts == (iconv_t)-1 ? errno : 0);
  pthread_t thread;
  void *result = NULL;
  int code = pthread_create(&thread, NULL, double_it, (void *)21);
  say("start a thread", code ? code : pthread_join(thread, &result) || result != (void *)42);
  snprintf(path, sizeof path, "%s/a", temporary);
  say("make a folder", answer(mkdir(path, 0700)));
  say("remove a folder", answer(rmdir(path)));
  pid_t child = ceralacca_fork();
  if (child == 0) {
    poll(NULL, 0, 30000);
    leave(0);
  }
  say("kill a child", answer(kill(child, SIGKILL)));
  printf("the child ended\t%d\n", end_of(child));
  say("signal its group", answer(kill(-getpgrp(), 0)));
}

/// What a worker must be able to do, and where its limits are.
static void worker_does(const char *own, const char *others, int kept, int forgotten) {
  char path[4096];
  char other[4096];
  printf("user\t%d %d\n", (int)getuid(), (int)getgid());
  printf("kept\t%d\n", fcntl(kept, F_GETFD) >= 0);
  printf("forgotten\t%d\n", fcntl(forgotten, F_GETFD) >= 0);
  snprintf(path, sizeof path, "%s/file", own);
  snprintf(other, sizeof other, "%s/renamed", own);
  int file = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);
  say("make a file", file < 0 ? errno : 0);
  say("write a file", answer(write(file, "text", 4)));
  say("write far", answer(pwrite(file, "text", 4, (64 << 20) + 1)));
  say("cut a file", answer(ftruncate(file, 1)));
  close(file);
  say("empty a file", opened(open(path, O_WRONLY | O_TRUNC)));
  say("rename a file", answer(rename(path, other)));
  say("link a file", answer(link(other, path)));
  say("link a name", answer(symlink("/etc/passwd", path)));
  say("make a socket in the folder", answer(mknod(path, S_IFSOCK | 0600, 0)));
  say("make a pipe in the folder", answer(mkfifo(path, 0600)));
  say("remove a file", answer(unlink(other)));
  say("make a folder", answer(mkdir(path, 0700)));
  say("list a folder", opened(open(path, O_RDONLY | O_DIRECTORY)));
  say("remove a folder", answer(rmdir(path)));
  snprintf(path, sizeof path, "%s/file", others);
  say("make another's file", opened(open(path, O_WRONLY | O_CREAT, 0600)));
  say("list another's folder", opened(open(others, O_RDONLY | O_DIRECTORY)));
  say("cut another's file", answer(truncate(environment("DATABASE"), 0)));
  say("read the database", opened(open(environment("DATABASE"), O_RDONLY)));
  void *some = mmap(NULL, 256 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  say("take memory", some == MAP_FAILED ? errno : 0);
  void *more = mmap(NULL, 300 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  say("take too much memory", more == MAP_FAILED ? errno : 0);
  say("answer", answer(send(kept, "!", 1, MSG_NOSIGNAL)));
}

/// Starts a worker in its own folder and gives it the work; how it ended.
static int with_worker(const char *temporary, void (*work)(const char *own)) {
  char own[4096];
  snprintf(own, sizeof own, "%s/own", temporary);
  mkdir(own, 0700);
  fflush(stdout);
  pid_t child = ceralacca_fork();
  if (child == 0) {
    ceralacca_confinement plan = plan_of(own);
    confine(1, &plan);
    work(own);
    leave(0);
  }
  return end_of(child);
}

static void work_probe(const char *own) {
  (void)own;
  probe(1);
}
static void work_abort(const char *own) {
  (void)own;
  abort();
}
static void work_foreign_call(const char *own) {
  (void)own;
  // getpid as x32 numbers it.
  syscall(0x40000000 | 39);
}

static int run_worker(const char *temporary) {
  char own[4096];
  char others[4096];
  int ends[2];
  int spare[2];
  snprintf(own, sizeof own, "%s/own", temporary);
  snprintf(others, sizeof others, "%s/others", temporary);
  if (socketpair(AF_UNIX, SOCK_SEQPACKET, 0, ends) != 0 || socketpair(AF_UNIX, SOCK_SEQPACKET, 0, spare) != 0) return 8;
  ceralacca_confinement plan = plan_of(temporary);
  confine(0, &plan);
  mkdir(own, 0700);
  mkdir(others, 0700);
  fflush(stdout);
  pid_t child = ceralacca_fork();
  if (child == 0) {
    plan = plan_of(own);
    plan.descriptors = &spare[0];
    plan.descriptor_count = 1;
    confine(1, &plan);
    worker_does(own, others, spare[0], ends[0]);
    leave(0);
  }
  char letter = 0;
  ssize_t count = recv(spare[1], &letter, 1, 0);
  printf("answered\t%d\n", count == 1 && letter == '!');
  printf("ended\t%d\n", end_of(child));
  return 0;
}

/// Says that it is confined, then waits for its end, but not for ever: what it says then is a failed test.
static int wait_for_end(int report) {
  if (write(report, "!", 1) != 1) return 8;
  poll(NULL, 0, 30000);
  printf("survived\n");
  return leave(8);
}

/// The worker holds standard output, which the test reads to its end; the parent ends as soon as the worker is confined.
static int run_orphan(const char *temporary) {
  int ends[2];
  if (pipe(ends) != 0) return 8;
  ceralacca_confinement plan = plan_of(temporary);
  confine(0, &plan);
  pid_t child = ceralacca_fork();
  if (child == 0) {
    plan.descriptors = &ends[1];
    plan.descriptor_count = 1;
    confine(1, &plan);
    return wait_for_end(ends[1]);
  }
  char letter;
  say("the worker waits", answer(read(ends[0], &letter, 1)));
  return 0;
}

/// The same of the parent, whose own parent ends.
static int run_left_parent(const char *temporary) {
  int ends[2];
  if (pipe(ends) != 0) return 8;
  if (fork() == 0) {
    ceralacca_confinement plan = plan_of(temporary);
    confine(0, &plan);
    return wait_for_end(ends[1]);
  }
  char letter;
  say("the parent waits", answer(read(ends[0], &letter, 1)));
  return 0;
}

// MARK: libclamav

static struct cl_engine *engine;

static void *load(void *temporary) {
  unsigned signatures = 0;
  nice(19);
  engine = cl_engine_new();
  cl_engine_set_str(engine, CL_ENGINE_TMPDIR, temporary);
  cl_engine_set_num(engine, CL_ENGINE_DISABLE_CACHE, 1);
  cl_engine_set_num(engine, CL_ENGINE_BYTECODE_MODE, CL_BYTECODE_MODE_INTERPRETER);
  int code = cl_load(environment("DATABASE"), engine, &signatures, CL_DB_STDOPT);
  if (code == CL_SUCCESS) code = cl_engine_compile(engine);
  return (void *)(intptr_t)code;
}

/// A file that was mapped before.
typedef struct {
  const char *name;
  void *octets;
  size_t count;
} sample;
static sample samples[512];
static int sample_count;

static void map_samples(int count, char **paths) {
  for (int at = 0; at < count && sample_count < 512; at++) {
    struct stat status;
    int file = open(paths[at], O_RDONLY);
    if (file >= 0 && fstat(file, &status) == 0 && S_ISREG(status.st_mode) && status.st_size > 0) {
      void *octets = mmap(NULL, (size_t)status.st_size, PROT_READ, MAP_PRIVATE, file, 0);
      const char *slash = strrchr(paths[at], '/');
      samples[sample_count++] = (sample){slash ? slash + 1 : paths[at], octets, (size_t)status.st_size};
    }
    if (file >= 0) close(file);
  }
}

/// What scratch files may have of the memory; negative: there are none, and libclamav's are files.
static long scratch_bytes = -1;

static void work_scan(const char *own) {
  cl_engine_set_str(engine, CL_ENGINE_TMPDIR, own);
  if (scratch_bytes >= 0) {
    cl_engine_set_str(engine, CL_ENGINE_TMPDIR, "/ceralacca");
    if (ceralacca_scratch_begin("/ceralacca", own, (size_t)scratch_bytes) != 0) _exit(8);
  }
  for (int at = 0; at < sample_count; at++) {
    struct cl_scan_options options = {.general = CL_SCAN_GENERAL_HEURISTICS | CL_SCAN_GENERAL_ALLMATCHES, .parse = ~0U};
    options.heuristic = CL_SCAN_HEURISTIC_ENCRYPTED_ARCHIVE | CL_SCAN_HEURISTIC_ENCRYPTED_DOC | CL_SCAN_HEURISTIC_MACROS;
    const char *threat = NULL;
    unsigned long scanned = 0;
    cl_fmap_t *map = cl_fmap_open_memory(samples[at].octets, samples[at].count);
    int code = cl_scanmap_callback(map, NULL, &threat, &scanned, engine, &options, NULL);
    cl_fmap_close(map);
    printf("%s\t%s\t%s\n", samples[at].name, code == CL_VIRUS ? threat : "-", cl_strerror(code));
  }
  // Whatever libclamav opens, makes and removes goes through the calls that are defined for it: else something would be left.
  ceralacca_scratch_figures left = ceralacca_scratch_now();
  if (left.names || left.open || left.memory_bytes) printf("left\t%zu names, %zu open\n", left.names, left.open);
}

static int run_scan(const char *temporary, int is_confined, int count, char **paths) {
  // Everything that is loaded at the first use, while it still can be.
  if (cl_init(CL_INIT_DEFAULT) != CL_SUCCESS) return 8;
  static const char *const sets[] = {"UTF-16", "UTF-16LE", "UTF-16BE", "UTF-32", "CP1250", "CP1251", "CP1252", "KOI8-R", "BIG5"};
  for (size_t at = 0; at < sizeof sets / sizeof *sets; at++) iconv_open("UTF-8", sets[at]);
  tzset();
  map_samples(count, paths);
  ceralacca_confinement plan = plan_of(temporary);
  if (is_confined) confine(0, &plan);
  pthread_t loader;
  void *code = NULL;
  if (pthread_create(&loader, NULL, load, (void *)temporary) != 0 || pthread_join(loader, &code) != 0) return 8;
  printf("loaded\t%s\n", cl_strerror((int)(intptr_t)code));
  if (!is_confined) {
    work_scan(temporary);
    return 0;
  }
  printf("ended\t%d\n", with_worker(temporary, work_scan));
  return 0;
}

int main(int count, char **words) {
  const char *word = count > 1 ? words[1] : "";
  const char *temporary = environment("TEMPORARY");
  ceralacca_confinement plan = plan_of(temporary);
  int code = 0;
  if (strcmp(word, "scan") == 0) code = run_scan(temporary, 1, count - 2, words + 2);
  else if (strcmp(word, "scan-free") == 0) code = run_scan(temporary, 0, count - 2, words + 2);
  else if (strcmp(word, "scan-scratch") == 0 && count > 2) {
    scratch_bytes = atol(words[2]);
    code = run_scan(temporary, 1, count - 3, words + 3);
  } else if (strcmp(word, "worker") == 0) code = run_worker(temporary);
  else if (strcmp(word, "orphan") == 0) code = run_orphan(temporary);
  else if (strcmp(word, "left-parent") == 0) code = run_left_parent(temporary);
  else if (strcmp(word, "probe-free") == 0) probe(1);
  else if (strcmp(word, "lone-worker") == 0) confine(1, &plan);
  else if (strcmp(word, "unconfined-parent") == 0) printf("ended\t%d\n", with_worker(temporary, work_probe));
  else {
    pthread_t thread;
    if (strcmp(word, "threads") == 0) pthread_create(&thread, NULL, (void *(*)(void *))(void *)pause, NULL);
    confine(0, &plan);
    if (strcmp(word, "parent") == 0) parent_does(temporary);
    else if (strcmp(word, "probe-parent") == 0) probe(0);
    else if (strcmp(word, "probe-worker") == 0) printf("ended\t%d\n", with_worker(temporary, work_probe));
    else if (strcmp(word, "abort") == 0) printf("ended\t%d\n", with_worker(temporary, work_abort));
    else if (strcmp(word, "foreign-call") == 0) printf("ended\t%d\n", with_worker(temporary, work_foreign_call));
  }
  fflush(stdout);
  return code;
}
