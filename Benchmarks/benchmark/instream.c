// Feeds messages to clamd as milters do: a connection for each, INSTREAM over a Unix socket, so many at once.
//
//   instream SOCKET CONNECTIONS < a file name in each line
//
// All messages are read before the clock starts. Prints: seconds, messages, those found clean, those found infected.

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <arpa/inet.h>
#include <time.h>
#include <unistd.h>

// What a milter is handed at once.
enum { CHUNK = 65536, MOST = 100000 };

typedef struct {
  char *octets;
  size_t count;
} message;

static message messages[MOST];
static size_t known;
static struct sockaddr_un address = {.sun_family = AF_UNIX};
static atomic_size_t next;
static atomic_long clean, infected;

static void fail(const char *what) {
  fprintf(stderr, "instream: %s: %s\n", what, strerror(errno));
  exit(1);
}

static void load(const char *path) {
  int file = open(path, O_RDONLY | O_CLOEXEC);
  struct stat facts;
  if (file < 0 || fstat(file, &facts) != 0) fail(path);
  message *into = &messages[known++];
  into->count = (size_t)facts.st_size;
  into->octets = malloc(into->count + 1);
  for (size_t at = 0; at < into->count;) {
    ssize_t got = read(file, into->octets + at, into->count - at);
    if (got <= 0) fail(path);
    at += (size_t)got;
  }
  close(file);
}

static void send_all(int to, struct iovec *pieces, int count) {
  while (count > 0) {
    struct msghdr header = {.msg_iov = pieces, .msg_iovlen = (size_t)count};
    ssize_t sent = sendmsg(to, &header, MSG_NOSIGNAL);
    if (sent < 0 && errno == EINTR) continue;
    if (sent < 0) fail("sendmsg");
    while (count > 0 && (size_t)sent >= pieces->iov_len) {
      sent -= (ssize_t)pieces->iov_len;
      pieces++;
      count--;
    }
    if (count > 0) {
      pieces->iov_base = (char *)pieces->iov_base + sent;
      pieces->iov_len -= (size_t)sent;
    }
  }
}

static void scan(const message *it) {
  int to = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (to < 0 || connect(to, (struct sockaddr *)&address, sizeof address) != 0) fail("connect");
  static char command[] = "zINSTREAM";
  uint32_t none = 0;
  for (size_t at = 0; at < it->count; at += CHUNK) {
    size_t part = it->count - at < CHUNK ? it->count - at : CHUNK;
    uint32_t length = htonl((uint32_t)part);
    // With its final NUL; as few system calls as can be: the first piece brings the command, the last one the end.
    struct iovec pieces[4];
    int count = 0;
    if (at == 0) pieces[count++] = (struct iovec){command, sizeof command};
    pieces[count++] = (struct iovec){&length, sizeof length};
    pieces[count++] = (struct iovec){it->octets + at, part};
    if (at + part == it->count) pieces[count++] = (struct iovec){&none, sizeof none};
    send_all(to, pieces, count);
  }
  char answer[1024];
  size_t held = 0;
  while (held < sizeof answer - 1) {
    ssize_t got = read(to, answer + held, sizeof answer - 1 - held);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) fail("read");
    if (got == 0) break;
    held += (size_t)got;
  }
  answer[held] = 0;
  close(to);
  if (strcmp(answer, "stream: OK") == 0) {
    clean++;
  } else if (held > 6 && strcmp(answer + strlen(answer) - 6, " FOUND") == 0) {
    infected++;
  } else {
    fprintf(stderr, "instream: clamd answered: %s\n", answer);
    exit(1);
  }
}

static void *work(void *nothing) {
  for (size_t mine; (mine = next++) < known;) scan(&messages[mine]);
  return nothing;
}

int main(int count, char **words) {
  int threads = count == 3 ? atoi(words[2]) : 0;
  if (threads < 1 || threads > 256 || strlen(words[1]) >= sizeof address.sun_path) {
    fprintf(stderr, "instream SOCKET CONNECTIONS < a file name in each line\n");
    return 64;
  }
  strcpy(address.sun_path, words[1]);
  char line[4096];
  while (fgets(line, sizeof line, stdin) != NULL && known < MOST) {
    line[strcspn(line, "\n")] = 0;
    load(line);
  }
  pthread_t all[256];
  struct timespec began, ended;
  clock_gettime(CLOCK_MONOTONIC, &began);
  for (int at = 0; at < threads; at++)
    if (pthread_create(&all[at], NULL, work, NULL) != 0) fail("pthread_create");
  for (int at = 0; at < threads; at++) pthread_join(all[at], NULL);
  clock_gettime(CLOCK_MONOTONIC, &ended);
  double seconds = (double)(ended.tv_sec - began.tv_sec) + (double)(ended.tv_nsec - began.tv_nsec) / 1e9;
  printf("%.6f %zu %ld %ld\n", seconds, known, (long)clean, (long)infected);
  return 0;
}
