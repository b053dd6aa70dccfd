import Glibc

/// Jobs on their way to the signing threads: any number of senders, several takers who sleep while there are none.
@safe
final class SigningQueue: @unchecked Sendable {
  /// What a taker gets.
  enum Taken {
    /// At least one job.
    case jobs([SigningJob])
    /// No job, and `wake` was called since this taker was last told.
    case woken
    /// The queue is closed and empty.
    case closed
  }

  // Both owned by this object: made in init, destroyed in deinit, never moved.
  private let lock: UnsafeMutablePointer<pthread_mutex_t>
  private let changed: UnsafeMutablePointer<pthread_cond_t>
  // The rest is behind the lock.
  private var lines: SigningLines<SigningJob>
  /// Jobs that somebody said would come and that have not come yet.
  private var coming = 0
  private var calls: UInt64 = 0
  private var closed = false
  private let gatherNanoseconds: UInt64

  /// - Parameters:
  ///   - patienceNanoseconds: a job that waited for longer goes first.
  ///   - gatherNanoseconds: how long a taker may wait for announced jobs to fill its batch, counted from its oldest job's arrival.
  init(patienceNanoseconds: UInt64, gatherNanoseconds: UInt64) {
    lines = SigningLines(priorities: SigningPriority.allCases.count, patience: patienceNanoseconds)
    self.gatherNanoseconds = gatherNanoseconds
    unsafe lock = .allocate(capacity: 1)
    unsafe changed = .allocate(capacity: 1)
    unsafe pthread_mutex_init(lock, nil)
    // Waits are counted by a clock that nobody sets.
    var attributes = pthread_condattr_t()
    unsafe pthread_condattr_init(&attributes)
    unsafe pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC)
    unsafe pthread_cond_init(changed, &attributes)
    unsafe pthread_condattr_destroy(&attributes)
  }

  deinit {
    unsafe pthread_cond_destroy(changed)
    unsafe pthread_mutex_destroy(lock)
    unsafe changed.deallocate()
    unsafe lock.deallocate()
  }

  private func locked<Value>(_ body: () -> Value) -> Value {
    unsafe pthread_mutex_lock(lock)
    defer { unsafe pthread_mutex_unlock(lock) }
    return body()
  }

  /// Adds a job and wakes a taker. False when the queue was closed: the job was not taken.
  func send(_ job: SigningJob) -> Bool {
    locked {
      if closed { return false }
      lines.add(job, priority: job.priority.rawValue, now: SigningQueue.now())
      // Where takers gather, the one that sleeps may not be the one that waits for this.
      if coming > 0 {
        coming -= 1
        unsafe pthread_cond_broadcast(changed)
      } else {
        unsafe pthread_cond_signal(changed)
      }
      return true
    }
  }

  /// Says that so many jobs will be sent at once.
  func announce(_ count: Int) { locked { if gatherNanoseconds > 0, count > 0 { coming += count } } }

  /// Takes up to `most` jobs; sleeps while there are none.
  ///
  /// - Parameters:
  ///   - gathers: whether the taker would rather have a full batch. It is kept waiting only for jobs that were announced, and only for
  ///     `gatherNanoseconds`.
  ///   - heard: the count of `wake` that this taker was told of last.
  func take(atMost most: Int, gathers: Bool, heard: inout UInt64) -> Taken {
    unsafe pthread_mutex_lock(lock)
    defer { unsafe pthread_mutex_unlock(lock) }
    while true {
      while lines.isEmpty {
        if heard != calls {
          heard = calls
          return .woken
        }
        if closed { return .closed }
        unsafe pthread_cond_wait(changed, lock)
      }
      if gathers { gather(most) }
      // While this one gathered, others may have taken everything.
      let jobs = lines.take(atMost: most, now: SigningQueue.now())
      if !jobs.isEmpty { return .jobs(jobs) }
    }
  }

  /// Waits, the lock let go meanwhile, until a batch is full, nothing more is to come, or the time is up.
  private func gather(_ most: Int) {
    while !closed, coming > 0, lines.count < most, let oldest = lines.oldest {
      let until = oldest &+ gatherNanoseconds
      if SigningQueue.now() >= until {
        // Whoever announced them has thought otherwise: nobody waits for them again.
        coming = 0
        return
      }
      var moment = timespec(tv_sec: Int(until / 1_000_000_000), tv_nsec: Int(until % 1_000_000_000))
      unsafe pthread_cond_timedwait(changed, lock, &moment)
    }
  }

  /// Wakes every taker that sleeps.
  func wake() {
    locked {
      calls &+= 1
      unsafe pthread_cond_broadcast(changed)
    }
  }

  /// Jobs waiting.
  var count: Int { locked { lines.count } }

  /// Takes no more; what is there is still given out.
  func close() {
    locked {
      closed = true
      unsafe pthread_cond_broadcast(changed)
    }
  }

  /// Nanoseconds of a clock that nobody sets.
  private static func now() -> UInt64 {
    var now = timespec()
    unsafe clock_gettime(CLOCK_MONOTONIC, &now)
    return UInt64(now.tv_sec) &* 1_000_000_000 &+ UInt64(now.tv_nsec)
  }
}
