// Processes and what passes between them: packets with descriptors, sealed memory, children.
// Each function returns the negative errno on failure.
#pragma once
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

/// Makes a pair of connected SOCK_SEQPACKET sockets, both close-on-exec. 0, or the negative errno.
int ceralacca_packet_pair(int pair[2]);
/// 0 when `descriptor` is a SOCK_SEQPACKET socket of the Unix family (it is close-on-exec then), or the negative errno.
int ceralacca_is_packet_socket(int descriptor);
/// Sends one packet, with the descriptor `passing` unless it is -1; never raises SIGPIPE. Waits at the most `timeout` milliseconds for
/// room (-1: for ever). 0, or the negative errno: ETIMEDOUT, EPIPE.
int ceralacca_send_packet(int socket, const uint8_t *bytes, size_t count, int passing, int timeout);
/// Receives one packet of at most `room` octets. Waits at the most `timeout` milliseconds (-1: for ever). The length, 0 when the other
/// side is gone, or the negative errno: ETIMEDOUT; EMSGSIZE for a longer packet; EBADMSG for one with more descriptors than are taken.
/// `passed` gets the packet's descriptor (close-on-exec, the caller's) or -1; when it is NULL no descriptor is taken at all.
ptrdiff_t ceralacca_receive_packet(int socket, uint8_t *out, size_t room, int timeout, int *passed);
/// Makes a memory file of `pieces` that nobody can change any more. A descriptor (close-on-exec), or the negative errno.
int ceralacca_sealed_memory(const char *name, const struct iovec *pieces, int count);
/// Maps the `bytes` (> 0) octets of a sealed memory file for reading. 0, or the negative errno: EINVAL when the file is not that long,
/// EPERM when it is not sealed against writing and shrinking.
int ceralacca_map_sealed(int descriptor, size_t bytes, const void **base);
/// Starts the program at `path` in a process group of its own: `descriptors` become 3, 4, …, standard input is empty, standard output
/// goes where standard error goes (unless `keeps_output`), all else is closed; signals are as a new process has them. 0, or the negative
/// errno; `pid` and `handle` (a pidfd, the caller's) are of the child then.
int ceralacca_spawn(
    const char *path, char *const arguments[], char *const environment[], const int *descriptors, int count, int keeps_output,
    pid_t *pid, int *handle);
/// Waits at the most `timeout` milliseconds (-1: for ever) for the child of `handle` to end. 1, 0 while it runs, or the negative errno.
int ceralacca_await_child(int handle, int timeout);
/// Takes the status of the child of `handle` if it has ended, in the form of waitpid(2). 1, 0 while it runs, or the negative errno
/// (ECHILD: somebody else took the status).
int ceralacca_take_child(int handle, int *status);
/// Sends `signal` to the process of `handle`; to no other, whatever has become of its number. 0, or the negative errno.
int ceralacca_signal_child(int handle, int signal);
/// What a status in the form of waitpid(2) says, for people: "exit code 3". Returns the length written.
size_t ceralacca_status_words(int status, char *out, size_t room);
