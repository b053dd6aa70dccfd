import Channels
import Glibc
import Octets
import ScanWire

// How a generation takes over, and how it ends.
extension Keeper {
  /// All workers of a new generation are there: they take over, each as soon as its slot has no message.
  func publish(_ generation: Generation, _ lineage: Lineage) {
    let replaced = desk.board.state.change { state -> [Seat] in
      var replaced: [Seat?] = []
      for number in state.slots.indices {
        let fresh = generation.ready[number]
        if !state.slots[number].isBusy {
          replaced += [state.slots[number].seat, state.slots[number].next]
          state.slots[number].seat = fresh
          state.slots[number].next = nil
        } else if state.slots[number].seat == nil {
          // It has a message and waits for any fresh worker.
          state.slots[number].seat = fresh
          state.slots[number].obituary = nil
        } else {
          replaced.append(state.slots[number].next)
          state.slots[number].next = fresh
        }
      }
      state.phase = .up(lineage)
      state.parent = generation.child.id
      state.figures.generations += 1
      return replaced.compactMap { $0 }
    }
    generation.ready = [:]
    generation.stage = .current
    generation.upSince = now
    let previous = current
    current = generation
    previous?.stage = .retiring
    // Nobody waits for these workers any more; those that are being forked end when they see nobody at the other end.
    previous?.orders = [:]
    for seat in replaced { letGo(seat) }
    if let previous { endIfIdle(previous) }
    let words = "the virus scanner is up: \(lineage.version.text), \(slots) \(slots == 1 ? "worker" : "workers")"
    tell(.info, words)
    answer(&generation.requests, words, isTaken: true)
    loadRequested()
  }

  /// Puts a fresh worker into its slot.
  func install(_ seat: Seat, slot number: Int) {
    let surplus = desk.board.state.change { state -> Seat? in
      guard let present = state.slots[number].seat else {
        state.slots[number].seat = seat
        return nil
      }
      if present.lineage === seat.lineage { return seat }
      if state.slots[number].isBusy {
        defer { state.slots[number].next = seat }
        return state.slots[number].next
      }
      state.slots[number].seat = seat
      return present
    }
    if let surplus { letGo(surplus) }
  }

  /// A worker that no slot has any more.
  func letGo(_ seat: Seat) {
    seat.shutDown()
    if let generation = generation(of: seat) { endIfIdle(generation) }
  }

  func generation(of seat: Seat) -> Generation? {
    generations.first { $0.lineage === seat.lineage && $0.stage != .ending }
  }

  /// A generation that was replaced ends when no slot has a worker of it.
  func endIfIdle(_ generation: Generation) {
    guard generation.stage == .retiring, let lineage = generation.lineage else { return }
    let isHeld = desk.board.state.read { state in
      state.slots.contains { $0.seat?.lineage === lineage || $0.next?.lineage === lineage }
    }
    if !isHeld { end(generation) }
  }

  /// Tells a process to end.
  func end(_ generation: Generation) {
    if generation.stage == .ending { return }
    // It would hear of it only when the database is loaded.
    if generation.stage == .loading { generation.child.kill() }
    generation.stage = .ending
    generation.until = now + patience.ending
    generation.shutDownWorkers()
    generation.control.shutDown()
    answer(&generation.requests, Board.stopped, isTaken: false)
  }

  /// Gives a process up; its end is told when it has come.
  func lose(_ generation: Generation, _ why: String, _ farewell: Generation.Farewell = .killed) {
    if generation.stage == .ending { return }
    generation.lostAs = generation.stage
    generation.failure = why
    generation.farewell = farewell
    generation.stage = .ending
    generation.until = now + patience.lastWords
    let lineage = generation.lineage
    lineage?.isLost.store(true, ordering: .relaxed)
    let wasCurrent = current === generation
    desk.board.state.change { state in
      if wasCurrent {
        state.phase = .down(Keeper.downWords(why))
        state.parent = nil
      }
      guard let lineage else { return }
      for number in state.slots.indices {
        if state.slots[number].next?.lineage === lineage { state.slots[number].next = nil }
        // The seat of a busy slot is the slot's own; it learns from the channel that its worker is lost.
        if !state.slots[number].isBusy, state.slots[number].seat?.lineage === lineage { state.slots[number].seat = nil }
      }
    }
    // After the board: a slot that is told finds the generation lost.
    generation.shutDownWorkers()
    switch farewell {
    case .killed: generation.child.kill()
    case .left, .said: generation.control.shutDown()
    }
    guard wasCurrent else { return }
    current = nil
    noteEnd(ofUpSince: generation.upSince)
    if !isLoading { scheduleRetry() }
  }

  private static func downWords(_ why: String) -> String { "the virus scanner is down: \(why)" }

  /// Tells why a process was given up, with its last words.
  func conclude(_ generation: Generation, _ how: String) {
    guard let why = generation.failure, let stage = generation.lostAs else { return }
    generation.failure = nil
    let words = generation.farewell == .left ? "\(why): \(how)" : why
    switch stage {
    case .loading, .forking: failed(words, &generation.requests)
    case .current:
      let (short, full) = (Keeper.downWords(why), Keeper.downWords(words))
      desk.board.state.change { state in
        if case .down(short) = state.phase { state.phase = .down(full) }
      }
      tell(.critical, "\(full); \(nextWords)")
    case .retiring, .ending: tell(.warning, "a virus scanner that was about to end was lost: \(words)")
    }
  }

  /// A process is gone and off the process table.
  func bury(_ generation: Generation, _ how: String) {
    conclude(generation, how)
    let isRemoved = generation.folder.remove()
    // Its workers are killed with it, but may write for a moment yet.
    if generation.folderUntil == nil { generation.folderUntil = now + patience.ending }
    guard isRemoved || now >= generation.folderUntil ?? 0 else { return }
    generations.removeAll { $0 === generation }
    if !isRemoved { tell(.warning, "the folder \(generation.folder.path) cannot be removed") }
  }
}

/// The program that looks at messages.
enum ScannerProgram {
  /// Says clearly what is wrong with it before the system says it briefly.
  static func check(_ path: String) throws(ScanFailure) {
    var facts = stat()
    if unsafe stat(path, &facts) != 0 { throw ScanFailure("cannot find the virus scanner", path, errno) }
    guard facts.st_mode & S_IFMT == S_IFREG else { throw ScanFailure("the virus scanner \(path) is not a file") }
    if unsafe access(path, X_OK) != 0 { throw ScanFailure("cannot execute the virus scanner", path, errno) }
    if facts.st_mode & S_IWOTH != 0 { throw ScanFailure("anybody may write to the virus scanner \(path)") }
    // Whoever may replace the gateway's own program need not go by way of the scanner's.
    var own = stat()
    let isOurs = unsafe stat("/proc/self/exe", &own) == 0 && own.st_uid == facts.st_uid
    guard facts.st_uid == 0 || facts.st_uid == geteuid() || isOurs else {
      throw ScanFailure("the virus scanner \(path) belongs to user \(facts.st_uid), who is neither root nor the gateway's")
    }
  }

  /// A name that no folder has yet.
  static func name(_ number: UInt64) -> String { "\(getpid())-\(number)-\(Hex.encode(Entropy.bytes(4)))" }

  /// All it finds in its environment. The library path goes on, for machines where the gateway needs it too.
  static func environment() -> [String] {
    guard let libraries = unsafe getenv("LD_LIBRARY_PATH") else { return ["LANG=C.UTF-8"] }
    return ["LANG=C.UTF-8", "LD_LIBRARY_PATH=\(unsafe String(cString: libraries))"]
  }
}
