internal import Glibc

/// Signals that ask a service for something, and that would end a process which does not listen for them yet.
public enum HeldSignals {
  /// Keeps SIGHUP and SIGUSR2 waiting from now on, for this thread and all that it makes: who asks before the service is up is not to end
  /// it. Call it before there is a second thread.
  public static func hold() { mask(SIG_BLOCK) }

  /// Lets them come, those that have waited too. Call it on the thread that called `hold`, once somebody listens.
  public static func release() { mask(SIG_UNBLOCK) }

  private static func mask(_ how: Int32) {
    var set = sigset_t()
    unsafe sigemptyset(&set)
    for number in [SIGHUP, SIGUSR2] { unsafe sigaddset(&set, number) }
    unsafe pthread_sigmask(how, &set, nil)
  }
}
